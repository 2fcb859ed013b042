"""Upsampling of low-resolution values along the edges of a picture, by the guided filter.

In each window the values p are a linear function of the guide I, the luma or the colours of the picture (He, Sun and
Tang, TPAMI 2013). It is fitted at low resolution and applied at full resolution (He and Sun, arXiv 1505.00996), with
"up" bilinear interpolation:

    q = up(a) I + up(b),    a = (cov(I) + flat)^-1 cov(I, p),    b = mean(p) - a mean(I),    averaged over windows.

With b = p - a I instead, from the averaged a, the result equals p at low resolution. On 20 photographs with chroma
reduced to 48 pixels on the shorter side it has 35.1 dB, bilinear interpolation 34.4 and the guided filter at most 33.3.
For masks of sixteen objects the guided filter is better, with an IoU of 0.915 against 0.912.
"""

from __future__ import annotations

import numpy as np

from scoreinv.windows.boxes import Box


def guided_coefficients(
    guide: np.ndarray, values: np.ndarray, *, radius: int, flat: float, keeps_values: bool
) -> np.ndarray:
    """Return a and b, hxwxVx(G + 1) float32.

    Args:
        guide: hxwxG in [0, 1].
        values: p, hxwxV.
        radius: of the windows, in pixels.
        flat: variance of the guide below which a window is flat, with constant values.
        keeps_values: the result equals p at low resolution; otherwise it is the guided filter's.
    """
    from scipy import ndimage  # slow to import, and few commands need it

    def mean(x: np.ndarray) -> np.ndarray:
        side = 2 * radius + 1
        return ndimage.uniform_filter(x, (side, side, *(1,) * (x.ndim - 2)), mode="nearest")

    guide, values = guide.astype(np.float64), values.astype(np.float64)  # variances are differences of squares
    guide_mean, value_mean = mean(guide), mean(values)
    variance = mean(guide[..., :, None] * guide[..., None, :]) - guide_mean[..., :, None] * guide_mean[..., None, :]
    covariance = mean(values[..., :, None] * guide[..., None, :]) - value_mean[..., :, None] * guide_mean[..., None, :]
    slope = covariance @ np.linalg.inv(variance + flat * np.eye(guide.shape[-1]))
    offset = mean(value_mean - np.einsum("...vg,...g", slope, guide_mean))
    slope = mean(slope)
    offset = values - np.einsum("...vg,...g", slope, guide) if keeps_values else offset
    return np.concatenate([slope, offset[..., None]], axis=-1).astype(np.float32)


def guided_values(coefficients: np.ndarray, guide: np.ndarray, box: Box, size: tuple[int, int]) -> np.ndarray:
    """Return q in a box of a picture of (height, width), HxWxV float32, from the guide there, HxWxG."""
    (above, below, down), (left, right, across) = (
        _linear_taps(np.arange(first, first + count), full, small)
        for first, count, full, small in zip(box[:2], box[2:], size, coefficients.shape, strict=False)
    )
    rows = coefficients[above] + down[:, None, None, None] * (coefficients[below] - coefficients[above])
    both = rows[:, right] - rows[:, left]
    both *= across[None, :, None, None]
    both += rows[:, left]
    return np.einsum("...vg,...g", both[..., :-1], guide) + both[..., -1]


def _linear_taps(positions: np.ndarray, size: int, low_size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the taps of linear interpolation from `low_size` to `size` pixels, at some positions of the latter.

    Returns:
        The left index, the right index and the weight of the right one.
    """
    where = np.clip((positions + 0.5) * low_size / size - 0.5, 0, low_size - 1)
    left = np.floor(where).astype(np.intp)
    return left, np.minimum(left + 1, low_size - 1), (where - left).astype(np.float32)
