"""Propose the outline of an object's cast shadow if the picture shows a clear one.

An object blocks about the same fraction of the light everywhere in its shadow. So across the shadow's edge the colours
change by a constant ratio, and hardly in hue. A shadow here is a region that begins at the object's foot, is darker
than the ground around it, and has a nearly constant ratio along its edge. A dark object differs from the ground in hue,
or in a ratio that varies.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scoreinv.imaging.picture import Picture
from scoreinv.imaging.regions import extent
from scoreinv.imaging.resizing import mask_of_blocks, means_of_blocks
from scoreinv.operators.luma import luma
from scoreinv.windows.boxes import crop

_SIDE = 384  # longer side of the reduced crop, in pixels
_AROUND = 1.0  # margin of the crop beside and below the object, in the object's longer side
_FOOT = 0.6  # fraction of the object's height, from below, that counts as its foot
_LEVELS = (0.5, 0.6, 0.7, 0.8)  # maximum brightness of a shadow, relative to the lit ground beside it
_FAINTEST, _DARKEST = 0.2, 1.5  # natural logarithm of the ratio of light across a shadow's edge
_STEP = 3  # distance in pixels from a soft edge at which colours are compared
_LEAST_UNIFORMITY = 3.0
"""Minimum of that logarithm over its mean deviation along the edge. Shadows on the Moon and on a rock have 4 and 6;
trunks, stems and dark places in moss and grass 2.3 and less."""
_HUE = 0.01
"""Maximum of the median change of red, green and blue across the edge, as fractions of their sum."""
_AT_FOOT = 0.7  # minimum share of a shadow's contact with the object that is at its foot
_FEWEST = 12  # minimum number of pixels of an edge
_AREAS = (0.06, 1.5)  # minimum and maximum area of a shadow, in areas of the object
_OPEN = 0.25  # maximum share of a shadow's edge without ground beside it, as at the picture's border
_ROOM = 2  # pixels of dilation, for a soft edge


def propose_shadow(picture: Picture, mask: np.ndarray) -> np.ndarray | None:
    """Return the cast shadow of an object, HxW bool without the object itself; None if none is clear.

    Args:
        mask: HxW bool, the object.
    """
    if not mask.any() or mask.all():
        return None
    rows, columns = extent(mask)
    around = round(_AROUND * max(rows.stop - rows.start, columns.stop - columns.start))
    top, left = max(0, rows.start - around // 4), max(0, columns.start - around)
    height, width = min(mask.shape[0], rows.stop + around) - top, min(mask.shape[1], columns.stop + around) - left
    box = (top, left, height, width)
    step = max(1, round(max(height, width) / _SIDE))
    rgb = means_of_blocks(picture.rgb(box), step)
    own = means_of_blocks(crop(mask, box), step) > 0.5
    if min(own.shape) < 4 * _STEP or own.sum() < 100:
        return None
    found = _shadow(rgb, own)
    if found is None:
        return None
    near = ndimage.distance_transform_edt(~found) <= _ROOM
    proposed = np.zeros_like(mask)
    crop(proposed, box)[...] = mask_of_blocks(near, step, (height, width))
    return proposed & ~mask


def _shadow(rgb: np.ndarray, own: np.ndarray) -> np.ndarray | None:
    """Return the region that looks like the shadow of an object, HxW bool; None if there is none."""
    rows, columns = extent(own)
    high, wide = rows.stop - rows.start, columns.stop - columns.start
    # Suppress the edges of texture.
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
        region, most_uniform = np.zeros_like(own), 0.0
        for number in np.unique(labels[foot & (labels > 0)]):
            part = labels == number
            if (part & foot).sum() < _AT_FOOT * (part & beside).sum() or part.sum() < _AREAS[0] / 3 * own.sum():
                continue
            if uniformity := _uniformity(smooth, part, own):
                region, most_uniform = region | part, max(most_uniform, uniformity)
        if most_uniform > best and _AREAS[0] <= region.sum() / own.sum() <= _AREAS[1]:
            best, found = most_uniform, region
    return None if found is None else ndimage.binary_closing(found | own, iterations=_ROOM) & ~own


def _lit(bright: np.ndarray, own: np.ndarray, side: int) -> np.ndarray:
    """Return the brightness of the lit ground around each pixel, within the object's length."""
    step = max(1, side // 24)
    nearest = ndimage.distance_transform_edt(own, return_distances=False, return_indices=True)
    known = bright[tuple(nearest)][::step, ::step]
    lit = ndimage.percentile_filter(known, 75, size=max(3, side // step), mode="nearest")
    return lit.repeat(step, 0).repeat(step, 1)[: own.shape[0], : own.shape[1]]


def _uniformity(rgb: np.ndarray, region: np.ndarray, own: np.ndarray) -> float:
    """Return how constant the drop of light across a region's edge is; 0 if the region cannot be a shadow.

    It is the median of the log ratio of light, divided by its mean deviation.
    """
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
    uniformity = ratio / max(float(np.abs(ratios - ratio).mean()), 1e-3)
    return uniformity if uniformity >= _LEAST_UNIFORMITY else 0.0
