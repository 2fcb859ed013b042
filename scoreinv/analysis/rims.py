"""Rims: a mask that is too small leaves a rim of the object, such as its soft edge, and a fill would continue it.

A pixel beside a hole is compared with the ground near it, the pixels farther than `WIDEST` + 2 from the hole. Let m1 be
the mean colour in the hole near the pixel, and m0 and C the mean and covariance of the ground. Along Fisher's
discriminant, C^-1 (m1 - m0), the ground has mean 0 and standard deviation 1; the object, or a mixture, has more. Let
s(r) be the share of pixels above `_VISIBLE` among the n(r) at r pixels from the hole. It falls slowly in a scene, and
abruptly at the edge of an object. The rim is as wide as the largest r with

    min(s(1), ..., s(r)) - s(r + 2) > 0.08 + 2 / sqrt(n(r + 2)).
"""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
from scipy import ndimage

from scoreinv.analysis.jpeg_quantisation import coding_of
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.regions import clusters, overlap
from scoreinv.imaging.resizing import means_of_blocks
from scoreinv.windows.boxes import Box, crop

WIDEST = 8  # maximum width of a rim in pixels
_VISIBLE = 1.5  # standard deviations of the ground
_LEAST_CONTRAST = 3.0  # minimum contrast of object and ground, in the same unit
_DROP, _CHANCE = 0.08, 2.0
"""Minimum drop of the share, and by chance times sqrt(n). Of masks, 48 of 48 of objects grow that are 2 to 6 pixels too
small, 10 of 10 thresholded texts, no exact one, and 4 of 288 masks of nothing (`tests/benchmarks/rims.py`)."""
_NOISE = 1.5 / 255  # minimum standard deviation of the ground
_STEP, _WINDOW = 4, 5  # pixels of the blocks, and blocks of the filter (applied twice), for local means
_TILE, _AROUND = 512, 40  # tiles and their surroundings in pixels, which bound the memory
_LEAST = 100  # minimum pixels of holes to examine: the rim of a speck of dust is too short
_LEAST_WEIGHT = 1e-3  # minimum share of the ground near a pixel
_NARROW = 16  # width in pixels of holes below which the chroma smears of a JPEG would count as a rim


def with_visible_rim(picture: Picture, hole: np.ndarray) -> tuple[np.ndarray, int]:
    """Return a mask, HxW bool, with the rims that show the object, and the width of the widest in pixels; 0: none."""
    grown, widest = hole.copy(), 0
    compressed = cache(lambda: coding_of(picture) is not None)
    for box, own in clusters(hole):
        if own.sum() < _LEAST:
            continue
        smeared = not ndimage.minimum_filter(own, _NARROW, mode="constant").any() and compressed()
        counts = np.zeros((2, WIDEST + 2))
        top, left, height, width = _extended(box, WIDEST + 2, hole.shape)
        for y, x in product(range(top, top + height, _TILE), range(left, left + width, _TILE)):
            tile = y, x, min(_TILE, top + height - y), min(_TILE, left + width - x)
            around = _extended(tile, _AROUND, hole.shape)
            colours = picture.luma(around)[..., None] if smeared else picture.rgb(around)
            inside = (y - around[0], x - around[1], *tile[2:])
            counts += _counts(colours, _part(own, box, around), crop(hole, around), inside)
        shares = counts[0] / counts[1].clip(1)
        drops = np.minimum.accumulate(shares)[:-2] - shares[2:] > _DROP + _CHANCE / np.sqrt(counts[1, 2:].clip(1))
        if drops.any():
            rim = int(np.flatnonzero(drops)[-1]) + 1
            around = _extended(box, rim, hole.shape)
            crop(grown, around)[...] |= ndimage.distance_transform_edt(~_part(own, box, around)) < rim + 0.5
            widest = max(widest, rim)
    return grown, widest


def _extended(box: Box, by: int, size: tuple[int, ...]) -> Box:
    """Return a box extended on each side, within a picture of this size."""
    top, left = max(0, box[0] - by), max(0, box[1] - by)
    return top, left, min(size[0], box[0] + box[2] + by) - top, min(size[1], box[1] + box[3] + by) - left


def _part(own: np.ndarray, box: Box, around: Box) -> np.ndarray:
    """Return the part of a mask, whose box is given, in another box."""
    part = np.zeros(around[2:], dtype=bool)
    if (common := overlap(around, box)) is not None:
        part[common[0]] = own[common[1]]
    return part


def _counts(colours: np.ndarray, own: np.ndarray, hole: np.ndarray, inside: Box) -> np.ndarray:
    """Return how many pixels at 1, 2, ... pixels from one hole show the object, and how many there are, 2xR.

    Args:
        colours: HxWxC.
        own: HxW bool, the hole.
        hole: HxW bool, all holes.
        inside: box of the pixels to count.
    """
    distance = ndimage.distance_transform_edt(~own) if own.any() else np.full(own.shape, np.inf)
    counted = np.zeros_like(own)
    crop(counted, inside)[...] = crop((distance < WIDEST + 2.5) & ~hole, inside)
    at = np.nonzero(counted)
    ring = np.ceil(distance[at] - 1.5).astype(int)
    visible = _evidence(colours.astype(np.float64), own, (distance > WIDEST + 3) & ~hole, at) > _VISIBLE
    return np.stack([np.bincount(ring, visible, WIDEST + 2), np.bincount(ring, minlength=WIDEST + 2)])


def _evidence(colours: np.ndarray, own: np.ndarray, ground: np.ndarray, at: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return by how many standard deviations of the ground N pixels resemble the hole's content, (N,)."""
    count = colours.shape[2]
    products = (colours[..., None] * colours[..., None, :]).reshape(*own.shape, -1)
    moments, of_ground = _local_means(np.concatenate([colours, products], axis=2), ground, at)
    content, of_content = _local_means(colours, own, at)
    mean, squares = moments[:, :count], moments[:, count:].reshape(-1, count, count)
    covariance = squares - mean[:, :, None] * mean[:, None] + _NOISE**2 * np.eye(count)
    contrast = content - mean
    direction = np.linalg.solve(covariance, contrast[..., None])[..., 0]
    strength = np.sqrt((direction * contrast).sum(1).clip(1e-12))
    known = (of_ground > _LEAST_WEIGHT) & (of_content > 0) & (strength > _LEAST_CONTRAST)
    return np.where(known, (direction * (colours[at] - mean)).sum(1) / strength, 0)


def _local_means(values: np.ndarray, where: np.ndarray, at: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of HxWxC over the pixels `where` near N places, NxC, and the share of such pixels, (N,)."""
    sums = np.concatenate([values * where[..., None], where[..., None]], axis=2)
    sums = np.pad(sums, [*((0, -side % _STEP) for side in where.shape), (0, 0)])
    blocks = means_of_blocks(sums, _STEP)
    for _ in range(2):
        blocks = ndimage.uniform_filter(blocks, (_WINDOW, _WINDOW, 1), mode="constant")
    near = blocks[at[0] // _STEP, at[1] // _STEP]
    return near[:, :-1] / near[:, -1:].clip(1e-9), near[:, -1]
