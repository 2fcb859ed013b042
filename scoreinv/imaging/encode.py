"""From a `Picture` to a file's bytes: PNG, TIFF, WebP and JPEG, 16 bits and metadata kept where the format can.

Pillow writes 8-bit files and 16-bit grey. 16-bit PNGs of several channels, which it cannot write, are written here
(filters and zlib), and so are all TIFFs, since Pillow's tag directory, used for them, is the only one at hand that
writes nested EXIF directories.
"""

from __future__ import annotations

import logging
import struct
import zlib
from dataclasses import replace
from typing import BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

from scoreinv.errors import InputError
from scoreinv.imaging.metadata import Metadata, profile_fits, writable
from scoreinv.imaging.picture import Picture, eight_bits

FORMATS = {".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP", ".jpg": "JPEG", ".jpeg": "JPEG"}

JPEG_QUALITY = 95
_LONGEST_SIDE = {"WebP": 16383, "JPEG": 65500}
# what Pillow, and what is built on it, takes from a PNG; and 255 segments of a JPEG
_LONGEST_PROFILE = {"PNG": PngImagePlugin.MAX_TEXT_CHUNK - 1, "JPEG": 255 * 65519}
_JPEG_SEGMENT = 65533 - 64  # of EXIF or XMP, less its heading
_STRIP_BYTES = 1 << 20
_DEFLATE = 6
_logger = logging.getLogger(__name__)


def fit_to_format(picture: Picture, kind: str, name: str) -> Picture:
    """The picture as a format can hold it.

    WebP and JPEG have 8 bits: 16 are rounded to 8, with a warning. JPEG has no alpha: an opaque one is left out, any
    other is an error, and so is a picture beyond the format's size. A colour profile of another kind than the pixels
    (grey on colour) is left out, and with a warning one that is too long for the format.

    Raises:
        InputError: the format cannot hold the picture.
    """
    refuse_misfit(picture, kind, name)
    pixels = picture.pixels
    if kind == "JPEG" and picture.has_alpha:
        pixels = pixels[..., 0] if picture.mode == "LA" else pixels[..., :3]
    if kind in ("WebP", "JPEG") and pixels.dtype == np.uint16:
        _logger.warning("%s: %s has 8 bits, the picture's 16 are rounded (.png and .tif keep them)", name, kind)
        pixels = eight_bits(pixels)
    metadata = picture.metadata
    if metadata.icc and not profile_fits(metadata.icc, gray=picture.is_gray_mode and kind != "WebP"):
        metadata = replace(metadata, icc=None)
    if metadata.icc and len(metadata.icc) > _LONGEST_PROFILE.get(kind, len(metadata.icc)):
        _logger.warning("%s: the colour profile is too long for a %s and is left out (.tif keeps it)", name, kind)
        metadata = replace(metadata, icc=None)
    return Picture(np.ascontiguousarray(pixels), metadata)


def refuse_misfit(picture: Picture, kind: str, name: str) -> None:
    """Raise InputError, as `fit_to_format`, for a picture that the format cannot hold."""
    if picture.pixels.dtype.kind != "u":
        raise InputError(f"{name}: files hold 8 or 16 bits, not {picture.pixels.dtype}")
    refuse_size(picture.size, kind, name)
    if kind == "JPEG" and picture.has_alpha and (picture.pixels[..., -1] != picture.peak).any():
        raise InputError(f"{name}: JPEG has no transparency, which the picture has: choose .png, .tif or .webp")


def refuse_size(size: tuple[int, int], kind: str, name: str) -> None:
    """Raise InputError for a picture whose (height, width) the format cannot hold."""
    longest = max(size)
    if longest > _LONGEST_SIDE.get(kind, longest):
        raise InputError(f"{name}: {kind} ends at {_LONGEST_SIDE[kind]} pixels a side: choose .png or .tif")


def encode(stream: BinaryIO, picture: Picture, kind: str, quality: int | None = None) -> None:
    """Write a picture that `fit_to_format` returned.

    Args:
        kind: PNG, TIFF, WebP or JPEG.
        quality: 1 to 100. JPEG: default 95, chroma at full resolution. WebP: default lossless. Else unused.
    """
    if kind == "TIFF":
        _write_tiff(stream, picture)
    elif kind == "JPEG":
        _write_jpeg(stream, picture, JPEG_QUALITY if quality is None else quality)
    elif kind == "WebP":
        metadata = picture.metadata
        keep = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp}
        how = {"lossless": True, "exact": True} if quality is None else {"quality": quality}
        Image.fromarray(picture.pixels).save(stream, "WEBP", **how, **{k: v for k, v in keep.items() if v})
    elif picture.pixels.dtype == np.uint16 and picture.mode != "L":
        _write_deep_png(stream, picture)
    else:
        _write_png(stream, picture)


def to_pillow(picture: Picture) -> Image.Image:
    """A Pillow image with the picture's metadata; 16-bit colour, which Pillow has no mode for, is rounded to 8 bits."""
    pixels = picture.pixels
    if pixels.dtype == np.uint16 and picture.mode != "L":
        _logger.warning("Pillow has no 16-bit mode %s: the picture's 16 bits are rounded to 8", picture.mode)
        pixels = eight_bits(pixels)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    metadata = picture.metadata
    info = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp, "dpi": metadata.dpi}
    image.info.update({key: value for key, value in info.items() if value})
    return image


# --- JPEG -------------------------------------------------------------------------------------------------------------


def _write_jpeg(stream: BinaryIO, picture: Picture, quality: int) -> None:
    metadata = picture.metadata
    keep: dict[str, object] = {"icc_profile": metadata.icc}
    for key, block in (("exif", metadata.exif), ("xmp", metadata.xmp)):
        if block and len(block) > _JPEG_SEGMENT:
            _logger.warning("the %s block is too long for a JPEG and is left out (.png and .tif keep it)", key.upper())
        else:
            keep[key] = block
    if metadata.dpi:
        keep["dpi"] = tuple(round(value) for value in metadata.dpi)
    Image.fromarray(picture.pixels).save(
        stream, "JPEG", quality=quality, subsampling=0, **{key: value for key, value in keep.items() if value}
    )


# --- PNG --------------------------------------------------------------------------------------------------------------


def _write_png(stream: BinaryIO, picture: Picture) -> None:
    metadata = picture.metadata
    chunks = PngImagePlugin.PngInfo()
    if metadata.xmp:
        chunks.add_itxt("XML:com.adobe.xmp", metadata.xmp.decode("utf-8", "replace"))
    keep = {"icc_profile": metadata.icc, "exif": metadata.exif, "dpi": metadata.dpi}
    Image.fromarray(picture.pixels).save(stream, "PNG", pnginfo=chunks, **{k: v for k, v in keep.items() if v})


def _write_deep_png(stream: BinaryIO, picture: Picture) -> None:
    """16 bits and several channels, by the PNG specification (ISO/IEC 15948)."""

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
    """Rows of bytes, each with whichever of the filters Sub, Up and Paeth leaves the smallest sum (PNG, section 9)."""
    up = np.concatenate([above, strip[:-1]])
    left, upper_left = (np.pad(rows, ((0, 0), (pixel_bytes, 0)))[:, :-pixel_bytes] for rows in (strip, up))
    a, b, c = (rows.astype(np.int16) for rows in (left, up, upper_left))
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    paeth = np.where((to_a <= to_b) & (to_a <= to_c), left, np.where(to_b <= to_c, up, upper_left))
    candidates = np.stack([strip - left, strip - up, strip - paeth])
    sums = np.minimum(candidates, 0 - candidates).sum(axis=2, dtype=np.int64)
    best = sums.argmin(axis=0)
    out = np.empty((strip.shape[0], strip.shape[1] + 1), dtype=np.uint8)
    out[:, 0] = np.array([1, 2, 4], dtype=np.uint8)[best]
    out[:, 1:] = candidates[best, np.arange(strip.shape[0])]
    return out.tobytes()


# --- TIFF -------------------------------------------------------------------------------------------------------------


def _write_tiff(stream: BinaryIO, picture: Picture) -> None:
    """Deflate with horizontal prediction (TIFF 6.0 and Adobe's Technical Note 3), every mode and both sample types."""
    pixels, metadata = picture.pixels, picture.metadata
    samples = pixels.reshape(picture.height, picture.width, -1)
    channels = samples.shape[2]
    rows = max(1, _STRIP_BYTES // (samples[0].size * pixels.itemsize))
    strips = []
    for top in range(0, picture.height, rows):
        strip = samples[top : top + rows].astype(pixels.dtype.newbyteorder("<"))
        strip[:, 1:] -= samples[top : top + rows, :-1]
        strips.append(zlib.compress(strip.tobytes(), _DEFLATE))
    sizes = [len(strip) for strip in strips]
    offsets = np.concatenate([[0], np.cumsum(sizes[:-1])]).astype(np.int64).tolist()

    tags = TiffImagePlugin.ImageFileDirectory_v2()
    _add_metadata(tags, metadata)
    tags[256], tags[257] = picture.width, picture.height
    tags[258] = (pixels.itemsize * 8,) * channels
    tags[259], tags[317] = 8, 2  # Adobe deflate, horizontal differences
    tags[262] = 1 if picture.is_gray_mode else 2
    tags[277], tags[284] = channels, 1
    tags[278] = rows
    tags[273], tags[279] = tuple(offsets), tuple(sizes)
    tags[339] = (1,) * channels
    if picture.has_alpha:
        tags[338] = 2  # not multiplied into the colours
    tags.save(stream)
    for packed in strips:
        stream.write(packed)


def _add_metadata(tags: TiffImagePlugin.ImageFileDirectory_v2, metadata: Metadata) -> None:
    if metadata.exif:
        exif = Image.Exif()
        exif.load(metadata.exif)
        for tag in exif:
            tags[tag] = writable(exif, tag)
    if metadata.dpi:
        tags[282], tags[283] = metadata.dpi
        tags[296] = 2
    if metadata.icc:
        tags[34675] = metadata.icc
    if metadata.xmp:
        tags[700] = metadata.xmp
