"""Where windows of one size lie in a picture: on a grid, or around the pixels that matter. Imports no torch.

Neighbours share an overlap. What matters is half of that from a window's border, or at the picture's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scoreinv.windows.boxes import Box

_WHOLE = 1.5
"""How many times the pixels a window of all of a picture may have: what is whole is evaluated with other pictures."""


def cheapest_tile(needed: np.ndarray, overlap: int, stride: int, least: int, most: int) -> int:
    """The side of windows, from `least` to `most`, by which those around needed pixels, (H, W) bool, are cheapest.

    Small windows reach less beyond what is needed, but overlap often: a line across 512 pixels takes 13 of 48 pixels,
    30,000 in all, or three of 176, 93,000; all of 512x512 pixels takes 169, 389,000, or nine, 279,000. A single window
    of all, where the sides are multiples of the stride, may have `_WHOLE` times the pixels.
    """
    pixels = {
        tile: sum(high * wide for _, _, high, wide in windows_around(needed, tile, overlap, stride))
        for tile in range(least, most + 1, stride)
    }
    cheapest = min(pixels, key=pixels.__getitem__)
    whole = max(least, *needed.shape)
    alone = whole <= most and not any(side % stride for side in needed.shape)
    return whole if alone and needed.size <= _WHOLE * pixels[cheapest] else cheapest


def covering_tile(height: int, width: int, overlap: int, stride: int, least: int, most: int) -> int:
    """The side of windows, from `least` to `most`, that cover a whole picture in the fewest pixels and, so, windows.

    512 pixels with an overlap of 32 are covered by three of 192 (576), where five of 128 are 640.
    """

    def pixels(tile: int) -> int:
        return sum(high * wide for _, _, high, wide in grid(height, width, tile, overlap, stride))

    return min(reversed(range(least, most + 1, stride)), key=pixels)


def grid(height: int, width: int, tile: int, overlap: int, stride: int) -> list[Box]:
    """Windows of one size that cover a whole picture, evenly spread."""
    sizes, starts = [], []
    for length in (height, width):
        size, shared = side_of(length, tile, overlap, stride)
        over = max(length, stride) - size
        count = 1 + -(-over // (size - shared))
        sizes.append(size)
        starts.append([round(k * over / max(1, count - 1)) for k in range(count)])
    high, wide = sizes
    return [(top, left, high, wide) for top in starts[0] for left in starts[1]]


def windows_around(needed: np.ndarray, tile: int, overlap: int, stride: int) -> list[Box]:
    """Windows of one size around the needed pixels, (H, W) bool, each in the middle of what it covers.

    They are placed as books on shelves: the first needed row begins a shelf, and in that the first needed column a
    window.
    """
    height, width = needed.shape
    (high, shared_y), (wide, shared_x) = (side_of(length, tile, overlap, stride) for length in (height, width))
    boxes = []
    for top, bottom in _shelves(np.flatnonzero(needed.any(axis=1)), high, shared_y // 2, height):
        shelf = needed[top:bottom]
        for left, right in _shelves(np.flatnonzero(shelf.any(axis=0)), wide, shared_x // 2, width):
            rows, columns = (np.flatnonzero(shelf[:, left:right].any(axis=axis)) for axis in (1, 0))
            y = top + int(rows[0] + rows[-1] + 1 - high) // 2
            x = left + int(columns[0] + columns[-1] + 1 - wide) // 2
            boxes.append((max(0, min(y, height - high)), max(0, min(x, width - wide)), high, wide))
    return boxes


def _shelves(places: np.ndarray, size: int, edge: int, length: int) -> Iterator[tuple[int, int]]:
    """Where what windows of a size cover begins and ends, each place of an axis of this length, in order, once.

    edge: from a window's end up to what it covers, but for the axis' own ends.
    """
    while len(places):
        first = int(places[0])
        start = max(0, min(first - edge, length - size))
        end = length if start + size >= length else start + size - edge
        yield first, end
        places = places[places >= end]


def side_of(length: int, tile: int, overlap: int, stride: int) -> tuple[int, int]:
    """The side of windows along an axis of this length, and what neighbours share at least.

    The side is the tile's, or in a smaller picture the multiple of the stride that it has: then half is shared at most.
    """
    size = min(tile, max(length, stride) // stride * stride)
    return size, min(overlap, size // 2) if size < tile else overlap
