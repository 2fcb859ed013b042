"""Leftovers: if a mask is too small, a rim of the object remains beside the hole, and a fill would continue it.

Colours are sampled from points of the rim outwards, along the normals. The ground is sampled 10 to 26 pixels from this
part of the rim. A point has a leftover of w pixels if three things hold: the colours at 1 to w pixels are rare in the
ground, those from w + 2 pixels on are not, and there is a jump in between. In texture this happens by chance, but along
an object's edge at nearly all points. So a point counts only if most of its neighbours along the rim have a leftover,
too. An edge of the scene along the rim continues beyond the hole, so its colours are not rare in the ground.

A mask may also miss slivers within its outline, such as between two limbs. A sliver belongs to the object if its
colours occur beside it in the hole, in the original picture, and not on the ground around the outline.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from scoreinv.analysis.nearby_colours import SAME_COLOUR, count_alike
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.regions import clusters
from scoreinv.imaging.resizing import means_of_blocks
from scoreinv.windows.boxes import Box, crop

WIDEST = 6  # maximum width of a leftover in pixels
_SOFT = 2  # pixels of a soft edge, ignored when colours are compared
_GROUND_DISTANCES = np.arange(10, 27, 2)  # distances from the rim at which the ground is sampled, in pixels
_RARE = 0.02  # maximum share of a rare colour in the ground
_LEAST_SAMPLES = 50  # minimum number of samples of the ground
_NEAR = 32.0  # pixels along the rim within which the ground is sampled
_BESIDE = 8  # neighbours on each side that confirm a point
_COMPARED = 1000  # maximum number of colours to compare with
_POINTS = 500  # maximum number of points of a rim
_NORMAL = 6  # radius in pixels of the disk that determines the normal
_LEAST_SHARE = 0.18
"""Minimum share of a rim with a leftover, chosen by `tests/benchmarks/leftovers.py` and on real objects."""
_GAP = 8  # radius in pixels of the closing that turns a mask into its outline
_INSIDE = 16  # pixels of a hole around a sliver that show the object's colours
_LEAST_PIXELS = 40  # minimum size of a sliver
_SLIVER_SHARE = 0.8  # minimum share of a sliver with colours of the object and not of the ground
_SIDE = 1024
"""Minimum longer side in pixels of a reduced picture in which slivers are searched; pictures below twice this side are
not reduced."""
_LEAST_WIDTH = 16  # minimum width of holes to examine: narrow ones are mostly scratches


@dataclass(frozen=True)
class Leftover:
    """A probable remainder of an object beside a hole, or within its outline.

    Attributes:
        share: share of the hole's rim, in (0, 1].
        grow: pixels by which to enlarge the hole.
    """

    share: float
    grow: int


def find_leftover(picture: Picture, hole: np.ndarray) -> Leftover | None:
    """Return the leftover with the largest share of its hole's rim, among all holes (HxW bool), or None."""
    found: list[Leftover | None] = []
    for box, alone, around in wide_holes(hole, int(_GROUND_DISTANCES[-1]) + 1):
        rgb = picture.rgb(box)
        found += _leftover_on_rim(rgb, alone, around), _leftover_slivers(rgb, alone, around)
    return max(filter(None, found), key=lambda leftover: leftover.share, default=None)


def wide_holes(hole: np.ndarray, margin: int, relative: float = 0) -> Iterator[tuple[Box, np.ndarray, np.ndarray]]:
    """Yield the holes of HxW bool that are not narrow: a box with margin, the hole alone in it, and all holes in it.

    Args:
        margin: in pixels.
        relative: margin as a fraction of the hole's longer side, added to the other.
    """
    for (top, left, _, _), holes in clusters(hole):
        labels, _ = ndimage.label(holes)
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            own = labels[rows, columns] == number
            if not ndimage.minimum_filter(own, _LEAST_WIDTH, mode="constant").any():
                continue
            reach = margin + round(relative * max(own.shape))
            y, x = max(0, top + rows.start - reach), max(0, left + columns.start - reach)
            around = hole[y : top + rows.stop + reach, x : left + columns.stop + reach]
            alone = np.zeros_like(around)
            crop(alone, (top + rows.start - y, left + columns.start - x, *own.shape))[...] = own
            yield (y, x, *around.shape), alone, around


def _leftover_slivers(rgb: np.ndarray, own: np.ndarray, hole: np.ndarray) -> Leftover | None:
    """Return the slivers of the object within the outline of one hole; `hole` includes the other holes."""
    if (step := max(hole.shape) // _SIDE) > 1:
        small = (means_of_blocks(mask, step) > 0 for mask in (own, hole))
        found = _leftover_slivers(means_of_blocks(rgb, step), *small)
        return found and Leftover(found.share, step * found.grow)
    # The padding keeps gaps open at the picture's border.
    outline = ndimage.binary_fill_holes(_distance(~np.pad(_near(own, _GAP), _GAP))[_GAP:-_GAP, _GAP:-_GAP] > _GAP) | own
    slivers, count = ndimage.label(outline & ~hole, np.ones((3, 3)))
    if not count:
        return None
    away = _distance(outline)
    ground = rgb[(away > _SOFT) & (away <= _GROUND_DISTANCES[-1]) & ~hole]
    if len(ground) < _LEAST_SAMPLES:
        return None
    missed = np.zeros_like(own)
    for number, place in enumerate(ndimage.find_objects(slivers), start=1):
        wider = tuple(slice(max(0, part.start - _INSIDE), part.stop + _INSIDE) for part in place)
        sliver, inside = slivers[wider] == number, own[wider]
        if sliver.sum() < _LEAST_PIXELS:
            continue
        colours = rgb[wider][sliver]
        known = _share_alike(colours, ground) >= _RARE
        of_object = _share_alike(colours, rgb[wider][inside & _near(sliver, _INSIDE)]) >= _RARE
        if (of_object & ~known).mean() > _SLIVER_SHARE:
            missed[wider] |= sliver
    if not missed.any():
        return None
    rim = _near(own, 1.5) & ~own
    share = (rim & missed).sum() / max(1, (rim & ~hole).sum())
    return Leftover(float(share), int(np.ceil(_distance(hole)[missed].max())) + _SOFT)


def _share_alike(colours: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the share of similar colours among Nx3 for each of Mx3, (M,)."""
    among = among[:: -(-len(among) // _COMPARED)]
    return count_alike(colours, among) / len(among)


def _distance(hole: np.ndarray) -> np.ndarray:
    """Return the distance in pixels from a hole, 0 inside."""
    return ndimage.distance_transform_edt(~hole)


def _near(hole: np.ndarray, pixels: float) -> np.ndarray:
    """Return the mask of pixels within this distance of a hole."""
    return _distance(hole) <= pixels


def _leftover_on_rim(rgb: np.ndarray, own: np.ndarray, hole: np.ndarray) -> Leftover | None:
    """Return the leftover beside one hole; `hole` includes the other holes."""
    points, outwards = _rim(own, hole)
    if not len(points):
        return None
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    widths = _leftover_widths(*_colours_along_normals(rgb, hole, points, outwards), apart)
    has_leftover = widths > 0
    spacing = max(1.0, float(np.median(np.partition(apart, 1, axis=1)[:, 1]))) if len(points) > 1 else 1.0
    beside = apart < _BESIDE * spacing
    confirmed = has_leftover & ((beside & has_leftover).sum(1) > beside.sum(1) / 2)
    if confirmed.mean() < _LEAST_SHARE:
        return None
    return Leftover(float(confirmed.mean()), int(np.percentile(widths[confirmed], 90)) + _SOFT)


def _colours_along_normals(
    rgb: np.ndarray, hole: np.ndarray, points: np.ndarray, outwards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours at 1, 2, ... pixels from points of a rim, NxKx3, and whether they are known, NxK bool."""
    steps = np.arange(1, _GROUND_DISTANCES[-1] + 1)
    at = np.rint(points[:, None] + outwards[:, None] * steps[:, None]).astype(int)
    known = ((at >= 0) & (at < hole.shape)).all(2)
    down, across = np.moveaxis(np.where(known[..., None], at, 0), 2, 0)
    known &= ~hole[down, across]
    return rgb[down, across], known


def _leftover_widths(colours: np.ndarray, known: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """Return the width in pixels of the leftover at each of N points of a rim, 0 for none.

    Args:
        colours, known: from `_colours_along_normals`.
        apart: distances between the points, NxN.
    """
    band = WIDEST + _SOFT
    rare = np.zeros((len(colours), band), dtype=bool)
    for number, near in enumerate(apart < _NEAR):
        ground = colours[near][:, _GROUND_DISTANCES - 1][known[near][:, _GROUND_DISTANCES - 1]]
        if len(ground) >= _LEAST_SAMPLES:
            distances = np.linalg.norm(colours[number, :band, None] - ground, axis=2)
            rare[number] = (distances < SAME_COLOUR).mean(1) < _RARE
    widths = np.zeros(len(colours), dtype=int)
    for width in range(1, WIDEST + 1):
        jumps = np.linalg.norm(colours[:, width - 1] - colours[:, width + _SOFT - 1], axis=1) > SAME_COLOUR
        ends = rare[:, :width].all(1) & ~rare[:, width + _SOFT - 1 :].any(1)
        widths[ends & jumps & known[:, :band].all(1)] = width
    return widths


def _rim(own: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the border pixels of a hole, Nx2, and the outward normals, Nx2."""
    points = np.argwhere(own & ~ndimage.binary_erosion(own, border_value=1))
    points = points[:: -(-len(points) // _POINTS) or 1]
    around = np.argwhere(np.ones((2 * _NORMAL + 1,) * 2)) - _NORMAL
    around = around[np.hypot(*around.T) <= _NORMAL]
    padded = np.pad(hole, _NORMAL, mode="edge")
    neighbours = points[:, None] + around + _NORMAL
    outwards = np.where(padded[neighbours[..., 0], neighbours[..., 1], None], -around, around).sum(1).astype(float)
    length = np.linalg.norm(outwards, axis=1)
    return points[length > 0], outwards[length > 0] / length[length > 0, None]
