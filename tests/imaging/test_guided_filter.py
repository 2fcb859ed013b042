"""Chroma that is upsampled along the edges of the luma."""

from functools import partial

import numpy as np
from numpy.testing import assert_allclose
from scipy import ndimage

from scoreinv.imaging.guided_filter import guided_coefficients, guided_values

fit = partial(guided_coefficients, radius=1, flat=0.01, keeps_values=True)


def rows(coefficients: np.ndarray, guide: np.ndarray, top: int, height: int) -> np.ndarray:
    """Return the values in rows of a picture from its luma there."""
    return guided_values(coefficients, guide[..., None], (top, 0, *guide.shape), (height, guide.shape[1]))


def test_slopes_of_guided_chroma_are_those_of_windows_averaged():
    rng = np.random.default_rng(5)
    chroma, guide = rng.normal(0, 0.2, (7, 9, 3)), rng.random((7, 9))
    chroma[..., 0] += 2 * guide

    def mean(values: np.ndarray) -> np.ndarray:
        size = (3, 3) + (1,) * (values.ndim - 2)
        return ndimage.uniform_filter(values, size, mode="nearest")

    variance = mean(guide**2) - mean(guide) ** 2
    covariance = mean(chroma * guide[..., None]) - mean(chroma) * mean(guide)[..., None]
    slope = mean(covariance / (variance + 0.01)[..., None])
    found = fit(guide[..., None], chroma)
    assert_allclose(found, np.stack([slope, chroma - slope * guide[..., None]], axis=-1), atol=1e-6)
    # Between the pixels slope and offset are interpolated, and the slope is that of the fine luma.
    fine = rng.random((14, 18)).astype(np.float32)
    dark, light = rows(found, 0 * fine, 0, 14), rows(found, fine, 0, 14)
    slopes = rows(np.stack([0 * slope, slope], axis=-1).astype(np.float32), fine, 0, 14)
    assert_allclose(light - dark, slopes * fine[..., None], atol=1e-5)
