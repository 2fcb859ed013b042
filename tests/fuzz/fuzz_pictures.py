"""Damaged pictures of all kinds but TIFF; the checksums of PNGs are made to fit what they protect."""

from __future__ import annotations

import random
import struct
import sys
import zlib
from pathlib import Path

from harness import main
from mutations import damaged
from pictures import others, read_and_write


def case(generator: random.Random, folder: Path) -> None:
    """A small picture with up to three changes."""
    data = damaged(generator, generator.choice(others()), 3)
    if generator.random() < 0.7:
        data = with_checksums(data)
    read_and_write(generator, folder, data)


def with_checksums(data: bytes) -> bytes:
    """A PNG with the checksums of its chunks anew, as far as these can be told; anything else as it is."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    result, place = bytearray(data), 8
    while place + 12 <= len(result):
        (length,) = struct.unpack_from(">I", result, place)
        end = place + 8 + length
        if end + 4 > len(result):
            break
        struct.pack_into(">I", result, end, zlib.crc32(result[place + 4 : end]))
        place = end + 4
    return bytes(result)


if __name__ == "__main__":
    sys.exit(main(case))
