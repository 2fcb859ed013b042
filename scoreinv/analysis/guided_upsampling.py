"""Upsampling of low-resolution masks along the edges of a photograph."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from scipy import ndimage

from scoreinv.imaging.picture import Picture
from scoreinv.windows.boxes import Box

_RADIUS = 2
"""Radius of the windows, in pixels of the mask. With 1 and 3 the outlines of sixteen objects are less exact."""
_FLAT = 1e-3  # variance of colours below which a window is flat
_TILE = 8  # side of the tiles that are upsampled separately, in pixels of the mask
_SURE = 0.02  # tiles whose probabilities are all within this of 0 or of 1 are constant; most are


class GuidedUpsampler:
    """Upsamples masks of lower resolution along the edges of a picture.

    In each window a mask's probabilities p are a linear function of the colours I (guided filter: He, Sun and Tang,
    TPAMI 2013), fitted at low resolution and applied at full resolution (He and Sun, arXiv 1505.00996):

        q = up(a) I + up(b),    a = (cov(I) + flat)^-1 cov(I, p),    b = mean(p) - a mean(I),    averaged over windows.

    Args:
        colours: the picture at the size of the masks, hxwx3 float32 in [0, 1].
    """

    def __init__(self, picture: Picture, colours: np.ndarray) -> None:
        self.picture = picture
        self.low = colours.shape[:2]
        self._colours = colours
        self._mean = _mean(self._colours)
        products = self._colours[..., :, None] * self._colours[..., None, :]
        covariance = _mean(products) - self._mean[..., :, None] * self._mean[..., None, :]
        self._inverse = np.linalg.inv(covariance + _FLAT * np.eye(3, dtype=np.float32))

    def upsampled(self, probability: np.ndarray) -> np.ndarray:
        """Upsample the probabilities of a mask, hxw, and return the mask where they exceed one half, HxW bool."""
        mean = _mean(probability)
        covariance = _mean(self._colours * probability[..., None]) - self._mean * mean[..., None]
        slope = (self._inverse @ covariance[..., None])[..., 0]
        offset = mean - (slope * self._mean).sum(axis=-1)
        planes = np.concatenate([np.moveaxis(_mean(slope), -1, 0), _mean(offset)[None]])
        out = np.zeros(self.picture.size, bool)
        for (top, left, height, width), (above, beside) in self._tiles():
            reach = slice(max(0, above - 2 * _RADIUS - 1), above + _TILE + 2 * _RADIUS + 1)
            around = probability[reach, max(0, beside - 2 * _RADIUS - 1) : beside + _TILE + 2 * _RADIUS + 1]
            target = out[top : top + height, left : left + width]
            if around.min() > 1 - _SURE or around.max() < _SURE:
                target[...] = around.flat[0] > 0.5
                continue
            rows, down = _linear(top, height, self.picture.height, self.low[0])
            columns, across = _linear(left, width, self.picture.width, self.low[1])
            values = down @ planes[:, rows, columns] @ across.T
            colours = self.picture.rgb((top, left, height, width))
            target[...] = values[3] + sum(colours[..., channel] * values[channel] for channel in range(3)) > 0.5
        return out

    def _tiles(self) -> Iterator[tuple[Box, tuple[int, int]]]:
        """Yield the tiles of the picture, with the row and column of the mask at which each begins."""
        rows, columns = (range(0, side, _TILE) for side in self.low)
        for above, beside in product(rows, columns):
            (top, bottom), (left, right) = (
                (round(first * full / low), round(min(first + _TILE, low) * full / low))
                for first, full, low in zip((above, beside), self.picture.size, self.low, strict=True)
            )
            if bottom > top and right > left:
                yield (top, left, bottom - top, right - left), (above, beside)


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the window means of values hxwx..."""
    size = (2 * _RADIUS + 1, 2 * _RADIUS + 1, *(1,) * (values.ndim - 2))
    return ndimage.uniform_filter(values, size=size, mode="nearest")


def _linear(first: int, count: int, size: int, low: int) -> tuple[slice, np.ndarray]:
    """Return linear interpolation from `low` to `size` pixels at [first, first + count): source slice and weights."""
    places = ((np.arange(first, first + count) + 0.5) * low / size - 0.5).clip(0, low - 1)
    taken = np.arange(int(places[0]), min(int(places[-1]) + 2, low))
    weights = (1 - abs(places[:, None] - taken)).clip(0)
    return slice(taken[0], taken[-1] + 1), weights.astype(np.float32)
