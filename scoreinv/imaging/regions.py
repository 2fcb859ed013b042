"""Regions of a large picture: boxes around its holes, with known pixels on each side.

A picture's holes are found in three steps: `clusters` of neighbouring holes, boxes with context around them
(`hole_regions`), and the order in which the boxes are filled (`regions_to_fill`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product

import numpy as np
from scipy import ndimage

from scoreinv.imaging.resizing import touched_blocks
from scoreinv.windows.boxes import Box, crop
from scoreinv.windows.placement import cheapest_tile

_CELL = 16
"""Side in pixels of the cells by which holes are grouped: labelling the pixels of a large mask would be slow."""

BLOCK_WINDOWS = 12
"""Maximum side of a region, in windows; larger clusters of holes are filled in blocks, one after another."""

_DEEP_CONTEXT = 32  # pixels of context around a deep hole at its coarsest scale

_DEEP_BLOCK = 5
"""Maximum side of a block of a deep hole, in half windows at its coarsest scale. It limits the time of texture
synthesis, which compares each patch of the hole with many patches of the context."""

_STRIP = 8  # minimum depth in pixels of a strip that is filled by texture synthesis

_ARM = 24
"""Distance in pixels from the deep part of a hole beyond which its narrow parts count as arms, such as a scratch that
meets a tear. Corners and the ends of strips are nearer."""
NARROW = 5  # maximum depth of a narrow hole in pixels, along rows and columns
_EXCEPTIONS = 0.05  # share of the pixels of narrow holes that may be deeper, as at crossings of scratches
_WINDOWS = (0.75, 3)  # smallest and largest window of narrow holes, relative to the model's


@dataclass(frozen=True)
class Region:
    """A box to work in, and the holes to fill in it.

    Attributes:
        box: (top, left, height, width).
        hole: hxw bool, the holes that this region fills. The box may also contain holes of other regions.
        halvings: how often the picture is halved for the coarsest scale of a deep hole; 0: the hole is not deep.
        narrow: whether all holes but crossings are narrow: scratches, specks, writing.
        window: side of the model's windows. Narrow holes look the same in larger windows and in slightly smaller ones.
        in_one_window: whether one window covers the region.
        avoid: hxw bool, pixels that a deep hole must not copy. None: all known pixels may be copied.
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
    """Return the regions around the holes of a picture, in groups, in the order of filling.

    Deep holes come last, since they continue the content around them. Each region contains known pixels, or pixels of
    a region before it. The holes of a region extend over one block at most (`BLOCK_WINDOWS`, `_DEEP_BLOCK`). The
    regions of a group are filled together. A group is a single region, or several consecutive ones of equal size and
    kind that do not overlap and fit in one window each.

    Args:
        hole: HxW bool.
        window: side of the model's windows.
        multiple: divisor of the sides of regions.
        deep: whether deep holes are filled at coarser scales first.
        at_once: maximum number of pixels of a group of several regions.
    """
    halvings = halvings_of_holes(hole, window / 4) if deep else np.zeros(hole.shape, dtype=np.int8)
    regions: list[Region] = []
    for count in np.unique(halvings[hole]).tolist():
        context = max(window // 4, _DEEP_CONTEXT if count else 0) << count
        limit = BLOCK_WINDOWS * window
        if count:
            limit = min(2 * limit, _DEEP_BLOCK * window // 2 << count)
        holes = hole & (halvings == count)
        found = hole_regions(holes, context=context, maximum=limit, multiple=multiple, minimum=window)
        if count:
            regions += [replace(region, halvings=count, window=window) for region in found]
        else:
            regions += [_with_window(region, window, multiple, may_be_narrow=deep) for region in found]
    return _group(known_first(regions, hole), at_once)


def _with_window(region: Region, window: int, multiple: int, *, may_be_narrow: bool) -> Region:
    """Return a region without deep holes, with its window, and whether it is narrow; see `regions_to_fill`."""
    hole = region.hole
    # A narrow hole has few pixels farther than NARROW from known ones. Pixels beyond the border are not known.
    inner = ndimage.minimum_filter(hole, 2 * NARROW + 1, mode="constant", cval=1)
    narrow = may_be_narrow and bool(inner.sum() <= _EXCEPTIONS * hole.sum())
    if narrow and max(hole.shape) > window:
        window = narrow_tile(hole, window, multiple)
    return replace(region, narrow=narrow, window=window, in_one_window=max(hole.shape) <= window)


def narrow_tile(needed: np.ndarray, window: int, multiple: int) -> int:
    """Return the side of windows around pixels of narrow holes, (H, W) bool; see `regions_to_fill`."""
    least, most = (max(1, int(share * window) // multiple) * multiple for share in _WINDOWS)
    return cheapest_tile(needed, window // 8, multiple, least, most)


def _group(regions: Iterable[Region], at_once: int) -> list[list[Region]]:
    """Group consecutive regions that are alike; see `regions_to_fill`."""
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
    """Yield the regions in order, but defer those without any known or already filled pixel.

    Args:
        hole: HxW bool, the union of the regions' holes.
    """
    unknown, pending, deferred = hole.copy(), deque(regions), 0
    while pending:
        region = pending.popleft()
        if deferred <= len(pending) and crop(unknown, region.box).all():  # its neighbours will fill part of it
            pending.append(region)
            deferred += 1
            continue
        deferred = 0
        crop(unknown, region.box)[region.hole] = False
        yield region


def widened(region: Region, shape: tuple[int, int], multiple: int) -> Region:
    """Extend a region by its own size on each side, within a picture of this shape.

    Sides are then reduced to multiples of `multiple`, unless they span the picture.
    """
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
    """Return the rows and columns of the bounding box of a hole, HxW bool, not empty."""
    rows, columns = (np.flatnonzero(hole.any(axis=axis)).tolist() for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def overlap(a: Box, b: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Return the overlap of two boxes as (rows, columns) within a and within b, or None."""
    top, left = max(a[0], b[0]), max(a[1], b[1])
    bottom, right = min(a[0] + a[2], b[0] + b[2]), min(a[1] + a[3], b[1] + b[3])
    if top >= bottom or left >= right:
        return None
    in_a, in_b = ((slice(top - box[0], bottom - box[0]), slice(left - box[1], right - box[1])) for box in (a, b))
    return in_a, in_b


def clusters(hole: np.ndarray) -> list[tuple[Box, np.ndarray]]:
    """Return the bounding box and mask of each cluster of holes, by their first row.

    Holes are in one cluster if their cells of `_CELL` pixels touch, also at corners.
    """
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
    """Group the holes of a picture into boxes with context, from top to bottom.

    Clusters of holes (see `clusters`) whose boxes with context overlap form one region, unless its holes would extend
    over more than `maximum` and more than the larger cluster. A cluster larger than `maximum` is split into blocks,
    each with context around its own holes. Every hole pixel belongs to exactly one region.

    Args:
        hole: HxW bool.
        context: known pixels on each side of holes; fewer at the picture's border.
        maximum: maximum extent of a region's holes, in rows and in columns.
        multiple: divisor of the sides, if the picture has room for half of the context; else a side is the picture's.
        minimum: minimum side, if the picture is large enough.
    """
    around = cache(partial(with_context, shape=hole.shape, context=context, multiple=multiple, minimum=minimum))
    regions = []
    for box, members in _merged(clusters(hole), around, maximum):
        for bounds, own in _blocks(box, members, maximum):
            context_box = around(bounds)
            holes = np.zeros(context_box[2:], dtype=bool)
            crop(holes, (bounds[0] - context_box[0], bounds[1] - context_box[1], *own.shape))[...] = own
            regions.append(Region(context_box, holes))
    return regions


_Cluster = tuple[Box, np.ndarray]
"""The bounding box and mask of holes."""


def _merged(found: list[_Cluster], around: Callable[[Box], Box], maximum: int) -> list[tuple[Box, list[_Cluster]]]:
    """Merge clusters whose boxes with context overlap; return the bounding box and clusters of each group.

    Args:
        around: adds the context to a box.
        maximum: maximum side of a merged box, unless one of the clusters is larger.
    """
    groups: list[tuple[Box, list[_Cluster]]] = []
    for box, own in found:
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
                number = 0  # the larger box may overlap earlier groups
            else:
                number += 1
        groups.append((box, members))
    return sorted(groups, key=lambda group: around(group[0]))


def _blocks(box: Box, members: list[_Cluster], maximum: int) -> Iterator[_Cluster]:
    """Split the clusters in a box into equal blocks of at most `maximum` pixels a side; yield those with holes."""
    top, left, *sides = box
    whole = np.zeros(sides, dtype=bool)
    for (y, x, height, width), own in members:
        crop(whole, (y - top, x - left, height, width))[...] |= own
    cuts = (np.array_split(np.arange(side), math.ceil(side / maximum)) for side in sides)
    for rows, columns in product(*cuts):
        block = whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        if block.any():
            down, across = extent(block)
            own = block[down, across]
            yield (top + int(rows[0]) + down.start, left + int(columns[0]) + across.start, *own.shape), own


def halvings_of_holes(hole: np.ndarray, reach: float) -> np.ndarray:
    """Return how often to halve the picture until every hole pixel is within `reach` pixels of a known one.

    Holes whose deepest pixel is at least `reach` / 2 and `_STRIP` pixels from known ones are halved at least once:
    there the network produces blots and grain, and texture synthesis is closer to the truth.

    Args:
        hole: HxW bool.
        reach: distance in pixels.

    Returns:
        HxW int8, constant on each connected hole; 0 on its arms (`_ARM`) and on known pixels.
    """
    strip = max(reach / 2, _STRIP)
    out = np.zeros(hole.shape, dtype=np.int8)
    for box, own in clusters(hole):
        top, left, height, width = box
        above, below = int(top > 0), int(top + height < hole.shape[0])  # 1 if known pixels are on this side
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
        # Arms are the narrow parts far from deep pixels.
        far = own & ~ndimage.maximum_filter(depth >= min(strip, reach), 2 * _ARM + 1)
        arms, count = ndimage.label(far, structure=np.ones((3, 3)))
        wide = ndimage.mean(depth > NARROW, arms, np.arange(1, count + 1)) > _EXCEPTIONS
        own &= ~far | np.concatenate([[True], wide])[arms]
        crop(out, box)[own] = times[parts[own]]
    return out


def with_context(box: Box, shape: tuple[int, int], context: int, multiple: int, minimum: int) -> Box:
    """Extend a box on both sides, within a picture of this shape.

    Args:
        context: pixels to add on each side, as far as the picture reaches.
        multiple: divisor of the sides, if the picture has room for half of the context; else a side is the picture's.
        minimum: of the sides, in pixels.
    """
    starts, sides = [], []
    for first, length, size in zip(box[:2], box[2:], shape, strict=True):
        side = -(-max(length + 2 * context, minimum) // multiple) * multiple
        if side > size:
            # Accept half of the context. Without any context, a hole that spans the other axis has no known pixels.
            side = size // multiple * multiple
            side = side if side >= length + min(context, size - length) / 2 else size
        starts.append(min(max(first - (side - length) // 2, 0), size - side))
        sides.append(side)
    return starts[0], starts[1], sides[0], sides[1]
