"""Noise streams of `colorize`, which depend on the picture but hardly on its size.

With the same noise for all, the pictures of a folder would share a tint. With noise keyed by a hash of the pixels, a
picture would change its colours with its size. Here the noise is

    z = sum_k w_k z_k,

with independent fields z_k keyed by the seed, and a unit vector w that is a smooth function of the thumbnail. For every
picture z is standard normal, and the correlation for two pictures is w . w'. Each row of a field has its own stream, so
a height or width rounded by one pixel leaves the other values unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from scoreinv.imaging.picture import Picture
from scoreinv.operators.luma import luma
from scoreinv.samplers import NoiseStream
from scoreinv.samplers.rng import generator

_FIELDS = 16
"""Number of fields; the noises of unlike pictures have correlations of about 1 / sqrt(16)."""

_THUMBNAIL = 8
_STREAM = (0, 0, 0, 1)
"""Key of these streams; the streams of holes have shorter keys, a place and a scale."""


def noise_weights_of(picture: Picture) -> np.ndarray:
    """Return the unit vector w of a picture, (16,) float64, from the luma of its thumbnail."""
    small = luma(picture.resized_rgb(_THUMBNAIL, _THUMBNAIL)).astype(np.float64).ravel()
    # The constant keeps w stable for flat mid-grey pictures, whose other features are nearly 0.
    features = np.concatenate([small - small.mean(), [small.mean() - 0.5, 0.05]])
    weights = np.random.default_rng(0).standard_normal((_FIELDS, len(features))) @ features
    return weights / np.linalg.norm(weights)


def ddof_of_pairs(count: int) -> float:
    """Return `ddof` for the unbiased variance of the first n samples of `PictureNoise`.

    Pairs m + d, m - d have the mean m, so the expected sum of squares about the mean is n s^2. An odd sample moves the
    mean by d / n, which leaves (n - 1 / n) s^2.
    """
    return count % 2 / count


class PictureNoise(NoiseStream):
    """Noise of samples in antithetic pairs: sample 2 k + 1 of a picture gets the negated draws of sample 2 k.

    Each sample keeps its distribution. The mean of a pair has less variance, since terms linear in the noise cancel
    (Hammersley and Morton 1956).

    Args:
        seed: a non-negative integer.
        numbers: numbers of the B samples.
        weights: result of `noise_weights_of`: (16,) for one picture, or (B, 16) for one per sample.
        device: device of the draws.
    """

    def __init__(self, seed: int, numbers: Sequence[int], weights: np.ndarray, device: torch.device) -> None:
        super().__init__(seed, len(numbers), device=device)
        self._seed = seed
        self._numbers = numbers
        self._weights = np.broadcast_to(weights, (len(numbers), _FIELDS))
        self._drawn = 0

    def normal(
        self, shape: torch.Size | tuple[int, ...], device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        """Return standard normal draws of shape (B, C, H, W)."""
        channels, height, width = shape[1:]
        fields = {}  # (H, W, C, 16) for each pair, shared by all pictures
        for pair in {number // 2 for number in self._numbers}:
            streams = (generator(self._seed, pair, *_STREAM, self._drawn, row) for row in range(height))
            fields[pair] = np.stack([rng.standard_normal((width, channels, _FIELDS), np.float32) for rng in streams])
        draws = [
            (-1 if number % 2 else 1) * (fields[number // 2] @ weights).transpose(2, 0, 1).astype(np.float32)
            for number, weights in zip(self._numbers, self._weights, strict=True)
        ]
        self._drawn += 1
        batch = torch.from_numpy(np.stack(draws))
        return batch.to(device=device or self.device, dtype=dtype or self.dtype)
