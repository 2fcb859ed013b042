"""Cast shadows and reflections of an object, proposed as an outline where a picture shows one plainly.

Light that an object keeps away takes about the same share of the ground all over its shadow: across the shadow's edge
the colours change by one ratio, and their hue hardly. A shadow here is a region that begins at the object's foot, is
darker than the ground around it, and along whose edge that ratio is nearly one number. A dark thing beside the object
has an edge with the ground too; but what is beside the ground there is not the same ground, so that hue or ratio tell.

A reflection is the object upside down, below a horizontal line at its foot: a mirrored copy that fits there, and does
not fit as well when it is moved sideways.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scoreinv.imaging.picture import Picture
from scoreinv.imaging.regions import extent, mask_of_blocks, means_of_blocks
from scoreinv.operators.colour_space import luma
from scoreinv.windows.boxes import Box

_SIDE = 384  # longer side in pixels of what is looked at
_AROUND = 1.0  # how much of the picture is looked at beside and below the object, in its own sides
_FOOT = 0.6  # share of the object's height, from below, that its shadow begins at
_LEVELS = (0.5, 0.6, 0.7, 0.8)  # brightness of a shadow at most, in that of the lit ground beside it
_FAINTEST, _DARKEST = 0.2, 1.5  # natural logarithm of the ratio of light across a shadow's edge
_STEP = 3  # pixels to each side of an edge at which colours are compared: it may be that soft
_PLAIN = 3.0
"""That logarithm over its mean deviation along the edge, at least. Of shadows on the Moon and on a rock it is 4 and 6,
of a trunk and of a stem, and of dark places in moss and grass, 2.3 and less, with other hues mostly."""
_HUE = 0.01
"""Change of red, green and blue as shares of their sum across the edge, at most, in the middle of all its points."""
_AT_FOOT = 0.7  # share of what of a shadow is beside the object that is so at its foot
_FEWEST = 12  # pixels of an edge
_AREAS = (0.06, 1.5)  # of a shadow or reflection, in areas of the object: least and most
_OPEN = 0.25  # share of a shadow's edge that may have no ground beside it, as at the picture's border
_ALIKE = 0.6  # correlation of a reflection with the object, at least
_BETTER = 0.2  # by how much it is more than that of the mirrored object moved sideways
_ROOM = 2  # pixels by which the outline is wider than what was found, as an edge is soft


def propose_shadow(picture: Picture, mask: np.ndarray) -> np.ndarray | None:
    """The cast shadow or the reflection of an object, HxW bool without the object itself; None where none is plain.

    Args:
        mask: HxW bool, the object.
    """
    if not mask.any() or mask.all():
        return None
    box = _box(mask)
    top, left, height, width = box
    step = max(1, round(max(height, width) / _SIDE))
    rgb = means_of_blocks(picture.rgb(box), step)
    own = means_of_blocks(mask[top : top + height, left : left + width], step) > 0.5
    if min(own.shape) < 4 * _STEP or own.sum() < 100:
        return None
    found = [part for part in (_shadow(rgb, own), _reflection(rgb, own)) if part is not None]
    if not found:
        return None
    near = ndimage.distance_transform_edt(~np.logical_or.reduce(found)) <= _ROOM
    proposed = np.zeros_like(mask)
    proposed[top : top + height, left : left + width] = mask_of_blocks(near, step, (height, width))
    return proposed & ~mask


def _box(mask: np.ndarray) -> Box:
    """The box around an object in which its shadow is looked for."""
    rows, columns = extent(mask)
    high, wide = rows.stop - rows.start, columns.stop - columns.start
    around = round(_AROUND * max(high, wide))
    top, left = max(0, rows.start - around // 4), max(0, columns.start - around)
    return (top, left, min(mask.shape[0], rows.stop + around) - top, min(mask.shape[1], columns.stop + around) - left)


def _shadow(rgb: np.ndarray, own: np.ndarray) -> np.ndarray | None:
    """The region that looks like the shadow of an object (HxW bool)."""
    rows, columns = extent(own)
    high, wide = rows.stop - rows.start, columns.stop - columns.start
    # edges of texture are not the shadow's
    grain = max(1.0, 0.01 * max(high, wide))
    weight = ndimage.gaussian_filter((~own).astype(float), grain)[..., None]
    smooth = ndimage.gaussian_filter(rgb * ~own[..., None], (grain, grain, 0)) / np.maximum(weight, 1e-3)
    bright = luma(smooth) + 1e-3
    lit = _lit(bright, own, max(high, wide))
    beside = (ndimage.distance_transform_edt(~own) <= _STEP + 1) & ~own
    foot = beside & (np.arange(len(own)) >= rows.stop - max(1, round(_FOOT * high)))[:, None]
    best, found = 0.0, None
    for level in _LEVELS:
        labels, _ = ndimage.label(ndimage.binary_opening((bright < level * lit) & ~own))
        region, plainest = np.zeros_like(own), 0.0
        for number in np.unique(labels[foot & (labels > 0)]):
            part = labels == number
            if (part & foot).sum() < _AT_FOOT * (part & beside).sum() or part.sum() < _AREAS[0] / 3 * own.sum():
                continue
            if plain := _plainness(smooth, part, own):
                region, plainest = region | part, max(plainest, plain)
        if plainest > best and _AREAS[0] <= region.sum() / own.sum() <= _AREAS[1]:
            best, found = plainest, region
    return None if found is None else ndimage.binary_closing(found | own, iterations=_ROOM) & ~own


def _lit(bright: np.ndarray, own: np.ndarray, side: int) -> np.ndarray:
    """The brightness of the lit ground around each pixel, as far around as the object is long."""
    step = max(1, side // 24)
    nearest = ndimage.distance_transform_edt(own, return_distances=False, return_indices=True)
    known = bright[tuple(nearest)][::step, ::step]
    lit = ndimage.percentile_filter(known, 75, size=max(3, side // step), mode="nearest")
    return lit.repeat(step, 0).repeat(step, 1)[: own.shape[0], : own.shape[1]]


def _plainness(rgb: np.ndarray, region: np.ndarray, own: np.ndarray) -> float:
    """How strong the change of light across a region's edge is, over how much it varies; 0 where it is no shadow's."""
    inside, outside = (ndimage.distance_transform_edt(part) for part in (region | own, ~(region | own)))
    points = np.argwhere(region & (inside <= 1) & (ndimage.distance_transform_edt(~own) > _STEP + 1))
    if len(points) < _FEWEST:
        return 0.0
    slope = np.stack(np.gradient(ndimage.gaussian_filter(outside - inside, 1.5)), 2)[tuple(points.T)]
    outwards = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    here, there = (np.rint(points + step * outwards).astype(int) for step in (1 - _STEP, 1 + _STEP))
    within = ((np.minimum(here, there) >= 0) & (np.maximum(here, there) < region.shape)).all(1)
    here, there = tuple(here[within].T), tuple(there[within].T)
    both = region[here] & ~(region | own)[there]
    if both.sum() < (1 - _OPEN) * len(points):
        return 0.0
    shade, ground = rgb[here][both] + 1e-3, rgb[there][both] + 1e-3
    ratios = np.log(luma(ground)) - np.log(luma(shade))
    ratio = float(np.median(ratios))
    hue = shade / shade.sum(1, keepdims=True) - ground / ground.sum(1, keepdims=True)
    if not _FAINTEST <= ratio <= _DARKEST or np.abs(np.median(hue, axis=0)).max() > _HUE:
        return 0.0
    plain = ratio / max(float(np.abs(ratios - ratio).mean()), 1e-3)
    return plain if plain >= _PLAIN else 0.0


def _reflection(rgb: np.ndarray, own: np.ndarray) -> np.ndarray | None:
    """The region below an object (HxW bool) where it is seen upside down."""
    rows, columns = extent(own)
    high, wide = rows.stop - rows.start, columns.stop - columns.start
    sigma = max(1.0, 0.015 * max(high, wide))
    smooth = ndimage.gaussian_filter(rgb, (sigma, sigma, 0))
    best: tuple[float, int] | None = None
    for line in range(rows.stop - round(0.1 * high), min(rows.stop + round(0.15 * high), own.shape[0] - 8) + 1):
        if (fit := _mirrored_fit(smooth, own, line, columns)) is not None and (best is None or fit > best[0]):
            best = fit, line
    if best is None:
        return None
    mirrored = _mirrored(own, best[1])
    region = np.zeros_like(own)
    region[best[1] : best[1] + len(mirrored)] = mirrored
    region &= ~own
    least, most = _AREAS
    return region if least <= region.sum() / own.sum() <= most else None


def _mirrored(values: np.ndarray, line: int) -> np.ndarray:
    """What is above a row, upside down, as far as there is room below it."""
    return values[max(0, 2 * line - len(values)) : line][::-1]


def _mirrored_fit(rgb: np.ndarray, own: np.ndarray, line: int, columns: slice) -> float | None:
    """How well the object above a row is seen mirrored below it; None where it is not, or as well beside there."""
    wide = columns.stop - columns.start
    room = max(4, wide // 4)
    mask = _mirrored(own, line)
    if mask.sum() < 0.25 * own.sum():
        return None
    near = ndimage.distance_transform_edt(~mask) <= room
    below = slice(line, line + len(mask))
    near &= ~own[below]
    object_, seen = _mirrored(rgb, line), rgb[below]

    def fit(shift: int) -> float:
        moved = np.roll(near, shift, 1)
        if shift > 0:
            moved[:, :shift] = False
        elif shift < 0:
            moved[:, shift:] = False
        if moved.sum() < 0.6 * near.sum():
            return -1.0
        return _correlation(np.roll(object_, shift, 1)[moved], seen[moved])

    here = fit(0)
    if here < _ALIKE:
        return None
    beside = max(fit(sign * round(share * wide)) for sign in (-1, 1) for share in (0.4, 0.7, 1.0))
    return here if here - beside >= _BETTER else None


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Of colours Nx3, with the ground's own change from row to row left in."""
    a, b = one - one.mean(0), other - other.mean(0)
    size = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 1e-6 else 0.0
