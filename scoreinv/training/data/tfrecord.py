"""TFRecord files of `tf.train.Example`s that hold pictures, read without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np

from scoreinv.files.read import decode
from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import InputError


def record_places(path: Path) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each record; raise InputError if one is empty or exceeds the file.

    A record is its length (8 bytes), a checksum of the length (4), the content, and a checksum of the content (4).
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        while (start := file.tell()) < size:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= size - start - 16:
                raise InputError(f"{path}: neither a readable zip nor a whole TFRecord file (damaged at byte {start})")
            yield start + 12, length
            file.seek(start + 16 + length)


def example_picture(example: bytes, name: str) -> Picture:
    """Return the picture of an example: raw `data` (C, H, W) with its `shape`, as in FFHQ, or an encoded file."""
    features: dict[str, bytes] = {}
    for _, entry in _fields(dict(_fields(example))[1]):
        key, value = (dict(_fields(entry))[number] for number in (1, 2))
        for _, values in _fields(value):  # a list of bytes, floats or integers
            features[key.decode()] = dict(_fields(values)).get(1, b"")
    if "shape" in features:
        packed = BytesIO(features["shape"])
        shape = [_varint(packed) for _ in range(3)]
        return Picture(np.frombuffer(features["data"], np.uint8).reshape(shape).transpose(1, 2, 0))
    if encoded := features.get("image/encoded") or features.get("image"):
        return decode(encoded, 0, name=name).picture
    raise InputError(f"{name}: neither data with shape nor image/encoded nor image among {', '.join(features)}")


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of a protocol buffer's fields; in an example, all have a length."""
    stream = BytesIO(message)
    while key := _varint(stream):
        yield key >> 3, stream.read(_varint(stream))


def _varint(stream: BytesIO) -> int:
    """Read an integer, seven bits per byte, the lowest first; return 0 at the end of the stream."""
    byte = int.from_bytes(stream.read(1))
    return byte if byte < 128 else byte - 128 + (_varint(stream) << 7)
