"""How much noise a photograph has."""

from __future__ import annotations

import numpy as np

from scoreinv.imaging.chroma import STRAY_CHROMA
from scoreinv.imaging.picture import Picture

_HIGH_PASS = np.array([1 - 3**0.5, -(3 - 3**0.5), 3 + 3**0.5, -(1 + 3**0.5)], dtype=np.float32) / np.float32(32**0.5)
"""Daubechies' wavelet with two vanishing moments: blind to constants and slopes, of unit length."""

_STRIP = 256
"""Rows at a time, an even number, so that a large picture is never held in floats."""

_GAUSSIAN_MEDIAN = 0.6744897501960817
"""Of |z| for a standard normal z."""


def estimate_noise(picture: Picture) -> float:
    """Standard deviation of the noise of a picture, in [0, 1] units, the mean over its channels.

    The median size of the diagonal details at the finest scale, which pictures have few of (Donoho and Johnstone 1994,
    section 4.2), as `skimage.restoration.estimate_sigma` computes it where PyWavelets is installed. Texture counts as
    noise, and where a camera or JPEG has smoothed there seems to be less. 0 for pictures of fewer than 4x4 pixels.
    """
    channels = 1 if picture.is_gray(STRAY_CHROMA) else 3
    return float(np.mean([_channel_noise(picture, channel) for channel in range(channels)]))


def _channel_noise(picture: Picture, channel: int) -> float:
    if min(picture.size) < 4:
        return 0.0
    values = np.concatenate([part.ravel() for part in _details(picture, channel)])
    values = values[values != 0]
    return float(np.median(values)) / _GAUSSIAN_MEDIAN if values.size else 0.0


def _details(picture: Picture, channel: int) -> list[np.ndarray]:
    """Sizes of the diagonal details, strip by strip of an even number of rows."""
    parts = []
    for top in range(0, picture.height - 3, _STRIP):
        rows = min(_STRIP + 2, picture.height - top)
        values = picture.rgb((top, 0, rows, picture.width))[..., channel]
        for axis in (0, 1):
            values = _high_pass(values, axis)
        parts.append(abs(values))
    return parts


def _high_pass(values: np.ndarray, axis: int) -> np.ndarray:
    """Every second value of the convolution, of where it lies inside."""
    values = np.moveaxis(values, axis, 0)
    count = (len(values) - 2) // 2
    filtered = sum(_HIGH_PASS[k] * values[k : k + 2 * count : 2] for k in range(4))
    return np.moveaxis(filtered, 0, axis)
