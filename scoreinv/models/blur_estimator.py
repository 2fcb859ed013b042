"""Blur estimator: a network that estimates the kind and size of a photograph's blur from its power spectrum.

A blur multiplies the power spectrum by its squared transfer function. A disk leaves rings of zeros, motion leaves
stripes, and a Gaussian a bell. In polar coordinates, with radii as channels of a convolution along the angle, the
network is equivariant to rotations.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RADII, ANGLES = 48, 24
"""Samples of the spectrum: radii up to 0.5 cycles per pixel, and angles over half a turn."""

_WIDTH, _KERNEL = 64, 5
"""Features of each layer, and taps of its kernel along the angle."""


class BlurPrediction(NamedTuple):
    """The network's estimate of the blur of B spectra.

    Attributes:
        kinds: (B, 4), logits of no blur, Gaussian, disk and motion.
        log_size: (B, 3), mean of the logarithm of each blur's size in pixels.
        log_spread: (B, 3), logarithm of the standard deviation of that logarithm.
        angles: (B, ANGLES), logits of the angle of motion.
    """

    kinds: Tensor
    log_size: Tensor
    log_spread: Tensor
    angles: Tensor


class BlurNetwork(nn.Module):
    """Map spectra (B, 2, RADII, ANGLES), logarithms of two averages of a photograph's power, to a `BlurPrediction`."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Conv1d(2 * RADII + 1, _WIDTH, _KERNEL), *(nn.Conv1d(_WIDTH, _WIDTH, _KERNEL) for _ in range(2))]
        )
        self.angle = nn.Conv1d(_WIDTH, 1, 1)
        self.head = nn.Sequential(nn.Linear(3 * _WIDTH, 96), nn.SiLU(), nn.Dropout(0.1), nn.Linear(96, 10))

    def forward(self, spectra: Tensor) -> BlurPrediction:
        level = spectra[:, :1].mean((2, 3), keepdim=True)
        h = torch.cat([(spectra - level).flatten(1, 2), level.expand(-1, 1, 1, ANGLES).flatten(1, 2)], dim=1) / 3
        for number, layer in enumerate(self.layers):
            new = F.silu(layer(F.pad(h, (_KERNEL // 2, _KERNEL // 2), mode="circular")))
            h = h + new if number else new
        angles = self.angle(h)[:, 0]
        pooled = torch.cat([h.mean(2), h.amax(2), (angles.softmax(1)[:, None] * h).sum(2)], dim=1)
        kinds, log_size, log_spread = self.head(pooled).split((4, 3, 3), dim=1)
        return BlurPrediction(kinds, log_size, log_spread, angles)
