"""Noise that black and white cut off: what lay beyond them is unknown, not black or white.

A file stores y = min(max(x + n, 0), 1). Where x is near black the stored values are, on average, brighter than x, and
no denoiser takes that away: it returns their mean. The values at the ends are censored ones (Tobin 1958), and are
replaced by what they may have been for the picture as it is estimated (Dempster, Laird and Rubin 1977, example 4.2):

    E[x + n | x + n <= 0] = x - s phi(a) / Phi(a),   a = -x / s,   n ~ N(0, s^2),

at white its mirror image; or, for samples, by draws from the normal distribution beyond the end. With what has been put
in the picture is estimated anew.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoreinv.samplers import NoiseStream

_FAR = 3.0
"""Standard deviations from the end: for a picture beyond, a value at the end is a rare one, and hardly moves it."""
_DRAWN = 4.0
"""Standard deviations from the end: for pictures further within draws are as for one there, since float32 has no less
probable ones, and they lie a quarter of a deviation beyond the end on average.
"""
_LEAST = 1e-12
"""Least probability of a draw: of none the normal number would be infinite."""


def censored(y: Tensor, x: Tensor, noise_std: float) -> Tensor:
    """Where y, in [0, 1], is black or white and may have been beyond: where the picture x is not far from that end."""
    reach = _FAR * noise_std
    return ((y <= 0) & (x < reach)) | ((y >= 1) & (x > 1 - reach))


def expected(y: Tensor, x: Tensor, noise_std: float) -> Tensor:
    """y with its values at black and white replaced by what they are expected to have been for the picture x."""

    def below(x: Tensor) -> Tensor:
        # phi(a) / Phi(a) by the scaled erfc: in float32 Phi itself is 0 from five deviations on.
        scaled = x / (math.sqrt(2) * noise_std)
        if scaled.device.type == "mps":  # which has no erfcx in every version
            scaled = scaled.cpu()
        ratio = math.sqrt(2 / math.pi) / torch.special.erfcx(scaled).to(x)
        return (x - noise_std * ratio).clamp_max(0)

    return _replaced(y, below(x), 1 - below(1 - x))


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
