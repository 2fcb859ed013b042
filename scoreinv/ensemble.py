"""Self-ensemble: estimates of turned and mirrored pictures, averaged (Timofte et al. 2016, arXiv 1511.02228).

What a network makes of a turned picture, turned back, differs from what it makes of the picture itself, though the
posterior mean does not: the average is closer to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoreinv.prior import Prior, PriorWrapper


@dataclass(frozen=True)
class Orientation:
    """Mirrored left to right or not, then turned by quarters."""

    quarters: int = 0
    mirrored: bool = False

    def turn(self, x: Tensor) -> Tensor:
        """A picture (..., H, W) in this orientation."""
        if self == Orientation():
            return x
        return torch.rot90(x.flip(-1) if self.mirrored else x, self.quarters, (-2, -1)).contiguous()

    def turn_back(self, x: Tensor) -> Tensor:
        """The inverse of `turn`."""
        x = torch.rot90(x, -self.quarters, (-2, -1))
        return x.flip(-1) if self.mirrored else x


UPRIGHT = (Orientation(),)
"""As it is."""
MIRRORED = (Orientation(), Orientation(mirrored=True))
"""Scenes: a sky is above, and may be left or right."""
ALL = tuple(Orientation(quarters, mirrored) for quarters in range(4) for mirrored in (False, True))
"""Texture, which has no up."""


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
        each = [orientation.turn_back(self.prior.noise(orientation.turn(x), t)) for orientation in self.orientations]
        return torch.stack(each).mean(0)
