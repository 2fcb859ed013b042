"""Damaged pictures: small ones of every kind that is read are changed, read, and written in every format.

Of TIFFs the numbers of their directories and their chain are changed as well as bytes, and the checksums of PNGs are
made to fit what they protect.
"""

import contextlib
import io
import random
import struct
import zlib
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image, ImageCms

from scoreinv.files.read import read_picture
from scoreinv.files.write import picture_bytes
from scoreinv.imaging.metadata import Metadata
from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import ScoreinvError

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


def _pixels(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    ramp = np.linspace(0, 0.8, int(np.prod(shape))).reshape(shape) + 0.2 * np.random.default_rng(7).random(shape)
    return (ramp * np.iinfo(dtype).max).astype(dtype)


def _metadata() -> dict[str, Any]:
    exif = Image.Exif()
    exif[271], exif[274], exif[33432] = "Maker", 6, "someone"
    exif[34665] = {36867: "2020:01:02 03:04:05", 33434: (1, 100), 37500: b"note" * 4}
    exif[34853] = {1: "N", 2: (52.0, 30.0, 1.5)}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return {"exif": exif, "icc_profile": profile, "dpi": (300, 150)}


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def tiffs() -> list[bytes]:
    """Small TIFFs of both sizes of offsets and both byte orders, in strips, tiles and planes, of most compressions."""
    found = []
    layouts = (((24, 31), "minisblack"), ((24, 31, 3), "rgb"), ((24, 31, 4), "rgb"), ((24, 31, 2), "minisblack"))
    kinds = (
        {"rowsperstrip": 8, "byteorder": "<"},
        {"rowsperstrip": 5, "byteorder": ">", "compression": "zlib"},
        {"tile": (16, 16), "byteorder": "<", "bigtiff": True},
        {"byteorder": ">", "bigtiff": True},
        {"tile": (16, 32), "byteorder": ">"},
    )
    for (shape, photometric), dtype, kind in product(layouts, (np.uint8, np.uint16), kinds):
        pixels, apart = _pixels(*shape, dtype=dtype), len(shape) == 3 and kind.get("rowsperstrip") == 8
        options: dict[str, Any] = {"extrasamples": ["unassalpha"] if shape[2:] in ((2,), (4,)) else None, **kind}
        if apart:
            pixels, options["planarconfig"] = np.moveaxis(pixels, -1, 0), "separate"
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, photometric=photometric, resolution=(300, 300), metadata=None, **options)
        found.append(buffer.getvalue())
    colour = Image.fromarray(_pixels(24, 31, 3))
    for compression in ("raw", "tiff_lzw", "packbits", "jpeg", "tiff_adobe_deflate", "zstd", "lzma"):
        with contextlib.suppress(OSError, ValueError, KeyError):  # not every build has all of them
            found.append(_saved(colour, "TIFF", compression=compression, tiffinfo={700: b"<x/>" * 8}, **_metadata()))
    for compression in ("group3", "group4", "tiff_ccitt", "raw"):
        found.append(_saved(colour.convert("1"), "TIFF", compression=compression))
    found += [_saved(colour.convert(mode), "TIFF") for mode in ("P", "CMYK", "YCbCr", "LAB", "RGBX")]
    found.append(_saved(colour, "TIFF", save_all=True, append_images=[colour.rotate(180)] * 3))
    return found


@cache
def others() -> list[bytes]:
    """Small PNGs, JPEGs, WebPs, GIFs, BMPs, PNMs, and HEICs and AVIFs where these can be written."""
    colour, clear = (Image.fromarray(_pixels(24, 31, channels)) for channels in (3, 4))
    frames, more, xmp = [colour.rotate(turn) for turn in (90, 180)], _metadata(), b"<x/>" * 8
    found = [_saved(clear.convert(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    found += [_saved(colour, "PNG", **more), _saved(colour.convert("P"), "PNG", transparency=3)]
    found += [_saved(colour.convert(mode), "JPEG", **more) for mode in ("L", "RGB", "CMYK")]
    found.append(_saved(colour, "JPEG", progressive=True, xmp=xmp))
    found.append(_saved(colour, "MPO", save_all=True, append_images=frames))
    found += [_saved(colour, "WEBP", lossless=True, xmp=xmp, **more), _saved(clear, "WEBP", quality=60)]
    found.append(_saved(colour, "WEBP", save_all=True, append_images=frames))
    found += [_saved(colour, "GIF"), _saved(colour, "GIF", save_all=True, append_images=frames, disposal=2)]
    found += [_saved(colour.convert(mode), "BMP") for mode in ("1", "L", "P", "RGB")]
    found += [_saved(colour.convert(mode), "PPM") for mode in ("1", "L", "RGB")]
    found.append(b"P2 4 3 255\n" + b" ".join(str(value).encode() for value in range(12)))
    found += [picture_bytes(Picture(_pixels(24, 31, n, dtype=np.uint16)), "out.png") for n in (2, 3, 4)]
    with contextlib.suppress(ImportError, ScoreinvError):
        import pillow_heif

        metadata = Metadata(more["icc_profile"], more["exif"].tobytes(), xmp)
        for suffix, n in product(("heic", "avif"), (3, 4)):
            found.append(picture_bytes(Picture(_pixels(24, 31, n), metadata), f"out.{suffix}"))
        several, buffer = pillow_heif.HeifFile(), io.BytesIO()
        for mode, dtype in (("RGB", np.uint8), ("RGB;16", np.uint16)):
            several.add_frombytes(mode, (31, 24), _pixels(24, 31, 3, dtype=dtype).tobytes())
        several.save(buffer, quality=60, exif=more["exif"].tobytes())
        found.append(buffer.getvalue())
    return found
