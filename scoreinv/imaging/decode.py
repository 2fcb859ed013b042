"""From a file's bytes to a `Picture`: sample types kept, orientation applied, every other mode brought to sRGB.

Pillow decodes, with two of its traps closed here:

- It has no mode for 16-bit samples of several channels, and hands out their upper bytes. Its decoders do unpack
  either byte of a sample, though: the unpacker for the other byte order returns the lower ones. So such a file is
  decoded twice and the halves are joined. That takes every compression, predictor, tiling and interlacing that Pillow
  has, and needs neither OpenCV (system libraries; ignores orientation when it keeps 16 bits) nor an own PNG decoder.
- `Image.open` refuses more than 179 megapixels and warns from 89 by a global setting. The plugins are called directly
  instead, and the size is checked here, before anything is decoded.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from scoreinv.errors import InputError
from scoreinv.imaging.metadata import describe, orient
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.rare_tiff import decode_rare_tiff, unpremultiply
from scoreinv.imaging.source import DAMAGE, Source, check_frame, check_size, reason

READABLE = "PNG, JPEG, TIFF, WebP, GIF, BMP or PNM"
PREFIX_BYTES = 16
"""Of a file, which tell its kind."""

_SUBFILE_TYPE, _BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR_CONFIGURATION = 254, 258, 262, 284
_SIXTEEN_BITS = re.compile(r"(RGB|RGBA|RGBX|RGBa);16([LBN])")
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


class _Tiff(TiffImagePlugin.TiffImageFile):
    """A TIFF of any size: the storage is made here, past Pillow's own limit."""

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.core.new(self.mode, self._tile_size)
        super().load_prepare()


# A JPEG that carries further pictures (MPO: previews, gain maps, a second eye) is read as the JPEG that it begins with.
_PLUGINS: tuple[tuple[str, Callable[[bytes], Any], type[ImageFile.ImageFile]], ...] = (
    ("PNG", PngImagePlugin._accept, PngImagePlugin.PngImageFile),
    ("JPEG", JpegImagePlugin._accept, JpegImagePlugin.JpegImageFile),
    ("TIFF", TiffImagePlugin._accept, _Tiff),
    ("WebP", WebPImagePlugin._accept, WebPImagePlugin.WebPImageFile),
    ("GIF", GifImagePlugin._accept, GifImagePlugin.GifImageFile),
    ("BMP", BmpImagePlugin._accept, BmpImagePlugin.BmpImageFile),
    ("PNM", PpmImagePlugin._accept, PpmImagePlugin.PpmImageFile),
)


@dataclass(frozen=True)
class Decoded:
    """A picture and, where its mode had to change, words that say so."""

    picture: Picture
    note: str | None = None


def decode(source: Source, frame: int | None = None) -> Decoded:
    """Decode one frame of a file (0 is the first; needed only where there are several).

    Raises:
        InputError: not a readable picture, damaged, too large, or several frames and none chosen.
        OSError: the file cannot be opened.
    """
    with source.open() as stream:
        kind, plugin = kind_of(stream.read(PREFIX_BYTES), source.name)
        try:
            image = _open(plugin, stream)
            if image is None:
                return Decoded(decode_rare_tiff(stream, source, frame))
            index = _seek(image, frame, source.name)
            check_size(*image.size, source.name)
            if _has_deep_planes(image):
                return Decoded(decode_rare_tiff(stream, source, frame))
            _reject_unranged(image, source.name)
            if sixteen := _sixteen_bit_modes(image):
                pixels = _decode_sixteen_bits(image, source, index, sixteen)
                orientation, metadata = describe(image)
                return Decoded(Picture(orient(pixels, orientation), metadata))
            return decode_image(image, source.name)
        except InputError:
            raise
        except Image.DecompressionBombError as error:
            raise InputError(f"{source.name}: too large for a {kind} file: save it as PNG or TIFF") from error
        except DAMAGE as error:
            raise InputError(f"{source.name}: damaged or incomplete {kind} file ({reason(error)})") from error


def kind_of(prefix: bytes, name: str) -> tuple[str, type[ImageFile.ImageFile]]:
    """The kind of a file that begins with `prefix`, and what reads it; InputError when it is none that is read here."""
    if not prefix:
        raise InputError(f"{name}: the file is empty")
    known = [(kind, plugin) for kind, accepts, plugin in _PLUGINS if accepts(prefix)]
    if not known:
        raise InputError(f"{name}: not a picture of a kind that is read here ({READABLE}): convert it first")
    return known[0]


def decode_image(image: Image.Image, name: str) -> Decoded:
    """A Pillow image of any mode as a picture, its orientation applied; `name` is what messages call it.

    Raises:
        InputError: a mode without a stated range, or one that cannot be converted.
    """
    image.load()
    white_is_zero = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
    orientation, metadata = describe(image)
    image, note = _to_plain_mode(image, name)
    if "icc_profile" not in image.info:
        metadata = replace(metadata, icc=None)
    pixels = np.asarray(image)
    if image.mode.startswith("I"):
        if image.mode == "I" and (pixels.min() < 0 or pixels.max() > 65535):
            raise InputError(f"{name}: has values outside 0 to 65535: convert it to 8 or 16 bits")
        pixels = pixels.astype(np.uint16)
        if white_is_zero:  # Pillow turns 8-bit grey round itself, but not 16-bit
            pixels = 65535 - pixels
        pixels = _alpha_from_key(pixels, image.info.get("transparency"))
    return Decoded(Picture(orient(pixels, orientation), metadata), note)


def _open(plugin: type[ImageFile.ImageFile], stream: BinaryIO) -> ImageFile.ImageFile | None:
    """The file as Pillow sees it, not yet decoded; None for a TIFF of a kind that Pillow does not know."""
    stream.seek(0)
    try:
        # without a name: Pillow would map the named file into memory, and then turns it wrongly (TIFF orientation)
        return plugin(stream)
    except DAMAGE:
        if plugin is _Tiff:
            return None
        raise


def _seek(image: ImageFile.ImageFile, frame: int | None, name: str) -> int:
    """Go to the chosen frame and return its index in the file."""
    frames = list(range(getattr(image, "n_frames", 1)))
    if len(frames) > 1 and isinstance(image, _Tiff):
        frames = [index for index in frames if not _is_preview(image, index)] or frames[:1]
    index = frames[check_frame(len(frames), frame, name)]
    image.seek(index)
    return index


def _is_preview(image: _Tiff, index: int) -> bool:
    image.seek(index)
    return bool(int(image.tag_v2.get(_SUBFILE_TYPE, 0)) & 1)


# --- sample types -----------------------------------------------------------------------------------------------------


def _arguments(tile: Any) -> tuple[Any, ...]:
    return tile.args if isinstance(tile.args, tuple) else (tile.args,)


def _with_raw_mode(tile: Any, raw_mode: str) -> Any:
    return tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)


def _has_deep_planes(image: ImageFile.ImageFile) -> bool:
    """Whether 16-bit samples lie in planes apart, which Pillow reads wrongly."""
    if not isinstance(image, _Tiff):
        return False
    bits = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))
    return len(bits) > 1 and max(bits) > 8 and image.tag_v2.get(_PLANAR_CONFIGURATION, 1) == 2


def _reject_unranged(image: ImageFile.ImageFile, name: str) -> None:
    """`InputError` for samples that have no stated range, or would silently be reduced."""
    if image.mode == "F":
        raise InputError(f"{name}: floating-point samples have no stated range: save the picture with 16 bits")
    if image.mode == "I" and isinstance(image, _Tiff):
        raise InputError(f"{name}: signed or 32-bit samples are not read: save the picture with 16 bits")
    is_colour_pnm = isinstance(image, PpmImagePlugin.PpmImageFile) and image.mode == "RGB"
    if is_colour_pnm and _arguments(image.tile[0])[-1] not in ("RGB", 255):  # the last argument is the highest value
        raise InputError(f"{name}: PNM colours of other than 8 bits are not read: save the picture as PNG or TIFF")


def _sixteen_bit_modes(image: ImageFile.ImageFile) -> list[str]:
    """The raw modes to decode a file of 16-bit samples with: upper bytes, then lower; empty for other files."""
    raw_mode = _arguments(image.tile[0])[0] if image.tile else None
    if raw_mode == "LA;16B":
        return ["RGBA"]  # the four bytes of a pixel, all at once
    match = _SIXTEEN_BITS.fullmatch(raw_mode) if isinstance(raw_mode, str) else None
    if match is None:
        return []
    channels = match[1].replace("a", "A")  # alpha is divided out below, in 16 bits
    return [f"{channels};16{order}" for order in (match[2], _OTHER_BYTE[match[2]])]


def _decode_sixteen_bits(image: ImageFile.ImageFile, source: Source, index: int, raw_modes: list[str]) -> np.ndarray:
    premultiplied = str(_arguments(image.tile[0])[0]).startswith("RGBa")
    image.tile = [_with_raw_mode(tile, raw_modes[0]) for tile in image.tile]
    image.load()
    upper = np.asarray(image)
    if raw_modes == ["RGBA"]:
        return upper.view(">u2").astype(np.uint16)
    samples = upper.astype(np.uint16)
    samples <<= 8
    del upper
    with source.open() as stream:
        again = type(image)(stream)
        again.seek(index)
        again.tile = [_with_raw_mode(tile, raw_modes[1]) for tile in again.tile]
        samples |= np.asarray(again)
    if premultiplied:
        unpremultiply(samples)
    return _alpha_from_key(samples, image.info.get("transparency"))


def _alpha_from_key(samples: np.ndarray, key: Any) -> np.ndarray:
    """Append the alpha that a PNG states as one transparent colour."""
    if key is None:
        return samples
    colours = samples if samples.ndim == 3 else samples[..., None]
    opaque = (colours != np.asarray(key)).any(axis=-1)
    return np.dstack([colours, np.where(opaque, 65535, 0).astype(np.uint16)])


# --- modes ------------------------------------------------------------------------------------------------------------


def _to_plain_mode(image: Image.Image, name: str) -> tuple[Image.Image, str | None]:
    """L, LA, RGB, RGBA or a 16-bit mode from any mode, and what has to be said about it."""
    mode = image.mode
    if mode in ("LA", "RGBA", "I", "I;16", "I;16B", "I;16L", "I;16N"):
        return image, None
    keyed = "transparency" in image.info
    if mode in ("1", "L"):
        target = "LA" if keyed else "L"
        return (image if mode == target else _converted(image, target)), None
    if mode == "RGB":
        return (_converted(image, "RGBA") if keyed else image), None
    if mode in ("La", "RGBa"):
        return _converted(image, mode.upper()), None
    if mode in ("P", "PA"):
        return _converted(image, "RGBA" if keyed or mode == "PA" else "RGB"), "palette colours become sRGB"
    if mode in ("CMYK", "LAB", "YCbCr", "RGBX", "HSV"):
        return _to_srgb(image, name), f"{mode} becomes sRGB"
    raise InputError(f"{name}: pictures of mode {mode} are not read: convert it to RGB")


def _converted(image: Image.Image, mode: str) -> Image.Image:
    converted = image.convert(mode)
    converted.info.pop("transparency", None)
    return converted


def _to_srgb(image: Image.Image, name: str) -> Image.Image:
    """Convert by the picture's own profile where it has a usable one, else by Pillow's plain formula."""
    profile = image.info.get("icc_profile") or b""
    converted = None
    if image.mode == "LAB" or profile[16:20] == b"CMYK" == image.mode.encode():
        try:
            lab = image.mode == "LAB"
            source = ImageCms.createProfile("LAB") if lab else ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, ImportError, OSError) as error:
            if image.mode == "LAB":
                raise InputError(f"{name}: Lab colours cannot be converted here: save the picture as RGB") from error
    if converted is None:
        converted = image.convert("RGB")
    converted.info = {key: value for key, value in image.info.items() if key != "icc_profile"}
    return converted
