"""Fragments: small parts of an object that its mask misses, such as a tip of a tail or an enclosed gap.

The evidence for a pixel of colour c is a log-likelihood ratio of colour histograms, inside and outside the mask:

    e(c) = log p(c | object) - log p(c | surroundings) + prior log-odds.

The prior log-odds are those of a segmentation network, or 0. A connected region of evidence is a fragment if it is
small and joined to the mask. Background that resembles the object is mostly large, or apart from the mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import ndimage

from scoreinv.analysis.colour_evidence import bins_of, log_densities
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.regions import clusters
from scoreinv.imaging.resizing import means_of_blocks
from scoreinv.windows.boxes import Box, crop

SMALLEST, LARGEST = 0.002, 0.03
"""Minimum and maximum area of a fragment, as a fraction of the mask's."""
_SIDE = 256  # cells of the longer side of a hole with its surroundings
_MARGIN = 0.35  # surroundings on each side, as a fraction of the hole's longer side
_SOFT = 2  # minimum distance from the mask in pixels; nearer ones may belong to a soft edge
_EVIDENCE, _JOINED = 0.5, 0.75
"""Minimum evidence of a cell; minimum mean evidence of a fragment times the share of its outline at the mask. Chosen by
`tests/benchmarks/fragments.py` for few false fragments."""
_ADJACENT = np.ones((3, 3), bool)
_LEAST_WIDTH = 16  # minimum width of holes to examine: narrow ones are mostly scratches


def find_fragments(picture: Picture, hole: np.ndarray) -> list[tuple[int, int]]:
    """Return (x, y) in pixels of a point in each fragment of the objects in wide holes, HxW bool, largest first."""
    found = []
    for (y, x, *_), alone, around in _wide_holes(hole):
        step = math.ceil(max(around.shape) / _SIDE)
        if min(around.shape) < step:
            continue
        colours = means_of_blocks(picture.rgb((y, x, *around.shape)), step)
        own, holes = (means_of_blocks(mask, step) for mask in (alone, around))
        fragments = fragments_beside(colours, own, holes, soft=math.ceil(_SOFT / step))
        labels, count = ndimage.label(fragments, _ADJACENT)
        inner = ndimage.distance_transform_edt(np.pad(fragments, 1))[1:-1, 1:-1]
        areas = step**2 * np.bincount(labels.ravel())[1:]
        deepest = ndimage.maximum_position(inner, labels, range(1, count + 1))
        for area, (row, column) in zip(areas, deepest, strict=True):
            found.append((int(area), (int(x + step * (column + 0.5)), int(y + step * (row + 0.5)))))
    return [place for _, place in sorted(found, reverse=True)]


def _wide_holes(hole: np.ndarray) -> Iterator[tuple[Box, np.ndarray, np.ndarray]]:
    """Yield the holes of HxW bool that are not narrow: a box around each, the hole alone in it, and all holes in it."""
    for (top, left, _, _), holes in clusters(hole):
        labels, _ = ndimage.label(holes)
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            own = labels[rows, columns] == number
            if not ndimage.minimum_filter(own, _LEAST_WIDTH, mode="constant").any():
                continue
            reach = _SOFT + round(_MARGIN * max(own.shape))
            y, x = max(0, top + rows.start - reach), max(0, left + columns.start - reach)
            around = hole[y : top + rows.stop + reach, x : left + columns.stop + reach]
            alone = np.zeros_like(around)
            crop(alone, (top + rows.start - y, left + columns.start - x, *own.shape))[...] = own
            yield (y, x, *around.shape), alone, around


def fragments_beside(
    colours: np.ndarray, mask: np.ndarray, holes: np.ndarray, prior: np.ndarray | None = None, soft: int = 1
) -> np.ndarray:
    """Return the fragments of one object, hxw bool.

    Args:
        colours: hxwx3 in [0, 1].
        mask: share of the object's mask in each cell, hxw.
        holes: share of all masks in each cell, hxw; colours of cells within other masks are ignored.
        prior: log-odds of the object, hxw.
        soft: cells beside the mask that may belong to a soft edge.
    """
    near = ndimage.binary_dilation(holes > 0.25, _ADJACENT, iterations=soft)
    inside, area = mask > 0.9, (mask > 0.5).sum()
    if near.all() or not inside.any():
        return np.zeros_like(near)
    bins = bins_of(colours)
    of_object, of_surroundings = (log_densities(bins[where]) for where in (inside, ~near))
    evidence = ndimage.gaussian_filter((of_object - of_surroundings)[bins], 0.7)
    if prior is not None:
        evidence += prior
    labels, _ = ndimage.label(ndimage.binary_opening((evidence > _EVIDENCE) & ~near, np.ones((2, 2))), _ADJACENT)
    found = np.zeros_like(near)
    for number, place in enumerate(ndimage.find_objects(labels), start=1):
        wider = tuple(slice(max(0, part.start - 2), part.stop + 2) for part in place)
        own = labels[wider] == number
        outline = ndimage.binary_dilation(own, _ADJACENT, iterations=2) & ~own
        joined = (near[wider] & outline).sum() / outline.sum()
        if SMALLEST * area <= own.sum() <= LARGEST * area and evidence[wider][own].mean() * joined > _JOINED:
            found[wider] |= own
    return found
