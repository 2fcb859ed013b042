"""TFRecord files: the places of their records, and the picture of a `tf.train.Example`, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scoreinv.files.read import decode
from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import InputError

_ENCODED = ("image/encoded", "image")
"""Usual names of a feature with an encoded picture."""


def is_tfrecord(path: Path) -> bool:
    """Return whether a file begins as a TFRecord file."""
    with path.open("rb") as file:
        return _is_header(file.read(12))


def record_places(path: Path) -> Iterator[tuple[int, int]]:
    """Yield offset and length of each record; raise InputError at a wrong checksum or a cut."""
    size = path.stat().st_size
    with path.open("rb") as file:
        while header := file.read(12):
            length = int.from_bytes(header[:8], "little")
            if not _is_header(header) or file.tell() + length + 4 > size:
                raise InputError(f"{path}: damaged at byte {file.tell() - len(header)}")
            yield file.tell(), length
            file.seek(length + 4, 1)


def example_picture(example: bytes, name: str) -> Picture:
    """Return the picture of an example: raw `data` (C, H, W) with its `shape`, as in FFHQ, or an encoded file."""
    features: dict[str, bytes] = {}
    for _, entry in _fields(dict(_fields(example))[1]):
        key, value = (dict(_fields(entry))[number] for number in (1, 2))
        ((_, values),) = _fields(value)  # a list of bytes, floats or integers
        features[key.decode()] = dict(_fields(values)).get(1, b"")
    if "shape" in features:
        shape, rest = [], features["shape"]
        while rest:
            side, rest = _varint(rest)
            shape.append(side)
        return Picture(np.frombuffer(features["data"], np.uint8).reshape(shape).transpose(1, 2, 0))
    if not (encoded := [features[key] for key in _ENCODED if key in features]):
        raise InputError(f"{name}: neither data with shape nor {' nor '.join(_ENCODED)} among {', '.join(features)}")
    return decode(encoded[0], 0, name=name).picture


def _is_header(header: bytes) -> bool:
    """Return whether twelve bytes are a length with its checksum."""
    return len(header) == 12 and _masked_crc(header[:8]) == int.from_bytes(header[8:], "little")


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and content of the fields of a protocol buffer that have a length, as all in an example do."""
    while message:
        key, message = _varint(message)
        length, message = _varint(message)
        yield key >> 3, message[:length]
        message = message[length:]


def _varint(message: bytes) -> tuple[int, bytes]:
    """Return the integer at the start of a message, seven bits per byte, and the rest of the message."""
    end = next(index for index, byte in enumerate(message) if byte < 128) + 1
    return sum((byte & 127) << 7 * index for index, byte in enumerate(message[:end])), message[end:]


def _masked_crc(data: bytes) -> int:
    """Return the CRC-32C of data, rotated and shifted as TFRecord stores it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
