"""From a file to a `Picture`: sample types kept, orientation applied, every other mode brought to sRGB.

Pillow decodes, with two of its traps closed here:

- It has no mode for 16-bit samples of several channels, and hands out their upper bytes. Its decoders do unpack
  either byte of a sample, though: the unpacker for the other byte order returns the lower ones. So such a file is
  decoded twice and the halves are joined. That takes every compression, predictor, tiling and interlacing that Pillow
  has, and needs neither OpenCV (system libraries; ignores orientation when it keeps 16 bits) nor an own PNG decoder.
- `Image.open` refuses more than 179 megapixels and warns from 89 by a global setting. The plugins are called directly
  instead, and the size is checked here, before anything is decoded.

A file may be damaged on purpose: what it says of itself is compared with its length before memory is taken for it (the
directories of TIFFs more closely, `tiff`), and whatever a decoder raises is one error that names the file (`guard`).
"""

from __future__ import annotations

import io
import logging
import os
import re
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, BinaryIO, TypeVar

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

from scoreinv.errors import InputError, SettingError
from scoreinv.imaging.guard import guarded, reason
from scoreinv.imaging.metadata import describe, orient
from scoreinv.imaging.picture import Picture, check_megapixels
from scoreinv.imaging.tiff import Directory, decode_by_tifffile, read_directories, unpremultiply

STREAM = "-"
"""What names standard input and output."""

SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".pnm", ".pbm", ".pgm", ".ppm"]
)
"""Of the pictures in a folder or archive; a file that is named is read whatever its suffix."""

PREFIX_BYTES = 16
"""Of the beginning of a file, which tell its kind."""

Look = Callable[[int, int, int], None]
"""Is told a picture's width and height, maybe not yet turned upright, and the bytes that decoding takes at its peak."""

_Opened = TypeVar("_Opened", bound=ImageFile.ImageFile)

_LONGEST_STREAM = 1 << 30
_BLOCK = 1 << 20
_MOST_BYTES = 24
"""Of a pixel, while it is decoded: four samples of 16 bits."""
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANAR_CONFIGURATION = 258, 262, 284
_SIXTEEN_BITS = re.compile(r"(RGB|RGBA|RGBX|RGBa);16([LBN])")
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoded:
    """A picture as it was read.

    Attributes:
        name: what messages call its file.
        kind: PNG, JPEG, TIFF, WebP, GIF, BMP or PNM.
        note: words that say so where its mode had to change.
    """

    picture: Picture
    name: str
    kind: str
    note: str | None = None


def read_picture(path: str | os.PathLike[str] | bytes, frame: int | None = None) -> Picture:
    """Read a picture file: L, LA, RGB or RGBA of 8 or 16 bits as stored, orientation applied.

    CMYK, Lab and palette pictures become sRGB, with a warning in the log; two-level ones become L.

    Args:
        path: file; "-" is standard input; bytes are a file's content.
        frame: which of several frames, 0 being the first.

    Raises:
        InputError: one line that names the file and what to do: missing, damaged, not a picture, several frames,
            more than 400 megapixels.
    """
    decoded = decode(path, frame)
    if decoded.note:
        _logger.warning("%s: %s", decoded.name, decoded.note)
    return decoded.picture


def decode(
    path: str | os.PathLike[str] | bytes,
    frame: int | None = None,
    *,
    name: str | None = None,
    look: Look = lambda *_: None,
) -> Decoded:
    """`read_picture` with what has to be said of it, and nothing logged.

    Args:
        name: what messages call the file, if not by its path.
        look: called before memory is taken for the pixels; raises InputError where it should not be taken.
    """
    content: bytes | Path
    if isinstance(path, bytes):
        name, content = name or "the picture", path
    elif (text := path_text(path)) == STREAM:
        name, content = name or "standard input", _read_stream()
    else:
        name, content = name or text, Path(text)
    try:
        with _open_file(content, name) as stream:
            kind = _kind(stream.read(PREFIX_BYTES), name)
            with guarded(name, f"damaged or incomplete {kind.name} file"):
                if kind.plugin is _Tiff:
                    picture, note = _decode_tiff(stream, name, frame, look)
                else:
                    picture, note = _decode_other(kind, stream, name, frame, look)
                return Decoded(picture, name, kind.name, note)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file: check the path") from error
    except IsADirectoryError as error:
        raise InputError(f"{name}: is a folder: name a picture in it") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"{name}: cannot name a file ({reason(error)})") from error


def decode_image(image: Image.Image, name: str) -> tuple[Picture, str | None]:
    """A Pillow image of any mode as a picture, its orientation applied, and what has to be said of it.

    Raises:
        InputError: a mode without a stated range, or one that cannot be converted; `name` is what it calls the image.
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
    return Picture(orient(pixels, orientation), metadata), note


def check_kind(prefix: bytes, name: str) -> None:
    """`InputError` where a file that begins with these `PREFIX_BYTES` bytes is none that is read here."""
    _kind(prefix, name)


def is_hidden(path: PurePath) -> bool:
    """Whether a path within a folder is of a hidden file, or lies in a hidden folder."""
    return any(part.startswith(".") for part in path.parts)


def is_picture(path: PurePath) -> bool:
    """Whether a path within a folder is taken for a picture: its name alone decides."""
    return path.suffix.lower() in SUFFIXES and not is_hidden(path)


# --- where the bytes come from ----------------------------------------------------------------------------------------


class _File(io.BufferedReader):
    """A file of which never more is asked than it has: for all that is asked Python takes memory before it reads."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = min(size, os.fstat(self.fileno()).st_size)
        return super().read(size)


def path_text(path: Any) -> str:
    """The path as text; InputError for what is none."""
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a path is text or a path object, not {type(path).__name__}")
    text = os.fsdecode(path)
    if not text:
        raise InputError("the name of a picture is empty: name a file")
    return text


def special_file(mode: int) -> str:
    """What a file is, by the mode that `stat` gives, when it is neither a file nor a folder."""
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "something else")


def _open_file(content: Path | bytes, name: str) -> BinaryIO:
    """A stream from the beginning; InputError for pipes, devices and sockets, which may be waited for without end."""
    if isinstance(content, bytes):
        return io.BytesIO(content)
    mode = content.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{name}: is {special_file(mode)}, no file: use - and let it be the standard input")
    return _File(io.FileIO(content))


def _read_stream() -> bytes:
    """All of standard input; InputError where it begins as no picture does, or does not end."""
    if sys.stdin is None:
        raise InputError("standard input is closed: name a file")
    blocks = [sys.stdin.buffer.read(PREFIX_BYTES)]
    check_kind(blocks[0], "standard input")
    size = 0
    while block := sys.stdin.buffer.read(_BLOCK):
        blocks.append(block)
        size += len(block)
        if size > _LONGEST_STREAM:
            raise InputError("standard input: is longer than a gibibyte: give so large a picture as a file")
    return b"".join(blocks)


# --- kinds of files ---------------------------------------------------------------------------------------------------


class _Tiff(TiffImagePlugin.TiffImageFile):
    """A TIFF of any size: the storage is made here, past Pillow's own limit."""

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.core.new(self.mode, self._tile_size)
        super().load_prepare()


@dataclass(frozen=True)
class _Kind:
    """A kind of file.

    Attributes:
        name: as messages call it.
        accepts: whether a file that begins so is of this kind.
        plugin: Pillow's class.
        density: the most pixels that a byte of the file can stand for. In PNG deflate makes 1032 bytes of 8 pixels of
            one, in GIF a code of 12 bits less than 4096 pixels; JPEG, BMP and PNM are below that, and a picture that is
            nearly empty takes WebP a byte for 26,000.
    """

    name: str
    accepts: Callable[[bytes], Any]
    plugin: type[ImageFile.ImageFile]
    density: int


# A JPEG that carries further pictures (MPO: previews, gain maps, a second eye) is read as the JPEG that it begins with.
_KINDS = (
    _Kind("PNG", PngImagePlugin._accept, PngImagePlugin.PngImageFile, 8256),
    _Kind("JPEG", JpegImagePlugin._accept, JpegImagePlugin.JpegImageFile, 4096),
    _Kind("TIFF", TiffImagePlugin._accept, _Tiff, 0),
    _Kind("WebP", WebPImagePlugin._accept, WebPImagePlugin.WebPImageFile, 32768),
    _Kind("GIF", GifImagePlugin._accept, GifImagePlugin.GifImageFile, 4096),
    _Kind("BMP", BmpImagePlugin._accept, BmpImagePlugin.BmpImageFile, 4096),
    _Kind("PNM", PpmImagePlugin._accept, PpmImagePlugin.PpmImageFile, 8),
)


def _kind(prefix: bytes, name: str) -> _Kind:
    if not prefix:
        raise InputError(f"{name}: the file is empty")
    kind = next((kind for kind in _KINDS if kind.accepts(prefix)), None)
    if kind is None:
        readable = "PNG, JPEG, TIFF, WebP, GIF, BMP or PNM"
        raise InputError(f"{name}: not a picture of a kind that is read here ({readable}): convert it first")
    return kind


def _decode_other(
    kind: _Kind, stream: BinaryIO, name: str, frame: int | None, look: Look
) -> tuple[Picture, str | None]:
    most = kind.density * stream.seek(0, os.SEEK_END)
    try:
        image = _open(kind.plugin, stream)
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: too large for a {kind.name} file: save it as PNG or TIFF") from error
    _check_pixels(image, most, name)  # before memory is taken for frames
    index = _frame(getattr(image, "n_frames", 1), frame, name)
    image.seek(index)
    _check_pixels(image, most, name)  # this frame may be larger than the first
    look(*image.size, _bytes_of_decoding(image))
    return _decode_opened(image, stream, index, name)


def _decode_tiff(stream: BinaryIO, name: str, frame: int | None, look: Look) -> tuple[Picture, str | None]:
    directories = read_directories(stream)
    pictures = [directory for directory in directories if not directory.is_preview] or directories[:1]
    directory = pictures[_frame(len(pictures), frame, name)]
    directory.check(name)
    if directory.is_signed:
        raise InputError(f"{name}: signed samples are not read: save the picture with 8 or 16 bits from 0 on")
    image = _open_tiff(stream, directory)
    if image is None or _has_planes_apart(image):
        width, height = directory.size
        look(width, height, _MOST_BYTES * width * height)
        what = "damaged TIFF file, or of a kind that is not read: save it again as PNG, or as an uncompressed TIFF"
        with guarded(name, what):
            return decode_by_tifffile(stream, name, directory.index), None
    look(*image.size, _bytes_of_decoding(image))
    return _decode_opened(image, stream, directory.index, name)


def _check_pixels(image: ImageFile.ImageFile, most: int, name: str) -> None:
    """`InputError` for more pixels than are worked on, or than the bytes of the file can stand for."""
    width, height = image.size
    check_megapixels(width, height, name)
    if width * height > most:
        raise InputError(f"{name}: damaged or incomplete: the file is too short for a picture of {width}x{height}")


def _frame(count: int, frame: int | None, name: str) -> int:
    """The index of the frame to read; `InputError` where several are there and none is chosen, or an absent one is."""
    if frame is not None and not isinstance(frame, int):
        raise InputError(f"{name}: a frame is a whole number from 0 on, not {frame!r}")
    if frame is None and count > 1:
        of = f"{name} has {count} frames, of which a photo takes one; of other files save one as its own file"
        raise SettingError("frame", f"must be given, from 0 to {count - 1}: {of}")
    if frame is not None and not 0 <= frame < count:
        raise SettingError("frame", f"must be from 0 to {count - 1}, not {frame}: {name} has {count} frames")
    return frame or 0


def _open_tiff(stream: BinaryIO, directory: Directory) -> _Tiff | None:
    """The picture of a directory as Pillow sees it, not yet decoded; None for one of a kind that it does not know."""
    if directory.big and directory.order == ">":
        return None  # Pillow takes it for a TIFF that is not big
    try:
        image = _open(_Tiff, stream)
        image.seek(directory.index)
    except Exception:
        return None
    return image


def _open(plugin: type[_Opened], stream: BinaryIO) -> _Opened:
    """The file as Pillow sees it, not yet decoded."""
    stream.seek(0)
    # without a name: Pillow would map the named file into memory, and then turns it wrongly (TIFF orientation)
    return plugin(stream)


def _decode_opened(image: ImageFile.ImageFile, stream: BinaryIO, index: int, name: str) -> tuple[Picture, str | None]:
    """The picture of a file that Pillow has opened, `index` being the frame that it is at."""
    _reject_unranged(image, name)
    if sixteen := _sixteen_bit_modes(image):
        pixels = _decode_sixteen_bits(image, stream, index, sixteen)
        orientation, metadata = describe(image)
        return Picture(orient(pixels, orientation), metadata), None
    return decode_image(image, name)


def _bytes_of_decoding(image: ImageFile.ImageFile) -> int:
    """Pillow's storage and the array's bytes twice, as they are measured; all of it twice for 16 bits, and for WebP."""
    channels = {"L": 1, "LA": 2, "I;16": 2, "RGB": 3}.get(image.mode, 4)
    twice = bool(_sixteen_bit_modes(image)) or isinstance(image, WebPImagePlugin.WebPImageFile)
    return image.width * image.height * (4 + 2 * channels) * (1 + twice)


# --- sample types -----------------------------------------------------------------------------------------------------


def _arguments(tile: Any) -> tuple[Any, ...]:
    return tile.args if isinstance(tile.args, tuple) else (tile.args,)


def _with_raw_mode(tile: Any, raw_mode: str) -> Any:
    return tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)


def _has_planes_apart(image: _Tiff) -> bool:
    """Whether the samples lie in planes apart in a way that Pillow does not read, or reads wrongly."""
    bits = image.tag_v2.get(_BITS_PER_SAMPLE, (1,))
    deep = max(bits) > 8 or image.mode == "LA"
    return len(bits) > 1 and deep and image.tag_v2.get(_PLANAR_CONFIGURATION, 1) == 2


def _reject_unranged(image: ImageFile.ImageFile, name: str) -> None:
    """`InputError` for samples that have no stated range, or would silently be reduced."""
    if image.mode == "F":
        raise InputError(f"{name}: floating-point samples have no stated range: save the picture with 16 bits")
    if isinstance(image, _Tiff) and (image.mode == "I" or _arguments(image.tile[0])[0] == "I;12"):
        raise InputError(f"{name}: samples of 12 or 32 bits are not read: save the picture with 16 bits")
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


def _decode_sixteen_bits(image: ImageFile.ImageFile, stream: BinaryIO, index: int, raw_modes: list[str]) -> np.ndarray:
    premultiplied = str(_arguments(image.tile[0])[0]).startswith("RGBa")
    image.tile = [_with_raw_mode(tile, raw_modes[0]) for tile in image.tile]
    image.load()
    upper = np.asarray(image)
    if raw_modes == ["RGBA"]:
        return upper.view(">u2").astype(np.uint16)
    samples = upper.astype(np.uint16)
    samples <<= 8
    del upper
    again = _open(type(image), stream)
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
