"""Resizing of arrays HxW(xC), and means and masks of blocks. For a large picture see `Picture.resized_rgb`."""

from __future__ import annotations

import numpy as np
from PIL import Image


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Scale a size (height, width), to at least one pixel a side."""
    return max(1, round(scale * size[0])), max(1, round(scale * size[1]))


def resized(
    values: np.ndarray,
    size: tuple[int, int],
    method: Image.Resampling,
    view: tuple[float, float, float, float] | None = None,
) -> np.ndarray:
    """Resize values HxW(xC) of a type that Pillow knows to (height, width), channel by channel.

    Args:
        view: left, top, right and bottom of the part to resize; None: all.
    """
    if values.ndim == 2:
        return np.array(Image.fromarray(values).resize(size[::-1], method, box=view))
    planes = (np.ascontiguousarray(plane) for plane in np.moveaxis(values, -1, 0))
    return np.stack([resized(plane, size, method, view) for plane in planes], axis=-1)


def nearest(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize values HxW(xC) to (height, width) by nearest neighbours."""
    if values.shape[:2] == size:
        return values
    rows, columns = (np.arange(to) * side // to for side, to in zip(values.shape, size, strict=False))
    return values[rows[:, None], columns]


def touched_blocks(hole: np.ndarray, side: int) -> np.ndarray:
    """Return the blocks of side x side pixels that contain any pixel of a hole (HxW bool)."""
    padded = np.pad(hole, [(0, -length % side) for length in hole.shape])
    rows, columns = (length // side for length in padded.shape)
    return np.asarray(padded.reshape(rows, side, columns, side).any(axis=(1, 3)))


def means_of_blocks(values: np.ndarray, step: int) -> np.ndarray:
    """Return the means of whole blocks of step x step pixels."""
    height, width = (side // step for side in values.shape[:2])
    whole = values[: step * height, : step * width]
    return whole.reshape(height, step, width, step, *values.shape[2:]).mean((1, 3))


def mask_of_blocks(mask: np.ndarray, step: int, size: tuple[int, int]) -> np.ndarray:
    """Expand a mask of whole blocks to a size, HxW bool; false beyond the last block."""
    whole = mask.repeat(step, 0).repeat(step, 1)
    return np.pad(whole, [(0, side - have) for side, have in zip(size, whole.shape, strict=True)])
