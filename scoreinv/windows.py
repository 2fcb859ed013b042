"""Where windows of one size lie in a picture: on a grid, or around the pixels that matter. Imports no torch.

Neighbours share an overlap. What matters is half of that from a window's border, or at the picture's.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Box = tuple[int, int, int, int]
"""Where a window or a region lies in a picture: top, left, height and width, in pixels."""

_WHOLE = 1.5
"""How many times the pixels a window of all of a picture may have: what is whole is evaluated with other pictures."""


def cheapest_tile(needed: np.ndarray, overlap: int, stride: int, least: int, most: int) -> int:
    """The side of windows, from `least` to `most`, by which those around needed pixels, (H, W) bool, are cheapest.

    Small windows reach less beyond what is needed, but overlap often: a line across 512 pixels takes 13 of 48 pixels,
    30,000 in all, or three of 176, 93,000; all of 512x512 pixels takes 169, 389,000, or nine, 279,000. A single window
    of all, where the sides are multiples of the stride, may have `_WHOLE` times the pixels.
    """

    def pixels(tile: int) -> int:
        return sum(high * wide for _, _, high, wide in windows_around(needed, tile, overlap, stride))

    cheapest = min(range(least, most + 1, stride), key=pixels)
    whole = max(least, *needed.shape)
    alone = whole <= most and not any(side % stride for side in needed.shape)
    return whole if alone and needed.size <= _WHOLE * pixels(cheapest) else cheapest


def covering_tile(height: int, width: int, overlap: int, stride: int, least: int, most: int) -> int:
    """The side of windows, from `least` to `most`, that cover a whole picture in the fewest pixels and, so, windows.

    512 pixels with an overlap of 32 are covered by three of 192 (576), where five of 128 are 640.
    """

    def pixels(tile: int) -> int:
        return sum(high * wide for _, _, high, wide in grid(height, width, tile, overlap, stride))

    return min(reversed(range(least, most + 1, stride)), key=pixels)


def grid(height: int, width: int, tile: int, overlap: int, stride: int) -> list[Box]:
    """Windows of one size that cover a whole picture, evenly spread."""
    starts = []
    high, wide = _sides(height, width, tile, stride)
    for length, size in ((max(height, stride), high), (max(width, stride), wide)):
        count = 1 + -(-(length - size) // (size - shared(size, tile, overlap)))
        starts.append([round(k * (length - size) / max(1, count - 1)) for k in range(count)])
    return [(top, left, high, wide) for top in starts[0] for left in starts[1]]


def windows_around(needed: np.ndarray, tile: int, overlap: int, stride: int) -> list[Box]:
    """Windows of one size around the needed pixels, (H, W) bool, each in the middle of what it covers.

    They are placed as books on shelves: the first needed row begins a shelf, and in that the first needed column a
    window.
    """
    height, width = needed.shape
    high, wide = _sides(height, width, tile, stride)
    edge_y, edge_x = (shared(size, tile, overlap) // 2 for size in (high, wide))
    boxes = []
    for top, bottom in _shelves(np.flatnonzero(needed.any(axis=1)), high, edge_y, height):
        shelf = needed[top:bottom]
        for left, right in _shelves(np.flatnonzero(shelf.any(axis=0)), wide, edge_x, width):
            rows = np.flatnonzero(shelf[:, left:right].any(axis=1)) + top
            columns = np.flatnonzero(shelf[:, left:right].any(axis=0)) + left
            y = _around(int(rows[0]), int(rows[-1]) + 1, high, height)
            x = _around(int(columns[0]), int(columns[-1]) + 1, wide, width)
            boxes.append((y, x, high, wide))
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


def _around(first: int, end: int, size: int, length: int) -> int:
    """Where a window of a size begins that has first to end in its middle, as far as the axis' ends let it."""
    return max(0, min((first + end - size) // 2, length - size))


def _sides(height: int, width: int, tile: int, stride: int) -> tuple[int, int]:
    """The height and width of windows: the tile's, or in a smaller picture the multiple of the stride that it has."""
    high, wide = (min(tile, max(length, stride) // stride * stride) for length in (height, width))
    return high, wide


def shared(size: int, tile: int, overlap: int) -> int:
    """What neighbouring windows of a size share at least: of those shorter than the tile, half at most."""
    return min(overlap, size // 2) if size < tile else overlap
