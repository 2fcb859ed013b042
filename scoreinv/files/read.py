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
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePath
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

from scoreinv.files import heif
from scoreinv.files.guard import guarded, reason
from scoreinv.files.tiff import check_directory, decode_by_tifffile, is_preview, read_directories, unpremultiply
from scoreinv.imaging.metadata import describe, orient
from scoreinv.imaging.picture import Picture, check_megapixels
from scoreinv.system.errors import InputError, SettingError

STREAM = "-"  # what names standard input and output

SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".pnm", ".pbm", ".pgm", ".ppm"]
) | frozenset(heif.SUFFIXES)
"""Of the pictures in a folder or archive; a file that is named is read whatever its suffix."""

PREFIX_BYTES = 64  # of the beginning of a file, which tell its kind

Look = Callable[[int, int, int], None]
"""Is told a picture's width and height, maybe not yet turned upright, and the bytes that decoding takes at its peak."""

_LONGEST_STREAM = 1 << 30
_LONGEST_FILE = 4 << 30
"""Bytes of a file, more than a picture of 400 megapixels has uncompressed, in four channels of 16 bits."""
_BLOCK = 1 << 20
_MOST_BYTES = 24  # of a pixel, while it is decoded: four samples of 16 bits
_PLAIN_MODES = {"1": "L", "L": "L", "RGB": "RGB", "La": "LA", "RGBa": "RGBA", "P": "RGB", "PA": "RGBA"}
"""What is converted without a loss: to what, if no colour is transparent."""
_SIXTEEN_BITS = re.compile(r"(RGB|RGBA|RGBX|RGBa);16([LBN])")
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoded:
    """A picture as it was read.

    Attributes:
        name: what messages call its file.
        kind: PNG, JPEG, TIFF, WebP, HEIC, AVIF, GIF, BMP or PNM.
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
    try:
        if isinstance(path, bytes):
            name, content = name or "the picture", path
            kind = check_kind(content[:PREFIX_BYTES], name)
        elif os.fsdecode(path) == STREAM:
            name = name or "standard input"
            kind, content = _read_stream(name)
        else:
            name = name or os.fsdecode(path)
            there = Path(path).stat()
            mode = there.st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # which may be waited for without end
                raise InputError(f"{name}: is {special_file(mode)}, no file: use - and let it be the standard input")
            if there.st_size > _LONGEST_FILE:
                size = f"{there.st_size / 1e9:.0f} GB long, more than any picture that is worked on"
                raise InputError(f"{name}: is {size}: save the part or frame that is wanted as a file of its own")
            with Path(path).open("rb") as file:
                kind = check_kind(file.read(PREFIX_BYTES), name)
                file.seek(0)
                # all of it: of a file decoders may ask more than it has, for which Python takes memory first
                content = file.read()
        decoder = _DECODERS.get(kind) or partial(_decode_other, kind)
        with guarded(name, f"damaged or incomplete {kind} file"):
            picture, note = decoder(io.BytesIO(content), name, frame, look)
            return Decoded(picture, name, kind, note)
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
    white_is_zero = getattr(image, "tag_v2", {}).get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    orientation, metadata = describe(image.info, image.getexif)
    note = None
    if image.mode in ("CMYK", "LAB", "YCbCr", "RGBX", "HSV"):
        note = f"{image.mode} becomes sRGB"
        image = _to_srgb(image, name)
    elif image.mode in _PLAIN_MODES:
        target = _PLAIN_MODES[image.mode]
        if "transparency" in image.info and not target.endswith("A"):
            target += "A"
        if image.mode in ("P", "PA"):
            note = "palette colours become sRGB"
        if image.mode != target:
            image = image.convert(target)
            image.info.pop("transparency", None)
    elif image.mode not in ("LA", "RGBA", "I", "I;16", "I;16B", "I;16L", "I;16N"):
        raise InputError(f"{name}: pictures of mode {image.mode} are not read: convert it to RGB")
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


def is_hidden(path: PurePath) -> bool:
    """Whether a path within a folder is of a hidden file, or lies in a hidden folder."""
    return any(part.startswith(".") for part in path.parts)


def is_picture(path: PurePath) -> bool:
    """Whether a path within a folder is taken for a picture: its name alone decides."""
    return path.suffix.lower() in SUFFIXES and not is_hidden(path)


# --- where the bytes come from ----------------------------------------------------------------------------------------


def special_file(mode: int) -> str:
    """What a file is, by the mode that `stat` gives, when it is neither a file nor a folder."""
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "something else")


def _read_stream(name: str) -> tuple[str, bytes]:
    """The kind and all bytes of standard input; InputError where it begins as no picture does, or does not end."""
    if sys.stdin is None:
        raise InputError(f"{name} is closed: name a file")
    blocks, size = [sys.stdin.buffer.read(PREFIX_BYTES)], 0
    kind = check_kind(blocks[0], name)
    while block := sys.stdin.buffer.read(_BLOCK):
        blocks.append(block)
        size += len(block)
        if size > _LONGEST_STREAM:
            raise InputError(f"{name}: is longer than a gibibyte: give so large a picture as a file")
    return kind, b"".join(blocks)


# --- kinds of files ---------------------------------------------------------------------------------------------------


class _Tiff(TiffImagePlugin.TiffImageFile):
    """A TIFF of any size: the storage is made here, past Pillow's own limit."""

    def load_prepare(self) -> None:
        if self._im is None:
            self.im = Image.core.new(self.mode, self._tile_size)
        super().load_prepare()


# A JPEG that carries further pictures (MPO: previews, gain maps, a second eye) is read as the JPEG that it begins with.
_KINDS: dict[str, tuple[Callable[[bytes], Any], Callable[[BinaryIO], Any], int]] = {
    "PNG": (PngImagePlugin._accept, PngImagePlugin.PngImageFile, 8256),
    "JPEG": (JpegImagePlugin._accept, JpegImagePlugin.JpegImageFile, 4096),
    "TIFF": (TiffImagePlugin._accept, _Tiff, 0),
    "WebP": (WebPImagePlugin._accept, WebPImagePlugin.WebPImageFile, 32768),
    "HEIC": (heif.is_heic, heif.open_heic, 65536),
    "AVIF": (heif.is_avif, heif.open_avif, 1 << 20),
    "GIF": (GifImagePlugin._accept, GifImagePlugin.GifImageFile, 4096),
    "BMP": (BmpImagePlugin._accept, BmpImagePlugin.BmpImageFile, 4096),
    "PNM": (PpmImagePlugin._accept, PpmImagePlugin.PpmImageFile, 8),
}
"""By name, as messages call it: whether a file that begins so is of this kind, Pillow's class, and the most pixels that
a byte of the file can stand for. In PNG deflate makes 1032 bytes of 8 pixels of one, in GIF a code of 12 bits less than
4096 pixels; JPEG, BMP and PNM are below that, and a picture that is nearly empty takes WebP a byte for 26,000, HEIC
for 5,000 and AVIF for 570,000."""


def check_kind(prefix: bytes, name: str) -> str:
    """The kind of a file that begins with these `PREFIX_BYTES` bytes; `InputError` where it is none that is read."""
    if not prefix:
        raise InputError(f"{name}: the file is empty")
    for kind, (accepts, _, _) in _KINDS.items():
        if accepts(prefix):
            return kind
    readable = f"{', '.join(list(_KINDS)[:-1])} or {list(_KINDS)[-1]}"
    raise InputError(f"{name}: not a picture of a kind that is read here ({readable}): convert it first")


def _decode_other(kind: str, stream: BinaryIO, name: str, frame: int | None, look: Look) -> tuple[Picture, str | None]:
    _, plugin, density = _KINDS[kind]
    most = density * stream.seek(0, os.SEEK_END)
    stream.seek(0)
    try:
        image = plugin(stream)
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: too large for a {kind} file: save it as PNG or TIFF") from error
    _check_pixels(image, most, name)  # before memory is taken for frames
    index = _frame(getattr(image, "n_frames", 1), frame, name)
    image.seek(index)
    _check_pixels(image, most, name)  # this frame may be larger than the first
    return _decode_opened(image, stream, index, name, look)


def _decode_tiff(stream: BinaryIO, name: str, frame: int | None, look: Look) -> tuple[Picture, str | None]:
    directories = read_directories(stream)
    frames = [number for number, each in enumerate(directories) if not is_preview(each)] or [0]
    index = frames[_frame(len(frames), frame, name)]
    directory = directories[index]
    check_directory(directory, stream.seek(0, os.SEEK_END), name)
    stream.seek(0)
    image = None
    if stream.read(4) != b"MM\0+":  # Pillow takes that for a TIFF that is not big
        with suppress(Exception):  # it is of a kind that Pillow does not know
            stream.seek(0)
            opened = _Tiff(stream)
            opened.seek(index)
            bits = directory.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
            # Pillow does not read such samples in planes apart, or reads them wrongly
            deep = len(bits) > 1 and (max(bits) > 8 or opened.mode == "LA")
            if not (deep and directory.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 2):
                image = opened
    if image is not None:
        return _decode_opened(image, stream, index, name, look)
    width, height = directory[TiffImagePlugin.IMAGEWIDTH], directory[TiffImagePlugin.IMAGELENGTH]
    look(width, height, _MOST_BYTES * width * height)
    what = "damaged TIFF file, or of a kind that is not read: save it again as PNG, or as an uncompressed TIFF"
    with guarded(name, what):
        return decode_by_tifffile(stream, name, index), None


def _decode_avif(stream: BinaryIO, name: str, frame: int | None, look: Look) -> tuple[Picture, str | None]:
    heif.codec("AVIF", name)
    picture, note = _decode_other("AVIF", stream, name, frame, look)
    return picture, note or heif.avif_note(stream)


def _decode_heic(stream: BinaryIO, name: str, frame: int | None, look: Look) -> tuple[Picture, str | None]:
    """Of several pictures, such as a burst, the one that the file names as its main one, if none is chosen."""
    heif.codec("HEIC", name)
    _, opens, density = _KINDS["HEIC"]
    pictures = opens(stream)
    if not len(pictures):
        raise ValueError("it holds no picture")
    image = pictures[pictures.primary_index if frame is None else _frame(len(pictures), frame, name)]
    width, height = image.size
    _check_pixels(image, density * stream.seek(0, os.SEEK_END), name)
    look(width, height, heif.decoding_bytes(image))
    pixels, metadata, note = heif.decode_heic(image)
    if pixels.shape[:2] != (height, width):
        raise InputError(f"{name}: damaged: its picture is of another size than it says")
    return Picture(pixels, metadata), note


_DECODERS = {"TIFF": _decode_tiff, "HEIC": _decode_heic, "AVIF": _decode_avif}
"""Of the kinds that `_decode_other` alone does not do."""


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


def _decode_opened(
    image: ImageFile.ImageFile, stream: BinaryIO, index: int, name: str, look: Look
) -> tuple[Picture, str | None]:
    """The picture of a file that Pillow has opened, `index` being the frame that it is at.

    Opened as a stream, without a name: Pillow would map the named file into memory, and then turns it wrongly (TIFF
    orientation).
    """
    arguments = image.tile[0].args if image.tile else None
    first, last = (arguments[0], arguments[-1]) if isinstance(arguments, tuple) else (arguments, arguments)
    if image.mode == "F":
        raise InputError(f"{name}: floating-point samples have no stated range: save the picture with 16 bits")
    if isinstance(image, _Tiff) and (image.mode == "I" or first == "I;12"):
        raise InputError(f"{name}: samples of 12 or 32 bits are not read: save the picture with 16 bits")
    is_colour_pnm = isinstance(image, PpmImagePlugin.PpmImageFile) and image.mode == "RGB"
    if is_colour_pnm and last not in ("RGB", 255):  # the highest value
        raise InputError(f"{name}: PNM colours of other than 8 bits are not read: save the picture as PNG or TIFF")
    deep = first == "LA;16B" or (isinstance(first, str) and _SIXTEEN_BITS.fullmatch(first) is not None)
    # Pillow's storage and the array's bytes twice, as they are measured; all of it twice for 16 bits, and for WebP
    channels = {"L": 1, "LA": 2, "I;16": 2, "RGB": 3}.get(image.mode, 4)
    twice = deep or isinstance(image, WebPImagePlugin.WebPImageFile)
    look(*image.size, image.width * image.height * (4 + 2 * channels) * (1 + twice))
    if not deep:
        return decode_image(image, name)
    pixels = _decode_sixteen_bits(image, stream, index, str(first))
    orientation, metadata = describe(image.info, image.getexif)
    return Picture(orient(pixels, orientation), metadata), None


# --- sample types -----------------------------------------------------------------------------------------------------


def _decode_sixteen_bits(image: ImageFile.ImageFile, stream: BinaryIO, index: int, raw_mode: str) -> np.ndarray:
    """The samples of several channels in a raw mode of 16 bits: upper bytes, then lower."""
    if raw_mode == "LA;16B":
        return _decoded_as("RGBA", image).view(">u2").astype(np.uint16)  # the four bytes of a pixel, all at once
    channels, order = raw_mode.replace("a", "A").split(";16")  # alpha is divided out below, in 16 bits
    samples = _decoded_as(f"{channels};16{order}", image).astype(np.uint16)
    samples <<= 8
    stream.seek(0)
    again = type(image)(stream)
    again.seek(index)
    samples |= _decoded_as(f"{channels};16{_OTHER_BYTE[order]}", again)
    if raw_mode.startswith("RGBa"):
        unpremultiply(samples)
    return _alpha_from_key(samples, image.info.get("transparency"))


def _decoded_as(raw_mode: str, image: ImageFile.ImageFile) -> np.ndarray:
    tiles = []
    for tile in image.tile:
        tiles.append(tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode))
    image.tile = tiles
    return np.asarray(image)


def _alpha_from_key(samples: np.ndarray, key: Any) -> np.ndarray:
    """Append the alpha that a PNG states as one transparent colour."""
    if key is None:
        return samples
    colours = samples if samples.ndim == 3 else samples[..., None]
    opaque = (colours != np.asarray(key)).any(axis=-1)
    return np.dstack([colours, np.where(opaque, 65535, 0).astype(np.uint16)])


# --- modes ------------------------------------------------------------------------------------------------------------


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
