"""Components of a picture's noise: luma and chroma, each in single pixels and in means of 2x2 and 4x4 pixels.

Levels are standard deviations (B, COMPONENTS, H/2, W/2), one for every 2x2 pixels. They are scaled so that all levels
of white noise, independent in pixels and channels, equal its standard deviation. Blurred noise has larger levels at the
large scales; noise of a demosaicing, larger levels of chroma.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SCALES = (1, 2, 4)
"""Sides of the means, in pixels."""
COMPONENTS = 2 * len(SCALES)
"""Luma and chroma at each scale."""


def level_of_values(levels: Tensor) -> Tensor:
    """Return the standard deviation of the noise of one value, (B, 1, H/2, W/2): rms over the channels."""
    luma, chroma = levels[:, :1], levels[:, 1:2]
    return ((luma.square() + 2 * chroma.square()) / 3).sqrt()


def of_gray(levels: Tensor) -> Tensor:
    """Return levels of grey pictures with those of the luma as the chroma's.

    The channels of a grey picture share their noise. Along the grey axis it has the level of white colour noise, which
    is sqrt(3) times the deviation of a value.
    """
    return levels[:, ::2].repeat_interleave(2, 1)


def energies(noise: Tensor) -> Tensor:
    """Return the squares whose expectations are the squared levels of the noise, (B, COMPONENTS, H/2, W/2).

    Args:
        noise: (B, 3, H, W), H and W multiples of 4.
    """
    parts = []
    for scale in SCALES:
        means = scale * F.avg_pool2d(noise, scale)
        luma = means.mean(1, keepdim=True)
        squares = torch.cat([3 * luma.square(), (means - luma).square().sum(1, keepdim=True) / 2], 1)
        parts.append(F.interpolate(squares, scale_factor=scale / 2) if scale > 2 else F.avg_pool2d(squares, 2 // scale))
    return torch.cat(parts, 1)
