"""Small pictures of every kind that is read, and what must hold of them once they are damaged."""

from __future__ import annotations

import contextlib
import io
import random
from functools import cache
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageCms

from scoreinv.errors import ScoreinvError
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.read import read_picture
from scoreinv.imaging.write import picture_bytes

_LARGEST_WRITTEN = 500_000
"""Pixels: an empty picture of a few bytes may be large, and to write that takes its time by right."""


def read_and_write(generator: random.Random, folder: Path, data: bytes) -> None:
    """Read a picture, from its bytes or from a file, and write it in every format; raises ScoreinvError if refused."""
    frame = generator.choice((None, None, 0, 0, 1, 3))
    path = folder / "picture"
    path.write_bytes(data)
    picture = read_picture(path if generator.random() < 0.5 else data, frame)
    if picture.width * picture.height > _LARGEST_WRITTEN:
        return
    for suffix in ("png", "tif", "webp", "jpg"):
        with contextlib.suppress(ScoreinvError):
            picture_bytes(picture, f"out.{suffix}")


def _pixels(shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(7)
    ramp = np.linspace(0, 0.8, int(np.prod(shape))).reshape(shape) + 0.2 * rng.random(shape)
    return (ramp * np.iinfo(dtype).max).astype(dtype)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[271], exif[274], exif[33432] = "Maker", 6, "someone"
    exif[34665] = {36867: "2020:01:02 03:04:05", 33434: (1, 100), 37500: b"note" * 4}
    exif[34853] = {1: "N", 2: (52.0, 30.0, 1.5)}
    return exif


def _profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def tiffs() -> list[bytes]:
    """Small TIFFs of both sizes of offsets and both byte orders, in strips, tiles and planes, of most compressions."""
    found = []
    layouts = [
        ((24, 31), "minisblack", None),
        ((24, 31, 3), "rgb", None),
        ((24, 31, 4), "rgb", ["unassalpha"]),
        ((24, 31, 2), "minisblack", ["unassalpha"]),
    ]
    for number, (shape, photometric, extra) in enumerate(layouts):
        for dtype in (np.uint8, np.uint16):
            for big, order, compression, tile, rows in (
                (False, "<", None, None, 8),
                (False, ">", "zlib", None, 5),
                (True, "<", None, (16, 16), None),
                (True, ">", None, None, None),
                (False, ">", None, (16, 32), None),
                (True, "<", "zlib", (16, 16), None),
            ):
                buffer = io.BytesIO()
                separate = len(shape) == 3 and rows == 8 and number % 2 == 1
                pixels = _pixels(shape, dtype)
                tifffile.imwrite(
                    buffer,
                    np.moveaxis(pixels, -1, 0) if separate else pixels,
                    bigtiff=big,
                    byteorder=order,
                    compression=compression,
                    photometric=photometric,
                    planarconfig="separate" if separate else None,
                    extrasamples=extra,
                    tile=tile,
                    rowsperstrip=rows,
                    resolution=(300, 300),
                    metadata=None,
                )
                found.append(buffer.getvalue())
    options = {"exif": _exif(), "icc_profile": _profile(), "dpi": (300, 150), "tiffinfo": {700: b"<x/>" * 8}}
    colour = Image.fromarray(_pixels((24, 31, 3)))
    for compression in ("raw", "tiff_lzw", "packbits", "jpeg", "tiff_adobe_deflate", "zstd", "lzma"):
        with contextlib.suppress(OSError, ValueError, KeyError):  # not every build has all of them
            found.append(_saved(colour, "TIFF", compression=compression, **options))
            found.append(_saved(colour.convert("L"), "TIFF", compression=compression))
    for compression in ("group3", "group4", "tiff_ccitt", "raw"):
        found.append(_saved(colour.convert("1"), "TIFF", compression=compression))
    for mode in ("P", "CMYK", "YCbCr", "LAB", "RGBX", "I;16"):
        found.append(_saved(colour.convert("L").convert("I;16") if mode == "I;16" else colour.convert(mode), "TIFF"))
    found.append(_saved(colour, "TIFF", save_all=True, append_images=[colour.rotate(180)] * 3))
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, bigtiff=True) as writer:
        writer.write(_pixels((12, 16, 3)), photometric="rgb", subfiletype=1)
        writer.write(_pixels((24, 31, 3)), photometric="rgb")
    found.append(buffer.getvalue())
    return found


@cache
def others() -> list[bytes]:
    """Small PNGs, JPEGs, WebPs, GIFs, BMPs, PNMs, and HEICs and AVIFs where these can be written."""
    colour = Image.fromarray(_pixels((24, 31, 3)))
    clear = Image.fromarray(_pixels((24, 31, 4)))
    frames = [colour.rotate(turn) for turn in (90, 180)]
    extra = {"exif": _exif(), "icc_profile": _profile(), "dpi": (300, 150)}
    found = []
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        image = colour.convert("L").convert(mode) if mode == "I;16" else clear.convert(mode)
        found.append(_saved(image, "PNG"))
    found.append(_saved(colour, "PNG", **extra))
    found.append(_saved(colour.convert("P"), "PNG", transparency=3))
    for mode in ("L", "RGB", "CMYK"):
        found.append(_saved(colour.convert(mode), "JPEG", **extra))
    found.append(_saved(colour, "JPEG", progressive=True, xmp=b"<x/>" * 8))
    found.append(_saved(colour, "MPO", save_all=True, append_images=frames))
    found.append(_saved(colour, "WEBP", lossless=True, xmp=b"<x/>" * 8, **extra))
    found.append(_saved(clear, "WEBP", quality=60))
    found.append(_saved(colour, "WEBP", save_all=True, append_images=frames))
    found.append(_saved(colour, "GIF"))
    found.append(_saved(colour, "GIF", save_all=True, append_images=frames, disposal=2))
    for mode in ("1", "L", "P", "RGB"):
        found.append(_saved(colour.convert(mode), "BMP"))
    for mode in ("1", "L", "RGB", "I;16"):
        image = colour.convert("L").convert(mode) if mode == "I;16" else colour.convert(mode)
        found.append(_saved(image, "PPM"))
    found.append(b"P2 4 3 255\n" + b" ".join(str(value).encode() for value in range(12)))
    for mode in ("LA", "RGB", "RGBA"):  # 16 bits
        channels = {"LA": 2, "RGB": 3, "RGBA": 4}[mode]
        found.append(picture_bytes(Picture(_pixels((24, 31, channels), np.uint16)), "out.png"))
    return found + phones()


@cache
def phones() -> list[bytes]:
    """Small HEICs and AVIFs, where the package is installed: of one picture, of several, and of 10 bits."""
    found: list[bytes] = []
    with contextlib.suppress(ImportError, ScoreinvError):
        import pillow_heif

        metadata = Metadata(_profile(), _exif().tobytes(), b"<x/>" * 8)
        for suffix in ("heic", "avif"):
            found += [picture_bytes(Picture(_pixels((24, 31, n)), metadata), f"out.{suffix}") for n in (3, 4)]
        several = pillow_heif.HeifFile()
        for mode, dtype in (("RGB", np.uint8), ("RGB;16", np.uint16)):
            several.add_frombytes(mode, (31, 24), _pixels((24, 31, 3), dtype).tobytes())
            buffer = io.BytesIO()
            several.save(buffer, quality=60, exif=_exif().tobytes())
            found.append(buffer.getvalue())
    return found
