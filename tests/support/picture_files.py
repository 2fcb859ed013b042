"""Picture files made by hand, and the refusal of such as are damaged."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scoreinv.files.read import read_picture
from scoreinv.files.write import picture_bytes
from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import InputError

CHANNELS = {"L": (), "LA": (2,), "RGB": (3,), "RGBA": (4,)}
PIXELS = np.arange(6 * 5, dtype=np.uint8).reshape(6, 5) * 8
"""Of the TIFFs below."""
SHORT, LONG, RATIONAL, SIGNED_BYTE = 3, 4, 5, 6
LAYOUT = {256: (SHORT, 5), 257: (SHORT, 6), 258: (SHORT, 8), 259: (SHORT, 1), 262: (SHORT, 1), 277: (SHORT, 1)}
"""The tags of a plain grey TIFF of 5x6, without its strips."""


def samples(mode: str, dtype: type = np.uint8, height: int = 23, width: int = 37) -> np.ndarray:
    rng = np.random.default_rng(7)
    return rng.integers(0, np.iinfo(dtype).max, (height, width, *CHANNELS[mode]), endpoint=True, dtype=dtype)


def refused(path: Path | bytes | str, *words: str, frame: int | None = None) -> str:
    """The one-line message of the refusal, which holds the words."""
    with pytest.raises(InputError) as caught:
        read_picture(path, frame)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def tiff(
    tags: dict[int, tuple],
    data: bytes = PIXELS.tobytes(),
    *,
    order: str = "<",
    big: bool = False,
    following: int = 0,
    change: dict[int, tuple | None] | None = None,
) -> bytes:
    """A TIFF of one directory, whose data lie at 8 (BigTIFF: 16) and the directory behind them.

    A tag's values are a type and numbers; `change` replaces some, or with None leaves one out.
    """
    word, head = ("Q", 16) if big else ("I", 8)
    tags = {tag: value for tag, value in (tags | (change or {})).items() if value is not None}
    place = head + len(data)
    entries, more = b"", b""
    free = place + (8 if big else 2) + (20 if big else 12) * len(tags) + struct.calcsize(order + word)
    for tag, (kind, *values) in sorted(tags.items()):
        form = {SHORT: "H", LONG: "I", RATIONAL: "I", SIGNED_BYTE: "b"}[kind]
        packed = struct.pack(f"{order}{len(values)}{form}", *values)
        count = len(values) // (2 if kind == RATIONAL else 1)
        if len(packed) > struct.calcsize(order + word):
            packed, more = struct.pack(order + word, free + len(more)), more + packed
        entries += struct.pack(f"{order}HH{word}", tag, kind, count) + packed.ljust(
            struct.calcsize(order + word), b"\0"
        )
    magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    start = magic + (struct.pack(order + "HHQ", 8, 0, place) if big else struct.pack(order + "I", place))
    directory = struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + struct.pack(order + word, following)
    return start + data + directory + more


def plain(**settings: Any) -> bytes:
    """A grey TIFF of 5x6 in one strip."""
    at = 16 if settings.get("big") else 8
    return tiff(LAYOUT | {273: (LONG, at), 278: (SHORT, 6), 279: (LONG, 30)}, **settings)


def tiled(**settings: Any) -> bytes:
    """A grey TIFF of 5x6 in one tile of 16x16."""
    tile = np.pad(PIXELS, ((0, 10), (0, 11))).tobytes()
    return tiff(LAYOUT | {322: (SHORT, 16), 323: (SHORT, 16), 324: (LONG, 8), 325: (LONG, 256)}, tile, **settings)


def rare(**settings: Any) -> bytes:
    """A TIFF of 16-bit grey with alpha, which Pillow does not read."""
    data = np.arange(60, dtype=np.uint16).tobytes()
    tags = {258: (SHORT, 16, 16), 277: (SHORT, 2), 338: (SHORT, 2), 273: (LONG, 8), 278: (SHORT, 6), 279: (LONG, 120)}
    return tiff(LAYOUT | tags, data, **settings)


def broken_deflate() -> bytes:
    """A TIFF of which libtiff complains itself."""
    packed = zlib.compress(PIXELS.tobytes())
    whole = tiff(LAYOUT | {259: (SHORT, 8), 273: (LONG, 8), 278: (SHORT, 6), 279: (LONG, len(packed))}, packed)
    return whole[:12] + b"\xff\xff\xff" + whole[15:]


def png_with(kind: bytes, content: bytes, pixels: np.ndarray) -> bytes:
    """A PNG with a chunk before its data."""
    data = picture_bytes(Picture(pixels), "a.png")
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    at = data.index(b"IDAT") - 4
    return data[:at] + chunk + data[at:]


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A file of a Pillow image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
