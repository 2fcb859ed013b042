"""What `colorize` draws by: noise of a picture's own, which hardly changes when the picture is resized.

With one noise for all, the pictures of a folder would have one tint; with noise keyed by a hash of its pixels, a
picture would have other colours once it is a few pixels larger. Here

    z = sum over k of w_k z_k

of independent fields z_k that the seed gives, and a unit vector w that varies smoothly with what the picture looks like
as a thumbnail. So z is standard normal for every picture, nearly the same for nearly the same pictures, and has the
correlation w . w' between two. Each row of a field is drawn by itself from the left, so that a size which is rounded to
one pixel more or less leaves the rest as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from scoreinv.imaging.picture import Picture
from scoreinv.operators.colour_space import luma
from scoreinv.samplers import NoiseStream
from scoreinv.samplers.rng import generator

_FIELDS = 16
"""The noises of two unlike pictures have a correlation of about 1 / sqrt(16)."""

_THUMBNAIL = 8
_STREAM = (0, 0, 0, 1)
"""Apart from the streams of holes, whose keys are shorter: a place and a scale."""


def noise_weights_of(picture: Picture) -> np.ndarray:
    """The unit vector w of a picture, (16,) float64, made of the luma of its thumbnail."""
    small = luma(picture.resized_rgb(_THUMBNAIL, _THUMBNAIL)).astype(np.float64).ravel()
    # The constant decides for pictures that are flat and of middle grey, of which all else is nearly 0.
    seen = np.concatenate([small - small.mean(), [small.mean() - 0.5, 0.05]])
    weights = np.random.default_rng(0).standard_normal((_FIELDS, len(seen))) @ seen
    return weights / np.linalg.norm(weights)


def ddof_of_pairs(count: int) -> float:
    """What n samples of `PictureNoise`, from the first on, have for `ddof` in their variance.

    Pairs lie at m + d and m - d, so their mean is m whatever n is, and the sum of squares about it is n times the
    variance s^2. One without its opposite moves the mean by d / n, and leaves (n - 1 / n) s^2.
    """
    return count % 2 / count


class PictureNoise(NoiseStream):
    """Noise of the samples of these numbers, of which 2 k + 1 of a picture has the opposite of each draw of 2 k.

    Each sample is what it would be by itself, and the mean of some has less variance: what is linear in the noise
    cancels in each pair (Hammersley and Morton 1956).

    Args:
        seed: a non-negative integer.
        numbers: of the samples.
        weights: of `noise_weights_of`, (16,) of the picture of all samples, or (B, 16) of that of each.
        device: where draws are delivered.
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
        """Standard normal draws of shape (B, C, H, W)."""
        channels, height, width = shape[1:]
        fields = {}  # that all pictures mix, (H, W, C, 16) of each pair
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
