"""A picture in its own sample type, and the operations that write results into it.

The pixels of a photograph keep the type of the file (8 or 16 bits, grey or colour, with or without alpha) and are
converted to floats box by box. So twelve megapixels take 36 MB, and untouched pixels stay bit-identical.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

import numpy as np
from PIL import Image

from scoreinv.imaging.colour import quantize_keeping_luma, with_luma
from scoreinv.imaging.guided_filter import guided_coefficients, guided_values
from scoreinv.imaging.metadata import Metadata, tone_curve_of
from scoreinv.imaging.resizing import resized
from scoreinv.operators.luma import luma
from scoreinv.operators.tones import ToneCurve
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.system.limits import limits
from scoreinv.system.progress import Reporter, report
from scoreinv.windows.boxes import Box, crop

_Item = TypeVar("_Item")

STRIP_ROWS = 256
_STRIP_PIXELS = 1 << 20
"""Maximum rows and pixels of a strip. Large pictures are converted to floats in strips, to save memory."""
_SLACK = 1e-6
"""Tolerance of the range of floats, for rounding."""
_STRAY_CHROMA = 0.02
"""Largest channel difference of a grey picture, as a fraction of the range: JPEG adds some chroma."""
_FLAT = 1e-2
"""Variance of luma below which a window counts as flat when chroma is upsampled."""
_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Fill:
    """Values for the holes within a box of a picture.

    Attributes:
        box: the bounding box.
        hole: hxw bool, the pixels to write.
        rgb: hxwx3 float, clipped to [0, 1].
    """

    box: Box
    hole: np.ndarray
    rgb: np.ndarray


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels in their own mode and type, with orientation applied.

    Attributes:
        pixels: HxW (L), HxWx2 (LA), HxWx3 (RGB) or HxWx4 (RGBA), of uint8, uint16, or (arrays only, not files) float
            in [0, 1]. Read-only.
        metadata: colour profile, EXIF, XMP and resolution.
        curve: the tone curve, where it is known better than from the profile.
    """

    pixels: np.ndarray
    metadata: Metadata = field(default_factory=Metadata)
    curve: ToneCurve | None = None

    def __post_init__(self) -> None:
        shape, dtype = self.pixels.shape, self.pixels.dtype
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (2, 3, 4)) or 0 in shape:
            found = "x".join(map(str, shape)) or "a scalar"
            raise InputError(f"a picture must be HxW, HxWx2, HxWx3 or HxWx4, not {found}")
        if dtype not in (np.uint8, np.uint16) and dtype.kind != "f":
            raise InputError(f"samples must be uint8, uint16 or float in [0, 1], not {dtype}")

    @property
    def height(self) -> int:
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        return self.pixels.shape[1]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        height, width = self.pixels.shape[:2]
        return height, width

    @property
    def mode(self) -> str:
        """The mode: L, LA, RGB or RGBA."""
        return _MODES[1 if self.pixels.ndim == 2 else self.pixels.shape[2]]

    @property
    def is_gray_mode(self) -> bool:
        """Whether the picture has one colour channel (L, LA)."""
        return self.pixels.ndim == 2 or self.pixels.shape[2] == 2

    @property
    def has_alpha(self) -> bool:
        return self.pixels.ndim == 3 and self.pixels.shape[2] in (2, 4)

    @property
    def peak(self) -> float:
        """The sample value of full intensity: 255, 65535 or 1."""
        return float(np.iinfo(self.pixels.dtype).max) if self.pixels.dtype.kind == "u" else 1.0

    @property
    def tones(self) -> ToneCurve:
        """The tone curve: the given one, that of the colour profile, or sRGB's."""
        return self.curve or tone_curve_of(self.metadata.icc)

    def is_gray(self, where: np.ndarray | None = None) -> bool:
        """Return whether all pixels are grey up to `_STRAY_CHROMA`, also in mode RGB.

        Args:
            where: HxW bool, the pixels to check; None: all.
        """
        if self.is_gray_mode:
            return True
        pixels = self.pixels if where is None else self.pixels[where][None]
        for rows in np.array_split(pixels, max(1, pixels.shape[0] // STRIP_ROWS)):
            red, green, blue = rows[..., 0], rows[..., 1], rows[..., 2]
            highest = np.maximum(np.maximum(red, green), blue)
            lowest = np.minimum(np.minimum(red, green), blue)
            if (highest - lowest).max(initial=0) > _STRAY_CHROMA * self.peak:
                return False
        return True

    def rgb(self, box: Box | None = None) -> np.ndarray:
        """Return the colours of a box (default: all), hxwx3 float32 in [0, 1]; grey is repeated, alpha dropped."""
        planes = colour_planes(self.pixels)
        values = to_float(planes if box is None else crop(planes, box))
        return np.repeat(values, 3, axis=2) if self.is_gray_mode else values

    def luma(self, box: Box | None = None, weights: str = "rec601") -> np.ndarray:
        """Return the luma of a box (default: all), hxw float32 in [0, 1]; a grey picture's values for any weights."""
        if self.is_gray_mode:
            planes = colour_planes(self.pixels)
            return to_float(planes if box is None else crop(planes, box))[..., 0]
        return luma(self.rgb(box), weights)

    def resized_rgb(self, height: int, width: int) -> np.ndarray:
        """Return the colours at another size, height x width x 3 float32 in [0, 1], antialiased (Hamming filter).

        Works in bands, so a large picture is never held in floats.
        """
        planes = colour_planes(self.pixels)
        out = np.empty((height, width, 3), dtype=np.float32)
        scale = self.height / height
        reach = int(np.ceil(max(scale, 1.0))) + 1  # radius of the filter, in rows
        band = max(1, int(STRIP_ROWS / max(scale, 1.0)))
        for first in range(0, height, band):
            last = min(first + band, height)
            top = max(0, int(first * scale) - reach)
            bottom = min(self.height, int(np.ceil(last * scale)) + reach)
            view = (0, first * scale - top, self.width, min(last * scale - top, bottom - top))
            for plane in range(planes.shape[2]):
                values = to_float(planes[top:bottom, :, plane])
                out[first:last, :, plane] = resized(values, (last - first, width), Image.Resampling.HAMMING, view)
        if self.is_gray_mode:
            out[..., 1:] = out[..., :1]
        return np.clip(out, 0, 1, out=out)

    def with_fills(self, fills: Iterable[Fill]) -> Picture:
        """Return a copy with the holes of each fill replaced; all other samples and alpha stay bit-identical.

        A grey picture gets the luma of the fill. Values are rounded to the nearest level.

        Raises:
            ScoreinvError: a fill has values that are not finite.
        """
        pixels = self.pixels.copy()
        planes = colour_planes(pixels)
        for fill in fills:
            values = fill.rgb[fill.hole]
            if not np.isfinite(values).all():
                raise ScoreinvError("the fill has values that are not finite: the model or its settings are invalid")
            values = luma(values)[..., None] if self.is_gray_mode else values
            crop(planes, fill.box)[fill.hole] = to_samples(values, pixels.dtype)
        return replace(self, pixels=pixels)

    def colorized(self, rgb: np.ndarray, weights: str = "rec601") -> Picture:
        """Combine the picture's luma with the chroma of `rgb` (HxWx3 float): L becomes RGB, LA becomes RGBA.

        The luma by `weights` rounds to the original grey level, in 8 and in 16 bits (`colour.quantize_keeping_luma`).
        Out-of-gamut colours move towards grey (`colour.with_luma`). Alpha stays bit-identical, and a grey colour
        profile is dropped.
        """
        return self._recoloured(((top, rgb[top : top + rows]) for top, rows in self._strips()), weights)

    def with_chroma(self, low_rgb: np.ndarray, weights: str = "rec601") -> Picture:
        """Return `colorized` with the chroma of a small picture, upsampled by `guided_filter`; report the progress.

        Args:
            low_rgb: hxwx3 float in [0, 1], the whole picture at any smaller size.
            weights: name of the luma weights.
        """
        height, width = low_rgb.shape[:2]
        small = self.resized_rgb(height, width)
        guide = small[..., 0] if self.is_gray_mode else luma(small, weights)
        chroma = low_rgb - luma(low_rgb, weights)[..., None]
        fit = guided_coefficients(guide[..., None], chroma, radius=1, flat=_FLAT, keeps_values=True)

        def strips() -> Iterator[tuple[int, np.ndarray]]:
            for top, rows in self._strips():
                box = (top, 0, rows, self.width)
                yield top, guided_values(fit, self.luma(box, weights)[..., None], box, self.size)

        return self._recoloured(strips(), weights, report)

    def blank_enlarged(self, factor: int) -> Picture:
        """Return a black picture of `factor` times the size and resolution, with interpolated alpha.

        Raises:
            InputError: the result would exceed the size limit.
        """
        height, width = factor * self.height, factor * self.width
        check_megapixels(width, height, f"the picture, enlarged {factor} times")
        pixels = np.zeros((height, width, *self.pixels.shape[2:]), dtype=self.pixels.dtype)
        if self.has_alpha:
            alpha = self.pixels[..., -1].astype(np.float32)
            larger = resized(alpha, (height, width), Image.Resampling.BICUBIC).clip(0, self.peak)
            pixels[..., -1] = np.rint(larger) if pixels.dtype.kind == "u" else larger
        dpi = self.metadata.dpi
        scaled = None if dpi is None else (factor * dpi[0], factor * dpi[1])
        return Picture(pixels, replace(self.metadata, dpi=scaled))

    def with_pixels(self, pixels: np.ndarray) -> Picture:
        """Return a copy with other samples."""
        return replace(self, pixels=pixels)

    def part(self, box: Box) -> Picture:
        """Return the part of the picture in a box."""
        return self.with_pixels(crop(self.pixels, box))

    def with_coloured_part(self, part: Picture, box: Box) -> Picture:
        """Return a copy in mode RGB or RGBA with the colour picture `part` pasted into a box."""
        channels = [0, 0, 0, 1] if self.has_alpha else [0, 0, 0]
        pixels = np.atleast_3d(self.pixels)[..., channels] if self.is_gray_mode else self.pixels.copy()
        crop(pixels, box)[:] = part.pixels
        return part.with_pixels(pixels)

    def covered(self, hole: np.ndarray) -> Picture:
        """Return a copy in which each pixel of the hole (HxW bool, not all true) repeats the nearest pixel outside."""
        from scipy import ndimage  # slow to import, and needed by few commands

        rows, columns = ndimage.distance_transform_edt(hole, return_distances=False, return_indices=True)
        pixels = self.pixels.copy()
        pixels[hole] = self.pixels[rows[hole], columns[hole]]
        return self.with_pixels(pixels)

    def with_colours_at(self, rgb: np.ndarray, where: np.ndarray, gray: Picture, weights: str = "rec601") -> Picture:
        """Return a copy of a colour picture that has the luma of `gray` and the chroma of `rgb` at some pixels.

        Args:
            rgb: HxWx3 float in [0, 1].
            where: HxW bool, the pixels to change.
            gray: a picture of the same size.
            weights: name of the luma weights.
        """
        pixels = self.pixels.copy()
        for top, rows in self._strips():
            part = slice(top, top + rows)
            inside = where[part]
            if not inside.any():
                continue
            level = gray.luma((top, 0, rows, self.width), weights)[inside]
            pixels[part, :, :3][inside] = self._samples(level, rgb[part][inside], weights)
        return self.with_pixels(pixels)

    def _strips(self) -> Iterator[tuple[int, int]]:
        """Yield the first row and the number of rows of each strip."""
        rows = max(1, min(STRIP_ROWS, _STRIP_PIXELS // self.width))
        for top in range(0, self.height, rows):
            yield top, min(rows, self.height - top)

    def _samples(self, gray: np.ndarray, rgb: np.ndarray, weights: str) -> np.ndarray:
        """Return the luma `gray` (...) with the chroma of `rgb` (..., 3) as samples of the picture's type."""
        coloured = with_luma(gray, rgb, weights)
        if self.pixels.dtype.kind != "u":
            return coloured
        return quantize_keeping_luma(gray * self.peak, coloured, self.pixels.dtype, weights)

    def _recoloured(
        self, strips: Iterator[tuple[int, np.ndarray]], weights: str, finished: Reporter = lambda _: None
    ) -> Picture:
        """Return `colorized` with the colours of strips, each its first row and nxWx3 float.

        finished: takes the completed fraction of the rows, in (0, 1].
        """
        pixels = np.empty((*self.size, 4 if self.has_alpha else 3), dtype=self.pixels.dtype)
        for top, rgb in _prefetch(strips):
            rows = slice(top, top + rgb.shape[0])
            gray = self.luma((top, 0, *rgb.shape[:2]), weights)
            pixels[rows, :, :3] = self._samples(gray, rgb.astype(np.float32, copy=False), weights)
            if self.has_alpha:
                pixels[rows, :, 3] = self.pixels[rows, :, -1]
            finished(rows.stop / self.height)
        metadata = replace(self.metadata, icc=None) if self.is_gray_mode else self.metadata
        return Picture(pixels, metadata)


def _prefetch(items: Iterator[_Item]) -> Iterator[_Item]:
    """Yield the items; compute the next in another thread while the caller uses the current one."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(next, items, end)
        while (item := future.result()) is not end:
            future = pool.submit(next, items, end)
            yield cast(_Item, item)


def check_megapixels(width: int, height: int, name: str) -> None:
    """Raise InputError if a picture exceeds the size limit; `name` is its name in the message."""
    if width * height > limits().megapixels * 10**6:
        raise InputError(
            f"{name}: {width}x{height} is {width * height / 1e6:.0f} megapixels, the limit is {limits().megapixels}: "
            "crop or reduce it first"
        )


def check_float_range(values: np.ndarray, name: str) -> None:
    """Raise InputError unless floats are in [0, 1], up to rounding; `name` is their name in the message."""
    lowest, highest = float(values.min()), float(values.max())  # NaN if any value is NaN
    if np.isnan(lowest) or np.isnan(highest):
        raise InputError(f"{name} contains NaN")
    if lowest < -_SLACK or highest > 1 + _SLACK:
        hint = ": divide by 255, or use 8 bits" if 1 < highest <= 255 and lowest >= 0 else ""
        raise InputError(f"{name} has values from {lowest:.3g} to {highest:.3g}, but floats must be in [0, 1]{hint}")


def colour_planes(pixels: np.ndarray) -> np.ndarray:
    """Return a view of the colour channels, HxWx1 or HxWx3, of pixels HxW or HxWxC, without alpha."""
    pixels = np.atleast_3d(pixels)
    return pixels[..., : 3 if pixels.shape[2] > 2 else 1]


def to_float(samples: np.ndarray) -> np.ndarray:
    """Return samples as float32 in [0, 1], a new contiguous array."""
    values = samples.astype(np.float32, order="C")
    if samples.dtype.kind == "u":
        values /= np.float32(np.iinfo(samples.dtype).max)
    return values


def to_samples(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Convert floats to samples of `dtype`: clip to [0, 1] and round to the nearest level."""
    values = np.clip(values, 0, 1)
    return np.rint(values * float(np.iinfo(dtype).max)).astype(dtype) if dtype.kind == "u" else values.astype(dtype)


def eight_bits(samples: np.ndarray) -> np.ndarray:
    """Round uint16 samples to uint8."""
    out = np.empty(samples.shape, dtype=np.uint8)
    for top in range(0, samples.shape[0], STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        out[rows] = (samples[rows].astype(np.uint32) + 128) // 257
    return out


def picture_of_hole(hole: np.ndarray) -> Picture:
    """Return a mask (HxW bool) as a picture of mode L in the polarity of mask files: white is a hole."""
    return Picture(np.where(hole, np.uint8(255), np.uint8(0)))
