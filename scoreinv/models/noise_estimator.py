"""The estimator of a photograph's noise, for tasks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.networks.noise_estimator import CELL, PATCH, NoiseEstimatorNetwork
from scoreinv.prior import Model
from scoreinv.system.progress import part
from scoreinv.windows.placement import grid
from scoreinv.windows.tiled import blended
from scoreinv.windows.transforms import crop

_SIDE, _OVERLAP = 320, 32
"""Side of the windows and their overlap, in levels (every second pixel)."""


class NoiseEstimator(Model):
    """The standard deviation of a photograph's noise, for each component (`networks.noise_levels`) at every place."""

    network: NoiseEstimatorNetwork

    @torch.no_grad()
    def levels(self, pictures: Tensor) -> Tensor:
        """Return the levels of pictures (B, 3, H, W) in [0, 1], (B, COMPONENTS, H/2, W/2), rounded up."""
        height, width = pictures.shape[-2:]
        pictures = F.pad(pictures.to(self.device), (0, width % PATCH, 0, height % PATCH), mode="replicate")
        size = pictures.shape[-2] // PATCH, pictures.shape[-1] // PATCH
        boxes = grid(*size, _SIDE, _OVERLAP, CELL // PATCH)
        estimates = []
        for number, (top, left, tall, wide) in enumerate(boxes):
            with part(number, len(boxes)):
                window = crop(pictures, (PATCH * top, PATCH * left, PATCH * tall, PATCH * wide))
                window = window.contiguous(memory_format=torch.channels_last)
                estimates.append(self.network(2 * window - 1))
        return blended(boxes, estimates, _OVERLAP, size).exp() / 2
