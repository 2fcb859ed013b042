"""Damaged TIFFs: their bytes, and the tags, types, counts, values and offsets of their directories and their chain."""

from __future__ import annotations

import random
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import main
from mutations import damaged
from pictures import read_and_write, tiffs

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = (0, 1, 2, 3, 7, 8, 9, 16, 32, 64, 100, 127, 128, 255, 256, 1000, 4096, 32767, 32768, 65535, 65536)
_NUMBERS += (2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**48, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_TAGS = (254, 255, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 282, 283, 284, 292, 293, 296, 297, 305)
_TAGS += (306, 315, 317, 320, 322, 323, 324, 325, 330, 338, 339, 340, 341, 347, 512, 513, 514, 529, 530, 531, 532, 700)
_TAGS += (33432, 34377, 34665, 34675, 34853, 37724, 50706, 65000)
_COMPRESSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 32771, 32773, 32809, 32946, 34676, 34677, 34887, 34925, 50000, 50001)


def case(generator: random.Random, folder: Path) -> None:
    """A small TIFF with up to six changes."""
    data = bytearray(generator.choice(tiffs()))
    for _ in range(generator.choice((1, 1, 1, 2, 3, 6))):
        change = generator.choice((_bytes, *[_entry] * 4, _link))
        change(generator, data)
    read_and_write(generator, folder, bytes(data))


def _bytes(generator: random.Random, data: bytearray) -> None:
    data[:] = damaged(generator, data, 2)


@dataclass(frozen=True)
class _Layout:
    """Where the directories of a TIFF lie."""

    order: str
    big: bool
    directories: list[tuple[int, int]]  # place and number of entries

    @classmethod
    def of(cls, data: bytes) -> _Layout | None:
        order = {b"II": "<", b"MM": ">"}.get(bytes(data[:2]))
        if order is None or len(data) < 16:
            return None
        big = struct.unpack_from(order + "H", data, 2)[0] == 43
        layout = cls(order, big, [])
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
        while 0 < at < len(data) - 8 and len(layout.directories) < 8:
            (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
            link = at + (8 if big else 2) + (20 if big else 12) * count
            if count > 100 or link + 8 > len(data):
                break
            layout.directories.append((at, count))
            (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, link)
        return layout

    def entry(self, directory: int, index: int) -> int:
        return self.directories[directory][0] + (8 if self.big else 2) + (20 if self.big else 12) * index

    def link(self, directory: int) -> int:
        return self.entry(directory, self.directories[directory][1])

    def word(self) -> str:
        return self.order + ("Q" if self.big else "I")


def _entry(generator: random.Random, data: bytearray) -> None:
    """A tag, type, count or value of a directory, or two of its entries exchanged."""
    layout = _Layout.of(data)
    if layout is None or not layout.directories:
        return
    directory = generator.randrange(len(layout.directories))
    count = layout.directories[directory][1]
    if not count:
        return
    index = generator.randrange(count)
    at = layout.entry(directory, index)
    if at + 20 > len(data):
        return
    order, word = layout.order, layout.word()
    value = at + (12 if layout.big else 8)
    limit = 256 ** struct.calcsize(word)
    (tag,) = struct.unpack_from(order + "H", data, at)
    what = generator.randrange(7)
    if what == 0:
        struct.pack_into(order + "H", data, at, generator.choice((*_TAGS, generator.randrange(65536))))
    elif what == 1:
        struct.pack_into(order + "H", data, at + 2, generator.choice((*_SIZES, 0, 14, 255, 65535)))
    elif what == 2:
        struct.pack_into(word, data, at + 4, generator.choice((*_NUMBERS, len(data))) % limit)
    elif what == 3:
        near = (len(data), len(data) - 1, layout.directories[0][0], at, generator.randrange(len(data)))
        struct.pack_into(word, data, value, generator.choice((*_NUMBERS, *near)) % limit)
    elif what == 4:  # as a short, which stands first in the field in either order
        struct.pack_into(order + "H", data, value, generator.choice(_COMPRESSIONS if tag == 259 else _NUMBERS) % 65536)
    elif what == 5:  # one of the values that lie elsewhere
        kind, number = struct.unpack_from(order + "H", data, at + 2)[0], struct.unpack_from(word, data, at + 4)[0]
        (place,) = struct.unpack_from(word, data, value)
        size = _SIZES.get(kind, 1)
        place += size * generator.randrange(max(1, min(number, 1000)))
        if size in (2, 4, 8) and place + size <= len(data):
            form = order + {2: "H", 4: "I", 8: "Q"}[size]
            struct.pack_into(form, data, place, generator.choice((*_NUMBERS, generator.randrange(2**16))) % 256**size)
    else:
        other = layout.entry(directory, generator.randrange(count))
        size = 20 if layout.big else 12
        data[at : at + size], data[other : other + size] = data[other : other + size], data[at : at + size]


def _link(generator: random.Random, data: bytearray) -> None:
    """The number of a directory's entries, or which directory follows: itself, an earlier one, any place."""
    layout = _Layout.of(data)
    if layout is None or not layout.directories:
        return
    directory = generator.randrange(len(layout.directories))
    places = [place for place, _ in layout.directories]
    if generator.random() < 0.25:
        form = layout.order + ("Q" if layout.big else "H")
        number = generator.choice((0, 1, 3, layout.directories[directory][1] + 1, 4096, 65535, 2**63))
        struct.pack_into(form, data, places[directory], number % 256 ** struct.calcsize(form))
    else:
        target = generator.choice((*places, *places, 0, 8, len(data) - 2, generator.randrange(len(data)), 2**31, 2**63))
        struct.pack_into(layout.word(), data, layout.link(directory), target % 256 ** struct.calcsize(layout.word()))


if __name__ == "__main__":
    sys.exit(main(case))
