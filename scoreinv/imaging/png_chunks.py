"""PNG chunks that Pillow refuses to unpack, and with them the whole picture: profiles and texts of over a mebibyte."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import BinaryIO

from PIL import PngImagePlugin

PROFILE_BYTES = PngImagePlugin.MAX_TEXT_CHUNK - 1
"""The longest colour profile that Pillow, and what is built on it, takes from a PNG."""

_LONGEST_PROFILE = 16 << 20
_HARMLESS = PROFILE_BYTES // 1032  # packed bytes that cannot stand for more: deflate makes 1032 of one at the most


@dataclass(frozen=True)
class Lightened:
    """A PNG as Pillow takes it.

    Attributes:
        stream: the file's own, or a shorter copy in memory.
        profile: a long colour profile that is not in it any more.
        note: what has to be said of what is lost.
    """

    stream: BinaryIO
    profile: bytes | None = None
    note: str | None = None


def without_heavy_chunks(stream: BinaryIO) -> Lightened:
    """Leave out what unpacks to more than Pillow takes; of a colour profile up to 16 MiB are kept."""
    heavy: list[slice] = []
    profile = note = None
    tested = 0
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        start = stream.tell() - 8
        if kind in (b"iCCP", b"zTXt", b"iTXt") and length > _HARMLESS:
            packed = _packed(kind, stream.read(length))
            tested += len(packed)
            if tested > PngImagePlugin.MAX_TEXT_MEMORY or _is_longer(packed, PROFILE_BYTES):
                heavy.append(slice(start, start + length + 12))
                if kind == b"iCCP" and not _is_longer(packed, _LONGEST_PROFILE):
                    profile = zlib.decompress(packed)
                else:
                    note = "profiles over 16 MiB and compressed texts over 1 MiB are left out"
        stream.seek(start + length + 12)
    if not heavy:
        return Lightened(stream)
    stream.seek(0)
    data = bytearray(stream.read())
    for chunk in reversed(heavy):
        del data[chunk]
    return Lightened(io.BytesIO(data), profile, note)


def _packed(kind: bytes, data: bytes) -> bytes:
    """The compressed part of a chunk, empty where there is none."""
    _, _, rest = data.partition(b"\0")  # after the name, its compression method
    if kind != b"iTXt":
        return rest[1:]
    return rest[2:].split(b"\0", 2)[-1] if rest[:1] == b"\1" else b""


def _is_longer(packed: bytes, most: int) -> bool:
    """Whether data unpack to more than so many bytes; False where they are damaged, which Pillow finds too."""
    unpacking = zlib.decompressobj()
    try:
        unpacking.decompress(packed, most)
    except zlib.error:
        return False
    return bool(unpacking.unconsumed_tail)
