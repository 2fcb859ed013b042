"""The kind of a picture by its colours: grey, tinted (an old print) or coloured; see also `tasks.damage.kind_of`."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from scoreinv.imaging.picture import STRIP_ROWS, Picture, to_float, to_samples
from scoreinv.imaging.resizing import scaled
from scoreinv.operators.luma import luma

Kind = Literal["grey", "tinted", "coloured"]
"""`tinted` is a print of one tint, such as sepia: each of its tones has one colour."""

ANALYSIS_SIDE = 512
"""Maximum longer side in pixels of the picture in which borders and colours are searched."""
_COLOURED = 0.06
"""Minimum difference of the channels at a coloured pixel, averaged over 5x5 pixels, in [0, 1]."""
_COLOURLESS = 1 / 255
"""Maximum difference of the channels at a pixel without colour, averaged over 5x5 pixels, in [0, 1]."""
_KNOWN = 0.25
"""Minimum share of known pixels in a pixel of the reduced picture that counts as known."""
_SIDE = 128
"""Maximum longer side in pixels of the picture in which a tint is searched."""
_BINS = 12  # classes of luma, of equal numbers of pixels
_GRAY = 0.01
"""Chroma (rms, in [0, 1]) below which a picture is grey."""
_MAX_RESIDUAL = 0.015
"""Maximum residual chroma (rms) of a tinted picture given its tones: noise, stains, compression."""
_PALE_RESIDUAL = 0.006
"""Residual chroma (rms) that is accepted in a print however pale."""
_ACROSS_HUE = 0.17
"""Maximum chroma of a print across its main hue, as a fraction of the chroma along it."""
_OPPOSITE = 0.02
"""Maximum share of a print with the opposite hue."""
_OBJECTS = (0.035, 0.003)
"""Maximum chroma (rms) along the hue that neither tones nor slow changes explain: relative to all chroma, and absolute.
More comes from coloured objects: red rock, leaves, the sea."""
_WORN_OBJECTS = 0.1
"""The relative limit for a worn print, whose grain, dirt and faded patches have other colours."""
_DAMAGED = 0.1
"""Maximum share of a print with scratches or stains, which are ignored since their colour is not that of the tones."""
_HUES = (0.25, 1.3)
"""Hues of prints, from yellow to red brown: excess of red over grey, divided by the deficit of blue."""


def analysis_picture(picture: Picture, hole: np.ndarray | None = None) -> Picture:
    """Return a picture prepared for analysis: reduced to `ANALYSIS_SIDE`, in floats, with a hole covered.

    A small picture without a hole is returned unchanged.

    Args:
        hole: HxW bool, not all true.
    """
    size = scaled(picture.size, min(1.0, ANALYSIS_SIDE / max(picture.size)))
    if hole is None or not hole.any():
        return picture if size == picture.size else Picture(picture.resized_rgb(*size))
    if size == picture.size:
        return picture.covered(hole)
    pixels = picture.pixels.copy()
    pixels[hole] = 0
    known = Picture((~hole).astype(np.float32)).resized_rgb(*size)
    rgb = picture.with_pixels(pixels).resized_rgb(*size) / np.maximum(known, 1e-6)
    return Picture(rgb.clip(0, 1)).covered(known[..., 0] < min(_KNOWN, known.max()))


def kind_by_colours(picture: Picture, hole: np.ndarray | None = None, *, worn: bool = False) -> Kind:
    """Classify a picture by its colours alone; `tasks.damage.kind_of` adds the evidence of damage.

    In a print, luma predicts chroma: by the mean chroma in each of 12 classes of luma. This is also true of photographs
    of fog, the sea or a leaf, which count as coloured. So a print must also have one hue, from red brown to yellow, and
    a smaller residual (`_is_print`). Of 275 colour photographs luma predicts the chroma of 13, and none is classified
    as a print.

    Args:
        hole: HxW bool, pixels to ignore.
        worn: the picture is damaged; grain and dirt may then have a larger residual.
    """
    small = analysis_picture(picture, hole)
    if small.is_gray():
        return "grey"
    chroma, residual = _chroma(small)
    if _rms(chroma) >= _GRAY and residual < min(_MAX_RESIDUAL, _rms(chroma) / 3):
        return "tinted" if _is_print(small, chroma, residual, worn) else "coloured"
    return "coloured" if coloured_at(small).any() else "grey"


def coloured_at(picture: Picture) -> np.ndarray:
    """Return the pixels that have colour, HxW bool."""
    return _channel_difference(picture) > _COLOURED


def is_partly_coloured(picture: Picture) -> bool:
    """Return whether most of a picture has no colour at all, as in a grey photograph with one coloured object."""
    return bool((_channel_difference(analysis_picture(picture)) <= _COLOURLESS).mean() > 0.5)


def _channel_difference(picture: Picture) -> np.ndarray:
    """Return the range of the channels, averaged over 5x5 pixels: HxW in [0, 1]."""
    from scipy import ndimage  # slow to import, and needed by few commands

    rgb = picture.rgb()
    return np.asarray(ndimage.uniform_filter(rgb.max(-1) - rgb.min(-1), 5))


def _is_print(picture: Picture, chroma: np.ndarray, residual: float, worn: bool) -> bool:
    """Return whether a picture whose luma predicts its chroma is a print: see `kind_by_colours`.

    Args:
        chroma: Nx3, from `_chroma`.
        residual: rms of the residual chroma, from `_chroma`.
    """
    _, strengths, axes = np.linalg.svd(chroma, full_matrices=False)
    along = chroma @ axes[0]
    sign = np.sign(along.sum())
    red, _, blue = axes[0] * sign
    one_hue = (strengths[1:] < _ACROSS_HUE * strengths[0]).all() and np.mean(along * sign < -_GRAY) < _OPPOSITE
    if not one_hue or blue >= 0 or residual >= max(_rms(chroma) / 4, _PALE_RESIDUAL):
        return False
    relative, absolute = _OBJECTS
    if _object_chroma(picture, along) >= max((_WORN_OBJECTS if worn else relative) * _rms(chroma), absolute):
        return False
    least, most = _HUES
    return bool(least < red / -blue < most)


def _chroma(picture: Picture) -> tuple[np.ndarray, float]:
    """Return the chroma of `_small_colours`, Nx3, and the rms of its residual given the tones."""
    rgb = _small_colours(picture).reshape(-1, 3)
    gray = luma(rgb)
    chroma = rgb - gray[:, None]
    edges = np.unique(np.quantile(gray, np.linspace(0, 1, _BINS + 1)))
    member = np.clip(np.searchsorted(edges, gray, side="right") - 1, 0, max(0, len(edges) - 2))
    counts = np.maximum(np.bincount(member, minlength=len(edges)), 1)[:, None]
    centre = np.bincount(member, gray, minlength=len(edges))[:, None] / counts
    tones = np.stack([np.bincount(member, plane, minlength=len(edges)) for plane in chroma.T], axis=1) / counts
    used = np.bincount(member, minlength=len(edges)) > 0
    expected = np.stack([np.interp(gray, centre[used, 0], plane) for plane in tones[used].T], axis=1)
    return chroma, _rms(chroma - expected)


def _object_chroma(picture: Picture, along: np.ndarray) -> float:
    """Return the rms of the chroma of objects: the smoothed residual of a regression on tones and position.

    The terms are piecewise linear in the luma, quadratic in the position, and the latter times the luma. The regression
    is repeated without the `_DAMAGED` share of pixels with the largest residuals, and the rms leaves out the largest.

    Args:
        along: (N,), chroma along the hue of the picture's `_small_colours`.
    """
    from scipy import ndimage  # see coloured_at

    gray = luma(_small_colours(picture))
    (height, width), gray = gray.shape, gray.ravel()
    y, x = (place.ravel() for place in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    places = [x, y, x * x, y * y, x * y]
    tones = [np.maximum(gray - knot, 0) for knot in np.quantile(gray, np.linspace(0, 1, 9)[:-1])]
    terms = np.stack([np.ones_like(x), *tones, *places, *(gray * place for place in places)], axis=1)
    left = along - terms @ np.linalg.lstsq(terms, along, rcond=None)[0]
    sound = abs(left) <= np.quantile(abs(left), 1 - _DAMAGED)
    left = along - terms @ np.linalg.lstsq(terms[sound], along[sound], rcond=None)[0]
    smooth = np.sort(abs(ndimage.uniform_filter(left.reshape(height, width), 3)), axis=None)
    return _rms(smooth[: math.ceil((1 - _DAMAGED) * smooth.size)])


def untinted(picture: Picture, weights: str = "rec601", tones: Picture | None = None) -> Picture:
    """Return a colour picture with its luma in all channels, brightened as if its lightest tone had been white.

    The luma of the lightest tone is raised to the value of its brightest channel.

    Args:
        picture: a picture of colour mode; mode, metadata and alpha are kept.
        weights: grey weights.
        tones: the picture that determines the lightest tone, for example without borders. None: `picture`.
    """
    rgb = _small_colours(tones or picture).reshape(-1, 3)
    level = luma(rgb, weights)
    white = rgb[level >= np.quantile(level, 0.99)].mean(0)
    factor = np.float32(white.max() / max(float(luma(white, weights)), 1e-3))
    pixels = picture.pixels.copy()
    for top in range(0, picture.height, STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        gray = to_samples(luma(to_float(pixels[rows, :, :3]), weights), pixels.dtype)
        pixels[rows, :, :3] = to_samples(to_float(gray) * factor, pixels.dtype)[..., None]
    return picture.with_pixels(pixels)


def _small_colours(picture: Picture) -> np.ndarray:
    """Return the colours reduced to `_SIDE` pixels or fewer a side, hxwx3, which removes most noise."""
    return picture.resized_rgb(*scaled(picture.size, min(1.0, _SIDE / max(picture.size))))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
