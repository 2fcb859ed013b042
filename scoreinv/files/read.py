"""Reading of files to `Picture`: keeps sample types, applies orientation, converts other modes to sRGB.

Pillow decodes. Two of its limits are avoided here:

- It has no mode for 16-bit samples of several channels, and returns their upper bytes. Its unpacker for the other byte
  order returns the lower bytes. So such a file is decoded twice, and the bytes are joined. This supports every
  compression, predictor, tiling and interlacing of Pillow. (OpenCV needs system libraries, and ignores the orientation
  when it keeps 16 bits.)
- `Image.open` refuses more than 179 megapixels and warns from 89 by a global setting. So the plugins are called
  directly, and the size is checked before decoding.

Files may be malicious: the stated size is compared with the file's length before memory is allocated (for the
directories of TIFFs in detail, see `tiff`). Every failure of a decoder becomes one error that names the file (`guard`).
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
from scoreinv.files.tiff import (
    PillowTiff,
    check_directory,
    decode_by_tifffile,
    has_floats,
    is_preview,
    open_by_pillow,
    read_directories,
    unpremultiply,
)
from scoreinv.files.urls import is_url, read_url
from scoreinv.imaging.metadata import metadata_of, orient
from scoreinv.imaging.picture import Picture, check_megapixels
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.files import STREAM, special_file
from scoreinv.system.limits import limits

SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".pnm", ".pbm", ".pgm", ".ppm"]
) | frozenset(heif.SUFFIXES)
"""Suffixes of the pictures in a folder or archive; a file named directly is read whatever its suffix."""

PREFIX_BYTES = 64  # bytes at the beginning of a file that determine its kind

SizeCheck = Callable[[int, int, int], None]
"""Called before decoding with a picture's width and height (possibly before rotation) and the peak memory of decoding
in bytes; raises InputError to refuse the picture."""

_BLOCK = 1 << 20
_PEAK_BYTES = 24  # peak memory of decoding, in bytes per pixel of four 16-bit samples
_PLAIN_MODES = {"1": "L", "L": "L", "RGB": "RGB", "La": "LA", "RGBa": "RGBA", "P": "RGB", "PA": "RGBA"}
"""Modes that convert without loss to the given ones, with an alpha channel added if one colour is transparent."""
_SIXTEEN_BITS = re.compile(r"(RGB|RGBA|RGBX|RGBa);16([LBN])")
"""Pillow's raw modes of 16-bit samples, with their byte order: little-endian, big-endian or native."""
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
"""The opposite byte order."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Decoded:
    """A decoded file.

    Attributes:
        name: name of the file in messages.
        kind: PNG, JPEG, TIFF, WebP, HEIC, AVIF, GIF, BMP or PNM.
        note: a sentence about a changed mode, omitted frames or lost precision.
    """

    picture: Picture
    name: str
    kind: str
    note: str | None = None


def read_picture(path: str | os.PathLike[str] | bytes, frame: int | None = None) -> Picture:
    """Read a picture file: L, LA, RGB or RGBA of 8 or 16 bits as stored, with orientation applied.

    CMYK, Lab and palette pictures become sRGB, and bilevel ones L. The log has a warning about each change, and about
    frames that are left out.

    Args:
        path: file or URL; "-" is standard input; bytes are the content of a file.
        frame: index of the frame, from 0.

    Raises:
        InputError: one line with the file and the remedy: missing, damaged, not a picture, several frames, more than
            400 megapixels.
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
    check_size: SizeCheck = lambda *_: None,
) -> Decoded:
    """Read a picture like `read_picture`, but return its note instead of logging it.

    Args:
        name: name of the file in messages, if not its path.
        check_size: called before memory is allocated for the pixels.
    """
    if name is None:
        name = "the picture" if isinstance(path, bytes) else os.fsdecode(path)
        name = "standard input" if name == STREAM else name
    try:
        kind, content = _read_bytes(path, name)
        with guarded(name, f"damaged or incomplete {kind} file"):
            picture, note = _decoder(kind)(io.BytesIO(content), name, frame, check_size)
            return Decoded(picture, name, kind, note)
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{name}: no such file: check the path") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"{name}: not a valid file name ({reason(error)})") from error


def stated_pixels(path: str) -> int:
    """Return the number of pixels that a local file states, without decoding them; 0 if it is no picture."""
    stated = 0

    def check_size(width: int, height: int, needed: int) -> None:
        nonlocal stated
        stated = width * height
        raise InputError("no pixel is needed")

    if Path(path).is_file():  # not a URL, which would be fetched
        with suppress(InputError):
            decode(path, 0, check_size=check_size)
    return stated


def decode_image(image: Image.Image, name: str) -> tuple[Picture, str | None]:
    """Convert a Pillow image of any mode to a picture with orientation applied, and return it with its note.

    Raises:
        InputError: a mode without a defined range, or one that cannot be converted; `name` is its name in messages.
    """
    image.load()
    white_is_zero = getattr(image, "tag_v2", {}).get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0
    orientation, metadata = metadata_of(image.info, image.getexif)
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
        elif image.mode == "1":
            note = "black and white becomes 8-bit grey"
        if image.mode != target:
            image = image.convert(target)
    elif image.mode not in ("LA", "RGBA", "I", "I;16", "I;16B", "I;16L", "I;16N"):
        raise InputError(f"{name}: the mode {image.mode} is not supported: convert the picture to RGB")
    if "icc_profile" not in image.info:
        metadata = replace(metadata, icc=None)
    pixels = np.asarray(image)
    if image.mode.startswith("I"):
        if image.mode == "I" and (pixels.min() < 0 or pixels.max() > 65535):
            raise InputError(f"{name}: has values outside 0 to 65535: convert it to 8 or 16 bits")
        pixels = pixels.astype(np.uint16)
        if white_is_zero:  # Pillow inverts 8-bit grey, but not 16-bit
            pixels = 65535 - pixels
        pixels = _alpha_from_key(pixels, image.info.get("transparency"))
    return Picture(orient(pixels, orientation), metadata), note


def check_file(path: str, option: str | None = None) -> None:
    """Raise InputError unless `path` is a file or `-`; the message names the option, if any."""
    if path != STREAM and not Path(path).is_file():
        given = path if option is None else f"{option} {path}"
        raise InputError(f"{given}: no such file" if not Path(path).exists() else f"{given}: not a file")


def is_hidden(path: PurePath) -> bool:
    """Return whether a path within a folder is hidden, or in a hidden folder."""
    return any(part.startswith(".") for part in path.parts)


def is_picture(path: PurePath) -> bool:
    """Return whether a path within a folder is a picture, by its suffix, and not hidden."""
    return path.suffix.lower() in SUFFIXES and not is_hidden(path)


# --- sources of bytes -------------------------------------------------------------------------------------------------


def _read_bytes(path: str | os.PathLike[str] | bytes, name: str) -> tuple[str, bytes]:
    """Return the kind and content of a file, URL or standard input, or of the bytes of a file.

    Raises InputError for an unsupported kind, a path that is not a regular file, and a file above the size limit.
    """
    if isinstance(path, bytes):
        return check_kind(path[:PREFIX_BYTES], name), path
    if os.fsdecode(path) == STREAM:
        return _read_stream(name)
    if is_url(os.fsdecode(path)):
        content = read_url(os.fsdecode(path), limits().file_bytes)
        return check_kind(content[:PREFIX_BYTES], name), content
    status = Path(path).stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe could block forever
        raise InputError(f"{name}: is {special_file(status.st_mode)}, not a file: name one, or pass - for stdin")
    if status.st_size > limits().file_bytes:
        size = f"{status.st_size / 1e9:.0f} GB long, above the limit"
        raise InputError(f"{name}: is {size}: save the part or frame that you need as a separate file")
    with Path(path).open("rb") as file:
        kind = check_kind(file.read(PREFIX_BYTES), name)
        file.seek(0)
        # The whole file: decoders may request more bytes than a file has, and Python would allocate them first.
        return kind, file.read()


def _read_stream(name: str) -> tuple[str, bytes]:
    """Return the kind and content of standard input; raise InputError if it is not a picture, or too long."""
    if sys.stdin is None:
        raise InputError(f"{name} is closed: name a file")
    blocks, size = [sys.stdin.buffer.read(PREFIX_BYTES)], 0
    kind = check_kind(blocks[0], name)
    while block := sys.stdin.buffer.read(_BLOCK):
        blocks.append(block)
        size += len(block)
        if size > limits().stream_bytes:
            raise InputError(f"{name}: is longer than a gibibyte: save it as a file first")
    return kind, b"".join(blocks)


# --- kinds of files ---------------------------------------------------------------------------------------------------


# A JPEG with further pictures (MPO: previews, gain maps, stereo) is read as its first JPEG.
_KINDS: dict[str, tuple[Callable[[bytes], Any], Callable[[BinaryIO], Any], int]] = {
    "PNG": (PngImagePlugin._accept, PngImagePlugin.PngImageFile, 8256),
    "JPEG": (JpegImagePlugin._accept, JpegImagePlugin.JpegImageFile, 4096),
    "TIFF": (TiffImagePlugin._accept, PillowTiff, 0),
    "WebP": (WebPImagePlugin._accept, WebPImagePlugin.WebPImageFile, 32768),
    "HEIC": (heif.is_heic, heif.open_heic, 65536),
    "AVIF": (heif.is_avif, heif.open_avif, 1 << 20),
    "GIF": (GifImagePlugin._accept, GifImagePlugin.GifImageFile, 4096),
    "BMP": (BmpImagePlugin._accept, BmpImagePlugin.BmpImageFile, 4096),
    "PNM": (PpmImagePlugin._accept, PpmImagePlugin.PpmImageFile, 8),
}
"""By kind: a test of the file's beginning, the function that opens it, and the maximum number of pixels per byte of the
file. A byte of PNG's deflate holds at most 8256 pixels, and a 12-bit code of GIF fewer than 4096. JPEG, BMP and PNM
have fewer. Nearly uniform pictures have 26,000 pixels per byte in WebP, 5,000 in HEIC and 570,000 in AVIF."""


def check_kind(prefix: bytes, name: str) -> str:
    """Return the kind of a file by its first `PREFIX_BYTES` bytes; raise InputError for unsupported ones."""
    if not prefix:
        raise InputError(f"{name}: the file is empty")
    for kind, (accepts, _, _) in _KINDS.items():
        if accepts(prefix):
            return kind
    readable = f"{', '.join(list(_KINDS)[:-1])} or {list(_KINDS)[-1]}"
    raise InputError(f"{name}: not a supported picture ({readable}): convert it first")


def _decode_other(
    kind: str, stream: BinaryIO, name: str, frame: int | None, check_size: SizeCheck
) -> tuple[Picture, str | None]:
    """Decode a frame of a file by Pillow; like all decoders, return the picture and a note."""
    _, plugin, density = _KINDS[kind]
    most_pixels = density * stream.seek(0, os.SEEK_END)
    stream.seek(0)
    try:
        image = plugin(stream)
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: too large for a {kind} file: save it as PNG or TIFF") from error
    _check_pixels(image, most_pixels, name)  # before frames allocate memory
    index, chosen = _frame(getattr(image, "n_frames", 1), frame, name)
    image.seek(index)
    _check_pixels(image, most_pixels, name)  # this frame may be larger than the first
    picture, note = _decode_opened(image, stream, index, name, check_size)
    return picture, _joined(chosen, note)


def _decode_tiff(stream: BinaryIO, name: str, frame: int | None, check_size: SizeCheck) -> tuple[Picture, str | None]:
    directories = read_directories(stream)
    frames = [number for number, each in enumerate(directories) if not is_preview(each)] or [0]
    number, chosen = _frame(len(frames), frame, name)
    index = frames[number]
    directory = directories[index]
    check_directory(directory, stream.seek(0, os.SEEK_END), name)
    image = open_by_pillow(stream, directory, index)
    if image is not None:
        picture, note = _decode_opened(image, stream, index, name, check_size)
        return picture, _joined(chosen, note)
    width, height = directory[TiffImagePlugin.IMAGEWIDTH], directory[TiffImagePlugin.IMAGELENGTH]
    check_size(width, height, _PEAK_BYTES * width * height)
    what = "damaged or unsupported TIFF file: save it again as PNG, or as an uncompressed TIFF"
    with guarded(name, what):
        note = "32-bit floats become 16 bits" if has_floats(directory) else None
        return decode_by_tifffile(stream, name, directory, index), _joined(chosen, note)


def _decode_avif(stream: BinaryIO, name: str, frame: int | None, check_size: SizeCheck) -> tuple[Picture, str | None]:
    heif.codec("AVIF", name)
    picture, note = _decode_other("AVIF", stream, name, frame, check_size)
    return picture, _joined(note, heif.avif_note(stream))


def _decode_heic(stream: BinaryIO, name: str, frame: int | None, check_size: SizeCheck) -> tuple[Picture, str | None]:
    """Decode the chosen picture of several, such as a burst, or by default the primary one."""
    heif.codec("HEIC", name)
    _, opens, density = _KINDS["HEIC"]
    pictures = opens(stream)
    if not len(pictures):
        raise ValueError("it contains no picture")
    index, chosen = (pictures.primary_index, None) if frame is None else _frame(len(pictures), frame, name)
    image = pictures[index]
    width, height = image.size
    _check_pixels(image, density * stream.seek(0, os.SEEK_END), name)
    check_size(width, height, heif.decoding_bytes(image))
    pixels, metadata, note = heif.decode_heic(image)
    if pixels.shape[:2] != (height, width):
        raise InputError(f"{name}: damaged: its picture has another size than stated")
    return Picture(pixels, metadata), _joined(chosen, note)


_DECODERS = {"TIFF": _decode_tiff, "HEIC": _decode_heic, "AVIF": _decode_avif}
"""Decoders of the kinds that need more than `_decode_other`."""


def _decoder(kind: str) -> Callable[[BinaryIO, str, int | None, SizeCheck], tuple[Picture, str | None]]:
    return _DECODERS.get(kind) or partial(_decode_other, kind)


def _check_pixels(image: ImageFile.ImageFile, most_pixels: int, name: str) -> None:
    """Raise InputError if the picture exceeds the size limit, or the file is too short for it."""
    width, height = image.size
    check_megapixels(width, height, name)
    if width * height > most_pixels:
        raise InputError(f"{name}: damaged or incomplete: the file is too short for a picture of {width}x{height}")


def _joined(*notes: str | None) -> str | None:
    """Return all notes as one; None if there are none."""
    return "; ".join(filter(None, notes)) or None


def _frame(count: int, frame: int | None, name: str) -> tuple[int, str | None]:
    """Return the index of the frame to read, and a note if the file has others.

    Raises InputError if the file has several frames and none is chosen, or if the chosen one does not exist.
    """
    if frame is not None and not isinstance(frame, int):
        raise InputError(f"{name}: the frame must be a whole number of at least 0, not {frame!r}")
    if frame is None and count > 1:
        raise SettingError("frame", f"must be chosen, from 0 to {count - 1}: {name} has {count} frames")
    if frame is not None and not 0 <= frame < count:
        raise SettingError("frame", f"must be from 0 to {count - 1}, not {frame}: {name} has {count} frames")
    return frame or 0, f"only frame {frame} of the frames 0 to {count - 1} is read" if count > 1 else None


def _decode_opened(
    image: ImageFile.ImageFile, stream: BinaryIO, index: int, name: str, check_size: SizeCheck
) -> tuple[Picture, str | None]:
    """Decode a file that Pillow has opened, at the frame `index`.

    The file must be opened as a stream without a name: Pillow would memory-map a named file, and then apply a TIFF's
    orientation wrongly.
    """
    arguments = image.tile[0].args if image.tile else None
    first, last = (arguments[0], arguments[-1]) if isinstance(arguments, tuple) else (arguments, arguments)
    if image.mode == "F":
        raise InputError(f"{name}: floating-point samples have no defined range: save the picture with 16 bits")
    if isinstance(image, PillowTiff) and (image.mode == "I" or first == "I;12"):
        raise InputError(f"{name}: samples of 12 or 32 bits are not supported: save the picture with 16 bits")
    is_colour_pnm = isinstance(image, PpmImagePlugin.PpmImageFile) and image.mode == "RGB"
    if is_colour_pnm and last not in ("RGB", 255):  # the maximum value
        raise InputError(f"{name}: PNM colours must have 8 bits: save the picture as PNG or TIFF")
    deep = first == "LA;16B" or (isinstance(first, str) and _SIXTEEN_BITS.fullmatch(first) is not None)
    # Measured peak: Pillow's storage and twice the array's bytes; twice as much for 16 bits and for WebP.
    channels = {"L": 1, "LA": 2, "I;16": 2, "RGB": 3}.get(image.mode, 4)
    is_doubled = deep or isinstance(image, WebPImagePlugin.WebPImageFile)
    check_size(*image.size, image.width * image.height * (4 + 2 * channels) * (1 + is_doubled))
    if not deep:
        return decode_image(image, name)
    pixels = _decode_sixteen_bits(image, stream, index, str(first))
    orientation, metadata = metadata_of(image.info, image.getexif)
    return Picture(orient(pixels, orientation), metadata), None


# --- sample types -----------------------------------------------------------------------------------------------------


def _decode_sixteen_bits(image: ImageFile.ImageFile, stream: BinaryIO, index: int, raw_mode: str) -> np.ndarray:
    """Return 16-bit samples of several channels: decode the upper bytes, then the lower ones."""
    if raw_mode == "LA;16B":
        return _decoded_as("RGBA", image).view(">u2").astype(np.uint16)  # four bytes are a pixel
    channels, order = raw_mode.replace("a", "A").split(";16")  # unpremultiplied below, in 16 bits
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
    """Decode an opened file as if its samples had another raw mode."""
    tiles = []
    for tile in image.tile:
        tiles.append(tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode))
    image.tile = tiles
    return np.asarray(image)


def _alpha_from_key(samples: np.ndarray, key: Any) -> np.ndarray:
    """Append an alpha channel to the 16-bit samples of a PNG with one transparent colour; None: there is none."""
    if key is None:
        return samples
    colours = samples if samples.ndim == 3 else samples[..., None]
    opaque = (colours != np.asarray(key)).any(axis=-1)
    return np.dstack([colours, np.where(opaque, 65535, 0).astype(np.uint16)])


# --- modes ------------------------------------------------------------------------------------------------------------


def _to_srgb(image: Image.Image, name: str) -> Image.Image:
    """Convert an image of another colour space to sRGB by its colour profile, if usable, else by Pillow's formula."""
    profile = image.info.get("icc_profile") or b""
    converted = None
    if image.mode == "LAB" or profile[16:20] == b"CMYK" == image.mode.encode():
        try:
            lab = image.mode == "LAB"
            source = ImageCms.createProfile("LAB") if lab else ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, ImportError, OSError) as error:
            if image.mode == "LAB":
                raise InputError(f"{name}: Lab colours cannot be converted: save the picture as RGB") from error
    if converted is None:
        converted = image.convert("RGB")
    converted.info = {key: value for key, value in image.info.items() if key != "icc_profile"}
    return converted
