"""Noise that black and white cut off: what lay beyond them is unknown, not black or white.

A file stores y = min(max(x + n, 0), 1). Where x is near black the stored values are, on average, brighter than x, and
no denoiser takes that away: it returns their mean. The values at the ends are censored ones (Tobin 1958), and are
replaced by what they may have been for the picture as it is estimated (Dempster, Laird and Rubin 1977, example 4.2):

    E[x + n | x + n <= 0] = x - s phi(a) / Phi(a),   a = -x / s,   n ~ N(0, s^2),

at white its mirror image; or, for samples, by draws from the normal distribution beyond the end. The first time nothing
has been estimated: the mean of what lies around stands for x, and its deviation, which edges and texture add to, for s.
With what has been put in the picture is estimated, and, where much was cut off, anew.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.samplers import NoiseStream

_AROUND = 2
"""Pixels to each side that tell what a value may have been before anything is estimated."""
_ROUNDS = 2
"""How often they are asked, what was put in among them: three times gain nothing."""
_WIDEST = 2.0
"""Their largest deviation, in those of the noise: across edges it would tell of the other side."""
_DRAWN = 4.0
"""Standard deviations from the end: for pictures further within draws are as for one there, since float32 has no less
probable ones, and they lie a quarter of a deviation beyond the end on average.
"""
_LEAST = 1e-12
"""Least probability of a draw: of none the normal number would be infinite."""


def cut_off(y: Tensor) -> Tensor:
    """Where y, in [0, 1], is black or white, and may have been beyond."""
    return (y <= 0) | (y >= 1)


def expected(y: Tensor, x: Tensor, noise_std: float) -> Tensor:
    """y with its values at black and white replaced by what they are expected to have been for the picture x."""

    def below(x: Tensor) -> Tensor:
        return (x - noise_std * _mills(x / noise_std)).clamp_max(0)

    return _replaced(y, below(x), 1 - below(1 - x))


def expected_around(y: Tensor, noise_std: float) -> Tensor:
    """y, (B, C, H, W), with its values at black and white replaced by what those around let expect, without a picture.

    Values are taken for N(m, v) near one another, v from noise_std^2 on, and m and v are estimated with the truncated
    normal's mean and variance for those that were cut off.
    """
    # A channel at a time, to bound memory.
    return torch.cat([_around(y[:, k : k + 1], noise_std) for k in range(y.shape[1])], 1)


def nearby(values: Tensor, reach: int) -> Tensor:
    """The mean of (B, C, H, W) over squares of 2 reach + 1 pixels, of what lies within the borders."""
    for down, across in ((reach, 0), (0, reach)):  # at once it is the square of the steps
        size, padding = (2 * down + 1, 2 * across + 1), (down, across)
        values = F.avg_pool2d(values, size, stride=1, padding=padding, count_include_pad=False)
    return values


def _around(y: Tensor, noise_std: float) -> Tensor:
    where = cut_off(y)
    white = y[where] >= 1
    filled, unsure = y.clone(), torch.zeros_like(y)
    for _ in range(_ROUNDS):
        mean = nearby(filled, _AROUND)
        square = nearby(filled.square() + unsure, _AROUND)
        mean, square = mean[where], square[where]
        std = (square - mean.square()).clamp(noise_std**2, (_WIDEST * noise_std) ** 2).sqrt()
        within = torch.where(white, 1 - mean, mean) / std
        ratio = _mills(within)
        beyond = (std * (within - ratio)).clamp_max(0)
        filled[where] = torch.where(white, 1 - beyond, beyond)
        unsure[where] = std.square() * (1 + within * ratio - ratio.square()).clamp_min(0)
    return filled


def _mills(within: Tensor) -> Tensor:
    """phi(a) / Phi(a) at a = -within, by the scaled erfc: in float32 Phi itself is 0 from five deviations on."""
    scaled = within / math.sqrt(2)
    if scaled.device.type == "mps":  # which has no erfcx in every version
        scaled = scaled.cpu()
    return math.sqrt(2 / math.pi) / torch.special.erfcx(scaled).to(within)


def drawn(y: Tensor, x: Tensor, noise_std: float, noise: NoiseStream) -> Tensor:
    """y with its values at black and white replaced by draws of what they may have been; x has a row for each draw."""
    # A standard normal number is one of any distribution by its own distribution function.
    uniform = torch.special.ndtr(noise.normal(x.shape))

    def below(x: Tensor) -> Tensor:
        x = x.clamp_max(_DRAWN * noise_std)
        share = (uniform * torch.special.ndtr(-x / noise_std)).clamp(_LEAST, 1 - 1e-6)
        return (x + noise_std * torch.special.ndtri(share)).clamp_max(0)

    return _replaced(y.expand_as(x), below(x), 1 - below(1 - x))


def _replaced(y: Tensor, black: Tensor, white: Tensor) -> Tensor:
    return torch.where(y <= 0, black, torch.where(y >= 1, white, y))
