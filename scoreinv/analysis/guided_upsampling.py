"""Upsampling of low-resolution masks along the edges of a photograph, see `imaging.guided_filter`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from scoreinv.imaging.guided_filter import guided_coefficients, guided_values
from scoreinv.imaging.picture import Picture
from scoreinv.windows.boxes import Box, crop

_RADIUS = 2
"""Radius of the windows, in pixels of the mask. With 1 and 3 the outlines of sixteen objects are less exact."""
_FLAT = 1e-3  # variance of colours below which a window is flat
_TILE = 8  # side of the tiles that are upsampled separately, in pixels of the mask
_SURE = 0.02  # tiles whose probabilities are all within this of 0 or of 1 are constant; most are


def upsampled_mask(picture: Picture, colours: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Upsample the probabilities of a mask, hxw, and return the mask where they exceed one half, HxW bool.

    Args:
        colours: the picture at the size of the mask, hxwx3 in [0, 1].
    """
    fit = guided_coefficients(colours, probability[..., None], radius=_RADIUS, flat=_FLAT, keeps_values=False)
    out = np.zeros(picture.size, bool)
    for box, (above, beside) in _tiles(picture.size, probability.shape):
        reach = slice(max(0, above - 2 * _RADIUS - 1), above + _TILE + 2 * _RADIUS + 1)
        around = probability[reach, max(0, beside - 2 * _RADIUS - 1) : beside + _TILE + 2 * _RADIUS + 1]
        if around.min() > 1 - _SURE or around.max() < _SURE:
            crop(out, box)[...] = around.flat[0] > 0.5
        else:
            crop(out, box)[...] = guided_values(fit, picture.rgb(box), box, picture.size)[..., 0] > 0.5
    return out


def _tiles(size: tuple[int, int], low: tuple[int, ...]) -> Iterator[tuple[Box, tuple[int, int]]]:
    """Yield the tiles of a picture, with the row and column of the mask at which each begins."""
    for above, beside in product(*(range(0, side, _TILE) for side in low)):
        (top, bottom), (left, right) = (
            (round(first * full / short), round(min(first + _TILE, short) * full / short))
            for first, full, short in zip((above, beside), size, low, strict=True)
        )
        if bottom > top and right > left:
            yield (top, left, bottom - top, right - left), (above, beside)
