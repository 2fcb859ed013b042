"""Damaged pictures: small ones of every kind that is read are changed, read, and written in every format.

Of TIFFs the numbers of their directories and their chain are changed as well as bytes, and the checksums of PNGs are
made to fit what they protect.
"""

from __future__ import annotations

import contextlib
import io
import random
import struct
import zlib
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


NUMBERS = (
    *(0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF),
    *(2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1),
)
_TAGS = (254, 255, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 282, 283, 284, 292, 293, 296, 297, 305)
_TAGS += (306, 315, 317, 320, 322, 323, 324, 325, 330, 338, 339, 340, 341, 347, 512, 513, 514, 529, 530, 531, 532, 700)
_TAGS += (33432, 34377, 34665, 34675, 34853, 37724, 50706, 65000)
_SMALL = (*range(19), 32, 64, 100, 255, 256, 1000, 4096, 32771, 32773, 32809, 32946, 34676, 34887, 34925, 50000, 50001)
"""Types, counts, sides, compressions."""


def a_tiff(generator: random.Random, folder: Path) -> None:
    """A small TIFF with up to six numbers of its directories changed, and some with bytes changed then."""
    data = bytearray(generator.choice(tiffs()))
    places = numbers_of(bytes(data))
    for _ in range(generator.choice((0, 1, 1, 1, 2, 3, 6))):
        (place, form), (other, _) = generator.choice(places), generator.choice(places)
        number = generator.choice((*NUMBERS, *_SMALL, *_TAGS, len(data), other, generator.randrange(len(data))))
        struct.pack_into(form, data, place, number % 256 ** struct.calcsize(form))
    read_and_write(generator, folder, damaged(generator, data, 2) if generator.random() < 0.2 else bytes(data))


def numbers_of(data: bytes) -> list[tuple[int, str]]:
    """Place and form of all numbers in the directories of an intact TIFF, and of those in its chain.

    They are where the next directory is, the count of entries, and of each its tag, type, count and value or place,
    which is a short too.
    """
    order, big = {b"II": "<", b"MM": ">"}[data[:2]], 43 in data[2:4]
    word, counts = ("Q", "Q") if big else ("I", "H")
    link = 8 if big else 4
    found = [(link, order + word)]
    while at := struct.unpack_from(order + word, data, link)[0]:
        found.append((at, order + counts))
        entry = at + struct.calcsize(counts)
        size = struct.calcsize(word)
        for _ in range(struct.unpack_from(order + counts, data, at)[0]):
            found += [(entry, order + "H"), (entry + 2, order + "H"), (entry + 4, order + word)]
            found += [(entry + 4 + size, order + word), (entry + 4 + size, order + "H")]
            entry += 4 + 2 * size
        link = entry
        found.append((link, order + word))
    return found


def another(generator: random.Random, folder: Path) -> None:
    """A small picture of another kind with up to three changes."""
    data = damaged(generator, generator.choice(others()), 3)
    read_and_write(generator, folder, with_checksums(data) if generator.random() < 0.7 else data)


def damaged(generator: random.Random, data: bytes, times: int = 8) -> bytes:
    """A few bytes changed, put in, taken out, repeated or cut off, up to so many times."""
    result = bytearray(data)
    for _ in range(generator.randint(1, times)):
        place = generator.randrange(len(result) + 1)
        length = min(generator.choice((1, 1, 2, 4, 8, 16, 100, 1000)), len(result) - place)
        match generator.randrange(8):
            case 0 if length:
                result[place] ^= 1 << generator.randrange(8)
            case 1:
                result[place : place + length] = generator.randbytes(length)
            case 2:
                size = generator.choice((1, 2, 4, 8))
                number = generator.choice(NUMBERS) & (256**size - 1)
                result[place : place + size] = number.to_bytes(size, generator.choice(("little", "big")))
            case 3:
                del result[place : place + length]
            case 4:
                result[place:place] = result[place : place + length]
            case 5:
                result[place:place] = generator.randbytes(length)
            case 6 if generator.random() < 0.3:
                del result[place:]
            case 7:
                other = generator.randrange(len(result) + 1)
                result[place : place + length] = result[other : other + length]
    return bytes(result)


def with_checksums(data: bytes) -> bytes:
    """A PNG with the checksums of its chunks anew, as far as these can be told; anything else as it is."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    result, place = bytearray(data), 8
    while place + 12 <= len(result):
        end = place + 8 + struct.unpack_from(">I", result, place)[0]
        if end + 4 > len(result):
            break
        struct.pack_into(">I", result, end, zlib.crc32(result[place + 4 : end]))
        place = end + 4
    return bytes(result)


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
