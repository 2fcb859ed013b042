"""Where to work in a large picture: regions around holes, each with known pixels around it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from scoreinv.window_placement import Box, cheapest_tile

_CELL = 16
"""Side in pixels of the cells on which holes are grouped: labels of a 30-megapixel mask are then a small picture's."""

BLOCK_TILES = 12
"""Longest side of a region in windows; larger clusters of holes are done in blocks, each given those before."""

_DEEP_CONTEXT = 32
"""Pixels around a deep hole at the scale where it is drawn first: what it is continued from."""

_DEEP_BLOCK = 5
"""Longest side of what is drawn at once there, in half windows: each place is compared with many patches of what is
around, so that a long crack is done in blocks."""

_STRIP = 8
"""Pixels from the middle of a strip to known ones from which on it is continued from what surrounds it."""

_ARM = 24
"""Pixels from a hole's deep ones, along rows and columns, beyond which what is narrow of it is an arm: a scratch that
meets a tear. Corners and the ends of strips are nearer."""
NARROW = 5
"""Pixels from a narrow hole to known ones at most, along rows and columns."""
_EXCEPTIONS = 0.05
"""Share of narrow holes that may be further from known pixels, as where scratches cross."""

_TILES = (0.75, 3)
"""Sides of the windows of narrow holes, in windows of the model: from, to."""


@dataclass(frozen=True)
class Region:
    """A box to work in, and the holes that are its own.

    Attributes:
        box: (top, left, height, width).
        hole: hxw bool: the holes that this region fills. Its box may also show holes of another region, which are
            unknown to it too, and are left to the other.
        halvings: how often it is halved for the scale at which it is drawn first.
        narrow: all of its holes but for crossings are scratches, specks, writing.
        tile: side of the windows that it is seen through. Narrow holes look the same through larger ones and a
            little smaller ones.
    """

    box: Box
    hole: np.ndarray
    halvings: int = 0
    narrow: bool = False
    tile: int = 0

    @property
    def whole(self) -> bool:
        """Whether it is no longer than a window."""
        return not self.halvings and max(self.hole.shape) <= self.tile


def regions_to_fill(hole: np.ndarray, window: int, multiple: int, *, deep: bool) -> list[Region]:
    """The regions around the holes of a picture, in the order in which they are filled.

    Deep holes come last, since they go on from all around them; and each region shows something that is known, or
    filled by then. No region has a side longer than a block (`BLOCK_TILES`, `_DEEP_BLOCK`) and its context.

    Args:
        hole: HxW bool.
        window: side of the windows that the model looks through.
        multiple: what the sides of regions are multiples of.
        deep: draw what the windows do not reach at coarser scales first; else all at the picture's own.
    """
    times = halvings(hole, window / 4) if deep else np.zeros(hole.shape, dtype=np.int8)
    regions: list[Region] = []
    for count in np.unique(times[hole]).tolist():
        context = max(window // 4, _DEEP_CONTEXT if count else 0) << count
        limit = BLOCK_TILES * window
        if count:
            limit = min(2 * limit, _DEEP_BLOCK * window // 2 << count)
        wanted = {"context": context, "multiple": multiple, "minimum": window}
        found = hole_regions(hole & (times == count), **wanted, maximum=limit + 2 * context)
        some = [block for region in found for block in blocks(region, hole.shape, **wanted, maximum=limit)]
        for region in some:
            # known pixels are within NARROW of nearly all of it; beyond the border all is unknown
            inner = squares(np.pad(region.hole, NARROW, constant_values=True), 2 * NARROW + 1)
            narrow = deep and not count and bool(inner.sum() <= _EXCEPTIONS * region.hole.sum())
            tile = window
            if narrow and max(region.hole.shape) > window:
                least, most = (max(1, int(share * window) // multiple) * multiple for share in _TILES)
                tile = cheapest_tile(region.hole, window // 8, multiple, least, most)
            regions.append(replace(region, halvings=count, narrow=narrow, tile=tile))
    return list(from_known(regions, hole))


def from_known(regions: Iterable[Region], hole: np.ndarray) -> Iterator[Region]:
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


def squares(hole: np.ndarray, side: int) -> np.ndarray:
    """Which squares of so many pixels a side lie in a hole, HxW bool: (H - side + 1)x(W - side + 1), by their corner.

    The squares of s and of t <= s pixels overlap or touch in those of s + t: it takes log2(side) steps.
    """
    for axis in (0, 1):
        lines, covered = np.moveaxis(hole, axis, 0), 1
        while covered < side:
            step = min(covered, side - covered)
            lines, covered = lines[: max(0, len(lines) - step)] & lines[step:], covered + step
        hole = np.moveaxis(lines, 0, axis)
    return hole


def together(regions: Iterable[Region], pixels: int) -> Iterator[list[Region]]:
    """The regions in order, in groups of neighbours of one size and kind that do not meet, of so many pixels at most.

    A deep region is a group of its own: each may be drawn in another way.
    """
    group: list[Region] = []
    for region in regions:
        shallow = group and region.halvings == group[0].halvings == 0
        alike = shallow and (region.hole.shape, region.narrow) == (group[0].hole.shape, group[0].narrow)
        apart = not any(common(region.box, other.box) for other in group)
        if group and not (alike and apart and (len(group) + 1) * region.hole.size <= pixels):
            yield group
            group = []
        group.append(region)
    if group:
        yield group


def crop(values: np.ndarray, box: Box) -> np.ndarray:
    """The values HxW(xC) in a box; a view."""
    top, left, height, width = box
    return values[top : top + height, left : left + width]


def extent(hole: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns from the first to the last pixel of a hole, HxW bool, not empty."""
    rows, columns = (np.flatnonzero(hole.any(axis=axis)).tolist() for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def common(a: Box, b: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Where two boxes overlap: (rows, columns) within a, and within b; None where they do not."""
    top, left = max(a[0], b[0]), max(a[1], b[1])
    bottom, right = min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    if top >= bottom or left >= right:
        return None
    in_a, in_b = ((slice(top - box[0], bottom - box[0]), slice(left - box[1], right - box[1])) for box in (a, b))
    return in_a, in_b


def hole_regions(
    hole: np.ndarray, *, context: int, multiple: int = 1, minimum: int = 1, maximum: int | None = None
) -> list[Region]:
    """Group the holes of a picture into boxes with context, top to bottom.

    Holes that touch, or nearly (neighbouring cells of 16 pixels), are one cluster and always in one region. Clusters
    whose boxes overlap are merged; larger groups than `maximum` are split into boxes, which may overlap. Every hole
    pixel is in the `hole` of exactly one region.

    Args:
        hole: HxW bool.
        context: known pixels wanted on each side of a cluster; less at the picture's border, and where `maximum` asks.
        multiple: sides are multiples of it where the picture has room for one with half of the context; else a side is
            the picture's.
        minimum: least side, where the picture is large enough.
        maximum: largest side, except around a single cluster that is larger.
    """
    shape = hole.shape
    labels, extents = _clusters(hole)
    if not len(extents):
        return []
    limit = max(shape) if maximum is None else max(maximum, minimum)
    wanted = _Wanted(shape, context, multiple, minimum, limit)
    group_of = np.arange(len(extents))  # cluster -> group
    while True:  # boxes that meet in cells, directly or through others, become one
        boxes = wanted.boxes(extents, group_of)
        painted = np.zeros(labels.shape, dtype=bool)
        for top, left, bottom, right in boxes.tolist():
            painted[top // _CELL : -(-bottom // _CELL), left // _CELL : -(-right // _CELL)] = True
        components, _ = ndimage.label(painted)
        found = components[boxes[:, 0] // _CELL, boxes[:, 1] // _CELL]
        merged: np.ndarray = np.unique(found, return_inverse=True)[1]
        if merged.max() == group_of.max():
            break
        group_of = merged[group_of]
    if maximum is not None:
        group_of = _split_large(extents, group_of, wanted)

    regions = []
    for group, bounds in enumerate(wanted.boxes(extents, group_of).tolist()):
        top, left, bottom, right = bounds
        own = _of_clusters(hole, labels, group_of == group, bounds)
        regions.append(Region((top, left, bottom - top, right - left), own))
    return sorted(regions, key=lambda region: region.box)


def blocks(
    region: Region, shape: tuple[int, ...], *, context: int, multiple: int, minimum: int, maximum: int
) -> Iterator[Region]:
    """A region as it is, or one whose holes reach further than `maximum` in blocks that share them out.

    Each has its context around its own holes, as a region has (see `hole_regions`), so that a long scratch is not
    covered by more windows than it needs; its sides are `maximum` and twice the context at most.

    Args:
        shape: of the picture.
    """
    top, left = region.box[:2]
    down, across = (np.arange(places.start, places.stop) for places in extent(region.hole))
    if max(len(down), len(across)) <= maximum:
        yield region
        return
    wanted = _Wanted(shape, context, multiple, minimum, maximum + 2 * context)
    for rows in np.array_split(down, math.ceil(len(down) / maximum)):
        for columns in np.array_split(across, math.ceil(len(across) / maximum)):
            inside = region.hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            if not inside.any():
                continue
            own_rows, own_columns = extent(inside)
            holes = inside[own_rows, own_columns]
            y, x = int(top + rows[0] + own_rows.start), int(left + columns[0] + own_columns.start)
            bounds = np.array([[y, x, y + holes.shape[0], x + holes.shape[1]]])
            y0, x0, y1, x1 = wanted.boxes(bounds, np.zeros(1, dtype=int))[0].tolist()
            own = np.zeros((y1 - y0, x1 - x0), dtype=bool)
            own[y - y0 : y - y0 + holes.shape[0], x - x0 : x - x0 + holes.shape[1]] = holes
            yield Region((y0, x0, y1 - y0, x1 - x0), own)


def halvings(hole: np.ndarray, reach: float) -> np.ndarray:
    """How often the picture must be halved until every pixel of a hole is within `reach` pixels of a known one.

    Once at least where one is half as far or more, and `_STRIP` pixels: in such strips the network draws blots and
    grain, and what continues the surroundings is closer to the truth.

    Takes and returns HxW: bool to int8, the same number for all of a connected hole but its arms (`_ARM`), which have
    0 as what is outside of holes.
    """
    strip = max(reach / 2, _STRIP)
    out = np.zeros(hole.shape, dtype=np.int8)
    labels, extents = _clusters(hole)
    for number, bounds in enumerate(extents.tolist()):
        inside = min(bounds[:2]) > 0 and bounds[2] < hole.shape[0] and bounds[3] < hole.shape[1]
        if inside and min(bounds[2] - bounds[0], bounds[3] - bounds[1]) < reach - 1:
            continue  # too narrow to be deep
        top, left = max(0, bounds[0] - 1), max(0, bounds[1] - 1)
        bottom, right = min(hole.shape[0], bounds[2] + 1), min(hole.shape[1], bounds[3] + 1)
        # of another cluster the window may hold a piece
        own = _of_clusters(hole, labels, np.arange(len(extents)) == number, [top, left, bottom, right])
        depth = ndimage.distance_transform_edt(own)
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
        out[top:bottom, left:right][own] = times[parts[own]]
    return out


@dataclass(frozen=True)
class _Wanted:
    """What a box should be like; see `hole_regions`. `limit` is `maximum`, or the picture's longer side."""

    shape: tuple[int, ...]
    context: int
    multiple: int
    minimum: int
    limit: int

    def boxes(self, extents: np.ndarray, group_of: np.ndarray) -> np.ndarray:
        """The box (top, left, bottom, right) around the extents of each group."""
        ends = []
        for axis, size in enumerate(self.shape):
            first = np.full(group_of.max() + 1, size)
            np.minimum.at(first, group_of, extents[:, axis])
            last = np.zeros_like(first)
            np.maximum.at(last, group_of, extents[:, axis + 2])
            length = last - first
            side = np.maximum(np.minimum(np.maximum(length + 2 * self.context, self.minimum), self.limit), length)
            side = -(-side // self.multiple) * self.multiple
            # Where rounding up goes past an end, less context may do; at the picture's, half of what there is: with
            # none a hole that takes all of the other axis would be filled from nothing.
            enough = length + np.minimum(self.context, size - length) / 2
            for end, least in ((self.limit, length), (size, enough)):
                below = end // self.multiple * self.multiple
                side = np.where((side > end) & (below >= least), below, side)
            side = np.minimum(side, size)
            start = np.clip(first - (side - length) // 2, 0, size - side)
            ends.append((start, start + side))
        return np.stack([end for pair in zip(*ends, strict=True) for end in pair], axis=1)


def _clusters(hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (0 none, from 1) of the cells that hold holes, and each cluster's exact (top, left, bottom, right)."""
    height, width = hole.shape
    rows, columns = math.ceil(height / _CELL), math.ceil(width / _CELL)
    padded = np.zeros((rows * _CELL, columns * _CELL), dtype=bool)
    padded[:height, :width] = hole
    cells = padded.reshape(rows, _CELL, columns, _CELL)
    in_row: np.ndarray = np.any(cells, axis=3)  # rows, cell, columns
    in_column: np.ndarray = np.any(cells, axis=1)  # rows, columns, cell
    labels, count = ndimage.label(in_column.any(axis=2), structure=np.ones((3, 3)))
    if not count:
        return labels, np.empty((0, 4), dtype=np.intp)
    down, across = np.indices(labels.shape) * _CELL
    numbers = np.arange(1, count + 1)
    ends = [
        ndimage.minimum(down + in_row.argmax(axis=1), labels, numbers),
        ndimage.minimum(across + in_column.argmax(axis=2), labels, numbers),
        ndimage.maximum(down + _CELL - in_row[:, ::-1].argmax(axis=1), labels, numbers),
        ndimage.maximum(across + _CELL - in_column[..., ::-1].argmax(axis=2), labels, numbers),
    ]
    return labels, np.stack(ends, axis=1).astype(np.intp)


def _split_large(extents: np.ndarray, group_of: np.ndarray, wanted: _Wanted) -> np.ndarray:
    """Groups anew, those of several clusters whose box is larger than the limit shared out in smaller ones."""
    bounds = wanted.boxes(extents, group_of)
    too_large = ((bounds[:, 2:] - bounds[:, :2]) > wanted.limit).any(axis=1)
    several = np.bincount(group_of) > 1
    room = wanted.limit - 2 * wanted.context
    band = max(1, room // 2)
    out = np.full(len(extents), -1)
    count = 0
    for group in range(len(bounds)):
        members = np.flatnonzero(group_of == group) if too_large[group] and several[group] else None
        if members is None:
            out[group_of == group] = count
            count += 1
            continue
        own = wanted.boxes(extents[members], np.arange(len(members)))
        for member, box in zip(members.tolist(), own, strict=True):  # what lies in a large cluster's box joins it
            if out[member] < 0 and ((box[2:] - box[:2]) > wanted.limit).any():
                inside = (extents[members, :2] >= box[:2]).all(axis=1) & (extents[members, 2:] <= box[2:]).all(axis=1)
                out[members[inside & (out[members] < 0)]] = count
                count += 1
        rest = members[out[members] < 0]
        centres = (extents[rest, :2] + extents[rest, 2:]) // 2
        union: list[int] = []
        for member in rest[np.lexsort((centres[:, 1], centres[:, 0] // band))].tolist():
            top, left, bottom, right = extents[member].tolist()
            if union:
                grown = [min(union[0], top), min(union[1], left), max(union[2], bottom), max(union[3], right)]
                if max(grown[2] - grown[0], grown[3] - grown[1]) <= room:
                    union, out[member] = grown, count - 1
                    continue
            union, out[member] = [top, left, bottom, right], count
            count += 1
    return out


def _of_clusters(hole: np.ndarray, labels: np.ndarray, chosen: np.ndarray, bounds: list[int]) -> np.ndarray:
    """The holes within (top, left, bottom, right) that lie in cells of the chosen clusters."""
    top, left, bottom, right = bounds
    rows, columns = np.arange(top, bottom) // _CELL, np.arange(left, right) // _CELL
    return hole[top:bottom, left:right] & np.concatenate([[False], chosen])[labels[np.ix_(rows, columns)]]
