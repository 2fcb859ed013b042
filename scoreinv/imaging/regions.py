"""Where to work in a large picture: regions around holes, each with known pixels around it; and blocks of pixels."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product

import numpy as np
from scipy import ndimage

from scoreinv.windows.boxes import Box, crop
from scoreinv.windows.placement import cheapest_tile

_CELL = 16
"""Side in pixels of the cells on which holes are grouped: labels of a 30-megapixel mask are then a small picture's."""

BLOCK_WINDOWS = 12
"""Longest side of a region in windows; larger clusters of holes are done in blocks, each given those before."""

_DEEP_CONTEXT = 32  # pixels around a deep hole at the scale where it is drawn first: what it is continued from

_DEEP_BLOCK = 5
"""Longest side of what is drawn at once there, in half windows: each place is compared with many patches of what is
around, so that a long crack is done in blocks."""

_STRIP = 8  # pixels from the middle of a strip to known ones from which on it is continued from what surrounds it

_ARM = 24
"""Pixels from a hole's deep ones, along rows and columns, beyond which what is narrow of it is an arm: a scratch that
meets a tear. Corners and the ends of strips are nearer."""
NARROW = 5  # pixels from a narrow hole to known ones at most, along rows and columns
_EXCEPTIONS = 0.05  # share of narrow holes that may be further from known pixels, as where scratches cross
_WINDOWS = (0.75, 3)  # sides of the windows of narrow holes, in windows of the model: from, to


@dataclass(frozen=True)
class Region:
    """A box to work in, and the holes that are its own.

    Attributes:
        box: (top, left, height, width).
        hole: hxw bool: the holes that this region fills. Its box may also show holes of another region, which are
            unknown to it too, and are left to the other.
        halvings: how often it is halved for the scale at which it is drawn first.
        narrow: all of its holes but for crossings are scratches, specks, writing.
        window: side of the windows that it is seen through. Narrow holes look the same through larger ones and a
            little smaller ones.
        in_one_window: whether one shows all of it.
        avoid: hxw bool: what a deep hole copies nothing from; None: it may copy from all that is known.
    """

    box: Box
    hole: np.ndarray
    halvings: int = 0
    narrow: bool = False
    window: int = 0
    in_one_window: bool = False
    avoid: np.ndarray | None = None


def regions_to_fill(
    hole: np.ndarray, window: int, multiple: int, *, deep: bool, at_once: int = 0
) -> list[list[Region]]:
    """The regions around the holes of a picture, in the order in which they are filled, those of a group together.

    Deep holes come last, since they go on from all around them; and each region shows something that is known, or
    filled by then. The holes of a region reach no further than a block (`BLOCK_WINDOWS`, `_DEEP_BLOCK`). A group is one
    region, or neighbours of one size and kind that one window shows and that do not meet.

    Args:
        hole: HxW bool.
        window: side of the windows that the model looks through.
        multiple: what the sides of regions are multiples of.
        deep: draw what the windows do not reach at coarser scales first; else all at the picture's own.
        at_once: pixels of a group of several at most.
    """
    times = halvings_of_holes(hole, window / 4) if deep else np.zeros(hole.shape, dtype=np.int8)
    regions: list[Region] = []
    for count in np.unique(times[hole]).tolist():
        context = max(window // 4, _DEEP_CONTEXT if count else 0) << count
        limit = BLOCK_WINDOWS * window
        if count:
            limit = min(2 * limit, _DEEP_BLOCK * window // 2 << count)
        own_holes = hole & (times == count)
        for region in hole_regions(own_holes, context=context, maximum=limit, multiple=multiple, minimum=window):
            own = region.hole
            # known pixels are within NARROW of nearly all of it; beyond the border all is unknown
            inner = ndimage.minimum_filter(own, 2 * NARROW + 1, mode="constant", cval=1)
            narrow = deep and not count and bool(inner.sum() <= _EXCEPTIONS * own.sum())
            seen_through = window
            if narrow and max(own.shape) > window:
                least, most = (max(1, int(share * window) // multiple) * multiple for share in _WINDOWS)
                seen_through = cheapest_tile(own, window // 8, multiple, least, most)
            one = not count and max(own.shape) <= seen_through
            regions.append(replace(region, halvings=count, narrow=narrow, window=seen_through, in_one_window=one))
    return _grouped(known_first(regions, hole), at_once)


def _grouped(regions: Iterable[Region], at_once: int) -> list[list[Region]]:
    """The regions in order, neighbours that are alike together; see `regions_to_fill`."""
    groups: list[list[Region]] = []
    for region in regions:
        group = groups[-1] if groups else []
        kind = (region.in_one_window, region.narrow, region.hole.shape)
        alike = all((other.in_one_window, other.narrow, other.hole.shape) == kind for other in group)
        apart = not any(overlap(region.box, other.box) for other in group)
        if group and region.in_one_window and alike and apart and (len(group) + 1) * region.hole.size <= at_once:
            group.append(region)
        else:
            groups.append([region])
    return groups


def known_first(regions: Iterable[Region], hole: np.ndarray) -> Iterator[Region]:
    """The regions in order, but later those that show no pixel which is known, or filled by then.

    hole: HxW bool, what all of them fill.
    """
    unknown, pending, passed = hole.copy(), deque(regions), 0
    while pending:
        region = pending.popleft()
        if passed <= len(pending) and crop(unknown, region.box).all():  # its neighbours will fill a part of it
            pending.append(region)
            passed += 1
            continue
        passed = 0
        crop(unknown, region.box)[region.hole] = False
        yield region


def widened(region: Region, shape: tuple[int, int], multiple: int) -> Region:
    """A region with about as much again of a picture of this shape on each side of it."""
    bounds = []
    for first, length, size in zip(region.box[:2], region.box[2:], shape, strict=True):
        begin, end = max(0, first - length), min(size, first + 2 * length)
        end = begin + max(length, (end - begin) // multiple * multiple) if end - begin < size else end
        bounds.append((begin, end))
    (top, bottom), (left, right) = bounds
    place = (
        (region.box[0] - top, bottom - sum(region.box[::2])),
        (region.box[1] - left, right - sum(region.box[1::2])),
    )
    return replace(region, box=(top, left, bottom - top, right - left), hole=np.pad(region.hole, place))


def extent(hole: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns from the first to the last pixel of a hole, HxW bool, not empty."""
    rows, columns = (np.flatnonzero(hole.any(axis=axis)).tolist() for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def overlap(a: Box, b: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Where two boxes overlap: (rows, columns) within a, and within b; None where they do not."""
    top, left = max(a[0], b[0]), max(a[1], b[1])
    bottom, right = min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    if top >= bottom or left >= right:
        return None
    in_a, in_b = ((slice(top - box[0], bottom - box[0]), slice(left - box[1], right - box[1])) for box in (a, b))
    return in_a, in_b


def clusters(hole: np.ndarray) -> list[tuple[Box, np.ndarray]]:
    """Holes that touch or lie in neighbouring cells, by the first row: the box of each, and its holes in it."""
    labels, _ = ndimage.label(touched_blocks(hole, _CELL), structure=np.ones((3, 3)))
    found = []
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        top, left = (cells.start * _CELL for cells in place)
        own = (labels[place] == number).repeat(_CELL, 0).repeat(_CELL, 1)
        part = hole[top : top + own.shape[0], left : left + own.shape[1]]
        own = own[: part.shape[0], : part.shape[1]] & part
        down, across = extent(own)
        own = own[down, across]
        found.append(((top + down.start, left + across.start, *own.shape), own))
    return found


def hole_regions(hole: np.ndarray, *, context: int, maximum: int, multiple: int = 1, minimum: int = 1) -> list[Region]:
    """Group the holes of a picture into boxes with context, top to bottom.

    Clusters of holes (see `clusters`) whose boxes overlap are one region, unless together they reach further than
    `maximum` and than either alone. A cluster that reaches further by itself is done in blocks, each with context
    around its own holes. Every hole pixel is in the `hole` of exactly one region.

    Args:
        hole: HxW bool.
        context: known pixels wanted on each side of holes; less at the picture's border.
        maximum: rows and columns that the holes of a region reach over at most.
        multiple: sides are multiples of it where the picture has room for one with half of the context; else a side is
            the picture's.
        minimum: least side, where the picture is large enough.
    """
    around = cache(partial(_around, shape=hole.shape, context=context, multiple=multiple, minimum=minimum))
    groups: list[tuple[Box, list[tuple[Box, np.ndarray]]]] = []
    for box, own in clusters(hole):
        members, number = [(box, own)], 0
        while number < len(groups):
            other, theirs = groups[number]
            top, left = min(box[0], other[0]), min(box[1], other[1])
            height = max(box[0] + box[2], other[0] + other[2]) - top
            width = max(box[1] + box[3], other[1] + other[3]) - left
            fits = height <= max(maximum, box[2], other[2]) and width <= max(maximum, box[3], other[3])
            if fits and overlap(around(box), around(other)):
                box, members = (top, left, height, width), theirs + members
                del groups[number]
                number = 0  # it may meet those before now
            else:
                number += 1
        groups.append((box, members))
    regions = []
    for (top, left, *sides), members in sorted(groups, key=lambda group: around(group[0])):
        whole = np.zeros(sides, dtype=bool)
        for (y, x, height, width), own in members:
            crop(whole, (y - top, x - left, height, width))[...] |= own
        cuts = (np.array_split(np.arange(side), math.ceil(side / maximum)) for side in sides)
        for rows, columns in product(*cuts):
            block = whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            if block.any():
                down, across = extent(block)
                own = block[down, across]
                y, x = top + int(rows[0]) + down.start, left + int(columns[0]) + across.start
                box = around((y, x, *own.shape))
                holes = np.zeros(box[2:], dtype=bool)
                crop(holes, (y - box[0], x - box[1], *own.shape))[...] = own
                regions.append(Region(box, holes))
    return regions


def halvings_of_holes(hole: np.ndarray, reach: float) -> np.ndarray:
    """How often the picture must be halved until every pixel of a hole is within `reach` pixels of a known one.

    At least once if its deepest pixel is `reach` / 2 and `_STRIP` pixels or more from known ones: in such strips the
    network draws blots and grain, and what continues the surroundings is closer to the truth.

    Takes and returns HxW: bool to int8, the same number for all of a connected hole. Its arms (`_ARM`), and pixels
    outside of holes, get 0.
    """
    strip = max(reach / 2, _STRIP)
    out = np.zeros(hole.shape, dtype=np.int8)
    for box, own in clusters(hole):
        top, left, height, width = box
        above, below = int(top > 0), int(top + height < hole.shape[0])  # known pixels beside it, where there are any
        before, after = int(left > 0), int(left + width < hole.shape[1])
        if above and below and before and after and min(height, width) < reach - 1:
            continue  # too narrow to be deep
        depth = ndimage.distance_transform_edt(np.pad(own, ((above, below), (before, after))))
        depth = crop(depth, (above, before, height, width))
        parts, count = ndimage.label(own, structure=np.ones((3, 3)))
        deepest = ndimage.maximum(depth, parts, np.arange(1, count + 1))
        shallow = (deepest < strip) & (deepest <= reach)
        if shallow.all():
            continue
        times = np.concatenate([[0], np.where(shallow, 0, np.ceil(np.log2(deepest / reach)).clip(1))])
        # its arms are what is narrow of it, and far from its pixels that are deep
        far = own & ~ndimage.maximum_filter(depth >= min(strip, reach), 2 * _ARM + 1)
        arms, count = ndimage.label(far, structure=np.ones((3, 3)))
        wide = ndimage.mean(depth > NARROW, arms, np.arange(1, count + 1)) > _EXCEPTIONS
        own &= ~far | np.concatenate([[True], wide])[arms]
        crop(out, box)[own] = times[parts[own]]
    return out


def _around(box: Box, shape: tuple[int, int], context: int, multiple: int, minimum: int) -> Box:
    """The box of a region whose holes have this one, in a picture of this shape; see `hole_regions`."""
    starts, sides = [], []
    for first, length, size in zip(box[:2], box[2:], shape, strict=True):
        side = -(-max(length + 2 * context, minimum) // multiple) * multiple
        if side > size:
            # Half of the context may do, where there is so much; with none a hole that takes all of the other axis
            # would be filled from nothing.
            side = size // multiple * multiple
            side = side if side >= length + min(context, size - length) / 2 else size
        starts.append(min(max(first - (side - length) // 2, 0), size - side))
        sides.append(side)
    return starts[0], starts[1], sides[0], sides[1]


def touched_blocks(hole: np.ndarray, side: int) -> np.ndarray:
    """The blocks of so many pixels a side that a hole (HxW bool) takes any pixel of."""
    padded = np.pad(hole, [(0, -length % side) for length in hole.shape])
    rows, columns = (length // side for length in padded.shape)
    return np.asarray(padded.reshape(rows, side, columns, side).any(axis=(1, 3)))


def means_of_blocks(values: np.ndarray, step: int) -> np.ndarray:
    """Means of whole blocks of step x step pixels."""
    height, width = (side // step for side in values.shape[:2])
    whole = values[: step * height, : step * width]
    return whole.reshape(height, step, width, step, *values.shape[2:]).mean((1, 3))


def mask_of_blocks(mask: np.ndarray, step: int, size: tuple[int, int]) -> np.ndarray:
    """A mask of whole blocks as one of this size, HxW bool; nothing beyond the last of them."""
    whole = mask.repeat(step, 0).repeat(step, 1)
    return np.pad(whole, [(0, side - have) for side, have in zip(size, whole.shape, strict=True)])
