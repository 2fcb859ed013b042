"""Push-pull interpolation: a smooth first guess of the pixels in holes.

After Gortler et al. (The Lumigraph, SIGGRAPH 1996, section 3.4.2): *pull* averages the known pixels level by level
into coarser pictures with a weight each, until no hole is left; *push* goes back, and gives each pixel whose weight is
below 1 the missing part from the coarser level, interpolated bilinearly.
"""

from __future__ import annotations

import numpy as np


def push_pull(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Fill the holes of a picture smoothly from what surrounds them.

    Args:
        values: HxWxC float; what it holds in holes is not looked at (NaN may stand there).
        hole: HxW bool, true where the picture is unknown.

    Returns:
        HxWxC float32: known pixels as they were, holes within the range of the known pixels. Without any known pixel,
        0.5 everywhere.
    """
    if hole.all():
        return np.full(values.shape, 0.5, dtype=np.float32)
    weight = np.logical_not(hole).astype(np.float32)[..., None]
    mean = np.where(hole[..., None], np.float32(0), values).astype(np.float32, copy=False)
    levels = [(mean, weight)]
    while weight.min() < 1:
        mean, weight = _pull(mean, weight)
        levels.append((mean, weight))
    filled = levels.pop()[0]
    while levels:
        mean, weight = levels.pop()
        coarse = _push(filled, *mean.shape[:2])
        filled = mean * weight
        coarse *= 1 - weight
        filled += coarse
    return filled


def _pull(mean: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half the size: weighted means of 2x2 pixels, and their weight in all, at most 1."""
    height, width = weight.shape[:2]
    pad = ((0, height % 2), (0, width % 2), (0, 0))
    total = _sum_2x2(np.pad(weight, pad))
    sums = _sum_2x2(np.pad(mean * weight, pad))
    sums /= np.maximum(total, np.float32(1e-12))
    return sums, np.minimum(total, np.float32(1))


def _sum_2x2(values: np.ndarray) -> np.ndarray:
    rows = values[0::2] + values[1::2]
    return rows[:, 0::2] + rows[:, 1::2]


def _push(coarse: np.ndarray, height: int, width: int) -> np.ndarray:
    """Twice the size by bilinear interpolation, cut to height x width."""
    return _double(_double(coarse, 0)[:height], 1)[:, :width]


def _double(values: np.ndarray, axis: int) -> np.ndarray:
    """Twice as many samples along an axis: each 3/4 of the nearest and 1/4 of the next one."""
    values = np.moveaxis(values, axis, 0)
    before = np.concatenate([values[:1], values[:-1]])
    after = np.concatenate([values[1:], values[-1:]])
    out = np.empty((2 * values.shape[0], *values.shape[1:]), dtype=values.dtype)
    near = values * np.float32(0.75)
    out[0::2] = near + before * np.float32(0.25)
    out[1::2] = near + after * np.float32(0.25)
    return np.moveaxis(out, 0, axis)
