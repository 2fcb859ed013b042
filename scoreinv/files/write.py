"""Writing of `Picture` to files: atomic, with 16 bits and metadata if the format supports them.

Pillow writes 8-bit files and 16-bit grey. It cannot write 16-bit PNGs of several channels: these are encoded here
(filters and zlib), and TIFFs in `tiff`.
"""

from __future__ import annotations

import io
import logging
import os
import struct
import sys
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

from scoreinv.files import heif
from scoreinv.files.guard import reason
from scoreinv.files.tiff import write_tiff
from scoreinv.files.urls import exists, is_url, write_url
from scoreinv.imaging.metadata import profile_fits
from scoreinv.imaging.picture import Picture, eight_bits
from scoreinv.imaging.records import records_alone
from scoreinv.system.errors import ExistsError, InputError, ScoreinvError, SettingError
from scoreinv.system.files import STREAM, atomic_write, check_writable

FORMATS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP", ".jpg": "JPEG", ".jpeg": "JPEG"}
FORMATS |= heif.SUFFIXES
"""Format by suffix."""

_QUALITY = {"JPEG": 95, "HEIC": 90, "AVIF": 90}
"""Default quality; formats not listed are lossless at 8 bits."""
_SUBSAMPLING = {"JPEG": "4:4:4", "HEIC": "4:2:0", "AVIF": "4:4:4"}
"""Chroma subsampling; 4:2:0 is the only one that all phones can display in HEIC."""
_LONGEST_SIDE = {"WebP": 16383, "JPEG": 65500, "HEIC": heif.LONGEST_SIDE, "AVIF": heif.LONGEST_SIDE}
# Maximum bytes of a colour profile: the limit of PNG readers built on Pillow, and 255 segments of a JPEG.
_LONGEST_PROFILE = {"PNG": PngImagePlugin.MAX_TEXT_CHUNK - 1, "JPEG": 255 * 65519}
_JPEG_SEGMENT = 65533 - 64  # maximum bytes of EXIF or XMP in a JPEG, without the header
_STRIP_BYTES = 1 << 20
_DEFLATE = 6
_PNG_LEVEL = 3  # compression level of Pillow's PNGs: 2/5 of the time of its default, files 2 % larger
_logger = logging.getLogger(__name__)


def write_picture(
    path: str | os.PathLike[str], picture: Picture, *, overwrite: bool = False, quality: int | None = None
) -> None:
    """Write a picture in the format of the suffix, one of `FORMATS`, completely or not at all.

    A temporary file beside the target is written, synced and renamed. The folder must exist.

    PNG and TIFF keep every sample. WebP is lossless unless a quality is given; JPEG (default quality 95), HEIC and AVIF
    (90) are lossy. These four round 16 bits to 8, with a warning. JPEG has no alpha: an opaque alpha channel is
    dropped. A colour profile that does not fit the pixels (grey on colour) is dropped; so is one that is too long for
    the format, with a warning.

    Args:
        path: file or URL; "-" is standard output, as PNG.
        overwrite: replace an existing file.
        quality: 1 to 100, for JPEG, WebP, HEIC and AVIF.

    Raises:
        InputError: the path cannot be written, exists, or its format cannot hold the picture.
        ScoreinvError: writing failed midway (disk full); nothing is left behind.
    """
    name = os.fsdecode(path)
    if name == STREAM:
        _write_stream(picture)
        return
    if is_url(name):
        if not overwrite and exists(name):
            raise ExistsError(f"{name}: exists: choose another name, or replace it")
        write_url(name, picture_bytes(picture, name, quality))
        return
    try:
        with atomic_write(Path(name), overwrite=overwrite) as temporary, temporary.open("xb") as stream:
            encode(stream, picture, name, quality)
    except InputError:
        raise
    except Exception as error:  # encoders raise exceptions of all types
        raise ScoreinvError(f"{name}: writing failed ({_why(error)}): nothing was written") from error


def picture_bytes(picture: Picture, name: str, quality: int | None = None) -> bytes:
    """Return the bytes of the file that `write_picture` would write under this name.

    Raises:
        InputError: the format of the suffix cannot hold the picture.
    """
    buffer = io.BytesIO()
    encode(buffer, picture, name, quality)
    return buffer.getvalue()


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False, makes_folder: bool = False) -> None:
    """Check that `write_picture` can write to a path, before computing anything; see `system.files.check_writable`.

    Raises:
        InputError: also for an unknown suffix, and for "-" if standard output is closed.
    """
    name = os.fsdecode(path)
    if name == STREAM:
        check_stdout()
        return
    _kind_of(name)
    check_writable(Path(name), overwrite=overwrite, makes_folder=makes_folder)


def check_stdout() -> None:
    """Raise InputError if the process was started without standard output."""
    if sys.stdout is None or sys.__stdout__ is None:  # the command opens the null device in its place
        raise InputError("-o -: standard output is closed: name a file")


def refuse_inputs(option: str, outputs: Iterable[str], inputs: Mapping[str, str]) -> None:
    """Raise InputError if an output would replace an input.

    Args:
        option: the option that names the outputs.
        inputs: the role of each input in the message, such as "a photo", by its path; missing files are ignored.
    """
    roles = {_identity(path): role for path, role in inputs.items() if os.path.exists(path)}  # noqa: PTH110
    for output in outputs:
        if os.path.exists(output) and (role := roles.get(_identity(output))):  # noqa: PTH110
            raise InputError(f"{option} {output}: is {role}: name another file")


def check_quality(paths: list[str], choose: str) -> None:
    """Raise SettingError if no output has a format with a quality; `choose` names the options for the format."""
    if all(_kind_of(path) in ("PNG", "TIFF") for path in paths):
        raise SettingError("quality", f"has no effect on {paths[0]}: choose jpg, webp, heic or avif with {choose}")


def is_lossy(path: str, quality: int | None) -> bool:
    """Return whether the format of an output alters pixels; `-` is PNG."""
    kind = _kind_of(path)
    return kind in ("JPEG", "HEIC", "AVIF") or (kind == "WebP" and quality is not None)


def format_of(path: str | os.PathLike[str], size: tuple[int, int]) -> str:
    """Return the format of a path; raise InputError if it cannot hold a picture of (height, width).

    HEIC and AVIF may also lack a package.
    """
    name = os.fsdecode(path)
    kind = _kind_of(name)
    if max(size) > _LONGEST_SIDE.get(kind, max(size)):
        raise InputError(f"{name}: {kind} is limited to {_LONGEST_SIDE[kind]} pixels a side: choose .png or .tif")
    if kind in heif.SUFFIXES.values():
        heif.codec(kind, name)
    return kind


def check_format(path: str | os.PathLike[str], picture: Picture) -> str:
    """Return the format of a path; raise InputError if it cannot hold the picture's size, sample type or alpha."""
    name = os.fsdecode(path)
    if picture.pixels.dtype.kind != "u":
        raise InputError(f"{name}: files hold 8 or 16 bits, not {picture.pixels.dtype}")
    kind = format_of(name, picture.size)
    if kind == "JPEG" and picture.has_alpha and (picture.pixels[..., -1] != picture.peak).any():
        raise InputError(f"{name}: JPEG has no transparency, which the picture has: choose .png, .tif or .webp")
    return kind


def to_pillow(picture: Picture) -> Image.Image:
    """Return a Pillow image with the metadata. Pillow has no 16-bit colour: such samples are rounded to 8 bits."""
    pixels = picture.pixels
    if pixels.dtype == np.uint16 and picture.mode != "L":
        _logger.warning("Pillow has no 16-bit mode %s: the picture's 16 bits are rounded to 8", picture.mode)
        pixels = eight_bits(pixels)
    image = Image.fromarray(pixels)
    metadata = picture.metadata
    info = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp, "dpi": metadata.dpi}
    image.info.update({key: value for key, value in info.items() if value})
    return image


# --- files ------------------------------------------------------------------------------------------------------------


def _kind_of(name: str) -> str:
    """Return the format of a path by its suffix; `-` is PNG."""
    if name == STREAM:
        return "PNG"
    suffix = Path(name).suffix
    if suffix.lower() not in FORMATS:
        what = f"the suffix {suffix}" if suffix else "a name without suffix"
        raise InputError(f"{name}: {what} is not a supported format: use {', '.join(FORMATS)}")
    return FORMATS[suffix.lower()]


def _identity(path: str) -> tuple[int, int]:
    """Return the device and number of a file, which all its links share."""
    status = os.stat(path)  # noqa: PTH116
    return status.st_dev, status.st_ino


def _write_stream(picture: Picture) -> None:
    """Write the picture to standard output, as PNG."""
    check_stdout()
    content = picture_bytes(picture, STREAM)
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise  # the reader has closed the pipe
    except OSError as error:
        raise ScoreinvError(f"standard output: writing failed ({error.strerror})") from error


def _why(error: Exception) -> str:
    """Return the reason of a failure: that of the operating system, or the first line of the error."""
    return getattr(error, "strerror", None) or reason(error)


# --- formats ----------------------------------------------------------------------------------------------------------


def encode(stream: BinaryIO, picture: Picture, name: str, quality: int | None = None) -> None:
    """Write a picture to a stream in the format of a name; see `write_picture`."""
    kind, pixels, metadata = check_format(name, picture), picture.pixels, picture.metadata
    if kind == "JPEG" and picture.has_alpha:
        pixels = pixels[..., 0] if picture.mode == "LA" else pixels[..., :3]
    if kind not in ("PNG", "TIFF") and pixels.dtype == np.uint16:
        _logger.warning("%s: %s has 8 bits, the picture's 16 are rounded (.png and .tif keep them)", name, kind)
        pixels = eight_bits(pixels)
    if metadata.icc and not profile_fits(metadata.icc, gray=_is_stored_gray(picture, kind)):
        metadata = replace(metadata, icc=None)
    if metadata.icc and len(metadata.icc) > _LONGEST_PROFILE.get(kind, len(metadata.icc)):
        _logger.warning("%s: the colour profile is too long for a %s and is left out (.tif keeps it)", name, kind)
        metadata = replace(metadata, icc=None)
    picture = Picture(np.ascontiguousarray(pixels), metadata)
    if kind == "TIFF":
        write_tiff(stream, picture)
    elif kind == "PNG" and pixels.dtype == np.uint16 and picture.mode != "L":
        _write_deep_png(stream, picture)
    else:
        _write_by_pillow(stream, picture, name, kind, quality)


def _is_stored_gray(picture: Picture, kind: str) -> bool:
    """Return whether this format stores the picture as grey: some have no grey, or no grey with alpha."""
    if kind == "HEIC":
        return picture.mode == "L"
    return picture.is_gray_mode and kind not in ("WebP", "AVIF")


def _write_by_pillow(stream: BinaryIO, picture: Picture, name: str, kind: str, quality: int | None) -> None:
    """Write a PNG of 8 bits or of 16-bit grey, WebP, JPEG, HEIC or AVIF."""
    metadata = picture.metadata
    keep: dict[str, Any] = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp}
    if kind == "PNG":
        chunks = PngImagePlugin.PngInfo()
        if metadata.xmp:
            chunks.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
        keep |= {"xmp": None, "pnginfo": chunks, "dpi": metadata.dpi, "compress_level": _PNG_LEVEL}
    elif kind == "WebP":
        keep |= {"lossless": True, "exact": True} if quality is None else {"quality": quality}
    else:
        keep |= {"quality": _QUALITY[kind] if quality is None else quality, "subsampling": _SUBSAMPLING[kind]}
    if kind == "JPEG":
        for key in ("exif", "xmp"):
            if keep[key] and len(keep[key]) > _JPEG_SEGMENT:
                alone = records_alone(keep[key]) if key == "xmp" else None
                keep[key] = alone if alone and len(alone) <= _JPEG_SEGMENT else None
                lost = "all of it but scoreinv's records" if keep[key] else "it"
                _logger.warning(
                    "%s: the %s block is too long for a JPEG: %s is left out (.png and .tif keep it)",
                    name,
                    key.upper(),
                    lost,
                )
        dpi = tuple(round(value) for value in metadata.dpi or ())
        keep["dpi"] = dpi if max(dpi, default=0) < 1 << 16 else None  # JFIF has 16 bits, which would overflow
    keep = {key: value for key, value in keep.items() if value}
    if kind == "HEIC":
        heif.encode_heic(stream, picture.pixels, picture.mode, keep)
    else:
        Image.fromarray(picture.pixels).save(stream, kind, **keep)


# --- PNG --------------------------------------------------------------------------------------------------------------


def _write_deep_png(stream: BinaryIO, picture: Picture) -> None:
    """Write a PNG with 16 bits and several channels (ISO/IEC 15948)."""

    def chunk(kind: bytes, data: bytes) -> None:
        stream.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

    pixels, metadata = picture.pixels, picture.metadata
    colour_type = {"LA": 4, "RGB": 2, "RGBA": 6}[picture.mode]
    stream.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", picture.width, picture.height, 16, colour_type, 0, 0, 0))
    if metadata.icc:
        chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc))
    if metadata.dpi:
        chunk(b"pHYs", struct.pack(">IIB", *(round(value / 0.0254) for value in metadata.dpi), 1))
    if metadata.xmp:
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)
    if metadata.exif:
        chunk(b"eXIf", metadata.exif.removeprefix(b"Exif\0\0"))
    deflate = zlib.compressobj(_DEFLATE)
    above = np.zeros((1, picture.width * pixels.shape[2] * 2), dtype=np.uint8)
    rows = max(1, _STRIP_BYTES // above.size)
    for top in range(0, picture.height, rows):
        strip = pixels[top : top + rows].astype(">u2").view(np.uint8).reshape(-1, above.size)
        packed = deflate.compress(_filtered(strip, above, pixels.shape[2] * 2))
        if packed:
            chunk(b"IDAT", packed)
        above = strip[-1:]
    chunk(b"IDAT", deflate.flush())
    chunk(b"IEND", b"")


def _filtered(strip: np.ndarray, above: np.ndarray, pixel_bytes: int) -> bytes:
    """Apply the Paeth filter (PNG, section 9) to rows of bytes; the best filter per row makes photographs larger."""
    up = np.concatenate([above, strip[:-1]])
    left, upper_left = (np.pad(rows, ((0, 0), (pixel_bytes, 0)))[:, :-pixel_bytes] for rows in (strip, up))
    a, b, c = (rows.astype(np.int16) for rows in (left, up, upper_left))
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    paeth = np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, up, upper_left))
    return np.insert(strip - paeth, 0, 4, axis=1).tobytes()
