"""Placement of windows of one size: on a grid, or around the pixels that need an estimate. Imports no torch.

Neighbouring windows share an overlap. Needed pixels are at least half the overlap from a window's border, except at
the picture's border.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scoreinv.windows.boxes import Box

_WHOLE_RATIO = 1.5
"""A single window may have this many times the pixels of the cheapest tiling, since it can be batched with others."""


def cheapest_tile(needed: np.ndarray, overlap: int, stride: int, least: int, most: int) -> int:
    """Return the window side, from `least` to `most`, that covers the needed pixels, (H, W) bool, in fewest pixels.

    Small windows extend less beyond the needed pixels but overlap more often. A line across 512 pixels takes 13 windows
    of 48 (30,000 pixels) or three of 176 (93,000); all of 512x512 takes 169 (389,000) or nine (279,000). A single
    window of the whole picture, if its sides are multiples of the stride, may have `_WHOLE_RATIO` times the pixels.
    """
    pixels = {
        tile: sum(high * wide for _, _, high, wide in windows_around(needed, tile, overlap, stride))
        for tile in range(least, most + 1, stride)
    }
    cheapest = min(pixels, key=pixels.__getitem__)
    whole = max(least, *needed.shape)
    fits = whole <= most and not any(side % stride for side in needed.shape)
    return whole if fits and needed.size <= _WHOLE_RATIO * pixels[cheapest] else cheapest


def covering_tile(height: int, width: int, overlap: int, stride: int, least: int, most: int) -> int:
    """Return the window side, from `least` to `most`, that covers a whole picture in the fewest pixels.

    With an overlap of 32, 512 pixels are covered by three windows of 192 (576 in all) or five of 128 (640).
    """

    def pixels(tile: int) -> int:
        return sum(high * wide for _, _, high, wide in grid(height, width, tile, overlap, stride))

    return min(reversed(range(least, most + 1, stride)), key=pixels)


def grid(height: int, width: int, tile: int, overlap: int, stride: int) -> list[Box]:
    """Return evenly spaced windows of one size that cover a whole picture."""
    sizes, starts = [], []
    for length in (height, width):
        size, overlapping = side_and_overlap(length, tile, overlap, stride)
        beyond = max(length, stride) - size  # pixels outside the first window
        count = 1 + -(-beyond // (size - overlapping))
        sizes.append(size)
        starts.append([round(k * beyond / max(1, count - 1)) for k in range(count)])
    high, wide = sizes
    return [(top, left, high, wide) for top in starts[0] for left in starts[1]]


def windows_around(needed: np.ndarray, tile: int, overlap: int, stride: int) -> list[Box]:
    """Return windows of one size around the needed pixels, (H, W) bool, each centred on the pixels that it covers.

    Rows of windows are placed from the top, each from the first needed row left; so are the windows within a row.
    """
    height, width = needed.shape
    (high, overlap_y), (wide, overlap_x) = (
        side_and_overlap(length, tile, overlap, stride) for length in (height, width)
    )
    boxes = []
    for top, bottom in _spans(np.flatnonzero(needed.any(axis=1)), high, overlap_y // 2, height):
        row = needed[top:bottom]
        for left, right in _spans(np.flatnonzero(row.any(axis=0)), wide, overlap_x // 2, width):
            rows, columns = (np.flatnonzero(row[:, left:right].any(axis=axis)) for axis in (1, 0))
            y = top + int(rows[0] + rows[-1] + 1 - high) // 2
            x = left + int(columns[0] + columns[-1] + 1 - wide) // 2
            boxes.append((max(0, min(y, height - high)), max(0, min(x, width - wide)), high, wide))
    return boxes


def _spans(places: np.ndarray, size: int, edge: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield consecutive (start, end) spans along an axis that hold all places, each covered by one window.

    Args:
        places: ascending indices.
        size: length of a window.
        edge: distance from a window's end to the span that it covers, except at the ends of the axis.
        length: length of the axis.
    """
    while len(places):
        first = int(places[0])
        start = max(0, min(first - edge, length - size))
        end = length if start + size >= length else start + size - edge
        yield first, end
        places = places[places >= end]


def side_and_overlap(length: int, tile: int, overlap: int, stride: int) -> tuple[int, int]:
    """Return the side of windows along an axis, and the minimum overlap of neighbours.

    The side is `tile`. On a shorter axis it is the axis's largest multiple of the stride, or one stride, and at most
    half of it is shared.
    """
    size = min(tile, max(length, stride) // stride * stride)
    return size, min(overlap, size // 2) if size < tile else overlap
