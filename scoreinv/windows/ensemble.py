"""Self-ensemble: estimates of turned and mirrored pictures, averaged (Timofte et al. 2016, arXiv 1511.02228).

What a network makes of a turned picture, turned back, differs from what it makes of the picture itself, though the
posterior mean does not: the average is closer to it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoreinv.prior import Prior, PriorWrapper
from scoreinv.system.reporting import part

Orientation = tuple[bool, int]
"""Whether a picture is mirrored left to right, and by how many quarters it is turned then."""
UPRIGHT: tuple[Orientation, ...] = ((False, 0),)
"""As it is."""
MIRRORED: tuple[Orientation, ...] = ((False, 0), (True, 0))
"""Scenes: a sky is above, and may be left or right."""
ALL: tuple[Orientation, ...] = tuple((mirrored, quarters) for quarters in range(4) for mirrored in (False, True))
"""Texture, which has no up."""


def turn(x: Tensor, orientation: Orientation) -> Tensor:
    """A picture (..., H, W) in this orientation."""
    mirrored, quarters = orientation
    return torch.rot90(x.flip(-1) if mirrored else x, quarters, (-2, -1)).contiguous()


def turn_back(x: Tensor, orientation: Orientation) -> Tensor:
    """The inverse of `turn`."""
    mirrored, quarters = orientation
    x = torch.rot90(x, -quarters, (-2, -1))
    return x.flip(-1) if mirrored else x


class SelfEnsemble(PriorWrapper):
    """noise(x, t) = mean over T of T^-1 noise(T x, t): an evaluation in each orientation T.

    For unconditional priors, of pictures that are as likely in each of the orientations.
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
