"""Whole blocks of pixels: in large pictures shadows and slivers are looked for among these."""

from __future__ import annotations

import numpy as np


def means_of_blocks(values: np.ndarray, step: int) -> np.ndarray:
    """Means of whole blocks of step x step pixels."""
    from skimage.transform import downscale_local_mean

    height, width = (side - side % step for side in values.shape[:2])
    return downscale_local_mean(values[:height, :width], (step, step, 1)[: values.ndim])


def mask_of_blocks(mask: np.ndarray, step: int, size: tuple[int, int]) -> np.ndarray:
    """A mask of whole blocks as one of this size, HxW bool; nothing beyond the last of them."""
    whole = mask.repeat(step, 0).repeat(step, 1)
    return np.pad(whole, [(0, side - have) for side, have in zip(size, whole.shape, strict=True)])
