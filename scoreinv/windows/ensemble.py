"""Self-ensemble: average the estimates for rotated and mirrored pictures (Timofte et al. 2016, arXiv 1511.02228).

The posterior mean is equivariant under these transforms but a network is not, so the average is closer to it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoreinv.prior import Prior, PriorWrapper
from scoreinv.system.reporting import part

Orientation = tuple[bool, int]
"""Whether to mirror a picture left to right, and then the number of quarter turns."""
UPRIGHT: tuple[Orientation, ...] = ((False, 0),)
"""The original orientation."""
MIRRORED: tuple[Orientation, ...] = ((False, 0), (True, 0))
"""For scenes, in which up and down differ."""
ALL: tuple[Orientation, ...] = tuple((mirrored, quarters) for quarters in range(4) for mirrored in (False, True))
"""For texture, which has no upright orientation."""


def turn(x: Tensor, orientation: Orientation) -> Tensor:
    """Transform a picture (..., H, W) to an orientation."""
    mirrored, quarters = orientation
    return torch.rot90(x.flip(-1) if mirrored else x, quarters, (-2, -1)).contiguous()


def turn_back(x: Tensor, orientation: Orientation) -> Tensor:
    """Invert `turn`."""
    mirrored, quarters = orientation
    x = torch.rot90(x, -quarters, (-2, -1))
    return x.flip(-1) if mirrored else x


class SelfEnsemble(PriorWrapper):
    """noise(x, t) = mean over T of T^-1 noise(T x, t), with one evaluation for each orientation T.

    For unconditional priors of pictures whose orientations are equally likely.
    """

    def __init__(self, prior: Prior, orientations: tuple[Orientation, ...]) -> None:
        super().__init__(prior)
        self.orientations = orientations
        self.evaluations_per_noise = len(orientations) * prior.evaluations_per_noise
        self.vjps_per_noise = len(orientations) * prior.vjps_per_noise

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        each = []
        for number, one in enumerate(self.orientations):
            with part(number, len(self.orientations)):
                each.append(turn_back(self.prior.noise(turn(x, one), t), one))
        return torch.stack(each).mean(0)
