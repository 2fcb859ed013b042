"""Blending of a result with its photograph: opacity, and a soft edge of a fill.

    blended = photo + w (result - photo),  w = opacity * min(1, depth / (feather + 1)) in the hole, opacity outside

`depth` is a pixel's distance from the edge of the hole. The edge is soft within the hole; outside, only a rim that was
redrawn differs from the photograph.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scoreinv.imaging.picture import Picture, to_float, to_samples
from scoreinv.system.errors import InputError
from scoreinv.system.options import Number, Whole, check

MOST_FEATHER = 100


def blend_result(
    picture: Picture, result: Picture, opacity: float = 1.0, hole: np.ndarray | None = None, feather: int = 0
) -> Picture:
    """Return a result blended with its photograph, with the result's metadata.

    Args:
        opacity: weight of the result, 0 to 1.
        hole: HxW bool, the pixels that were filled; None: all.
        feather: width in pixels of the soft edge of the hole.

    Raises InputError for pictures of different sizes and for settings out of range.
    """
    check("opacity", opacity, Number(0.0, 1.0))
    check("feather", feather, Whole(0, MOST_FEATHER))
    before = _like(picture, result)
    weights = np.full(picture.size, opacity, np.float32)
    if hole is not None and feather:
        weights *= edge_weights(hole, feather)
    pixels, mixed = result.pixels.copy(), weights < 1
    start, end = to_float(before[mixed]), to_float(pixels[mixed])
    share = weights[mixed].reshape(-1, *[1] * (end.ndim - 1))
    pixels[mixed] = to_samples(start + share * (end - start), pixels.dtype)
    return result.with_pixels(pixels)


def edge_weights(hole: np.ndarray, feather: int) -> np.ndarray:
    """Return the weights of a fill with a soft edge, HxW: below 1 only within `feather` pixels of the hole's edge."""
    check("feather", feather, Whole(0, MOST_FEATHER))
    depth = ndimage.distance_transform_edt(np.pad(hole, 1, mode="edge"))[1:-1, 1:-1]
    return np.where(hole, np.minimum(1, depth / (feather + 1)), 1)  # 1: a rim redrawn beside it


def _like(picture: Picture, result: Picture) -> np.ndarray:
    """Return the photograph's pixels in the mode of the result, which may have gained colours."""
    if picture.size != result.size:
        raise InputError("Opacity and feathering need a result of the photograph's size")
    if picture.mode == result.mode:
        return picture.pixels
    planes = np.atleast_3d(picture.pixels)
    return np.concatenate([planes[..., :1]] * 3 + [planes[..., 1:]], axis=2)
