"""Whole blocks of pixels: in large pictures shadows and slivers are looked for among these."""

from __future__ import annotations

import numpy as np


def means_of_blocks(values: np.ndarray, step: int) -> np.ndarray:
    """Means of whole blocks of step x step pixels."""
    height, width = (side // step for side in values.shape[:2])
    whole = values[: step * height, : step * width]
    return whole.reshape(height, step, width, step, *values.shape[2:]).mean((1, 3))


def mask_of_blocks(mask: np.ndarray, step: int, size: tuple[int, int]) -> np.ndarray:
    """A mask of whole blocks as one of this size, HxW bool; nothing beyond the last of them."""
    whole = mask.repeat(step, 0).repeat(step, 1)
    return np.pad(whole, [(0, side - have) for side, have in zip(size, whole.shape, strict=True)])
