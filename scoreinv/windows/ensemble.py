"""Self-ensemble: average the estimates for rotated and mirrored pictures (Timofte et al. 2016, arXiv 1511.02228).

The posterior mean of a turned picture is the turned posterior mean, but a network's estimates differ. Their average is
closer to it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoreinv.prior import Prior, PriorWrapper
from scoreinv.system.part_progress import part
from scoreinv.windows.transforms import Orientation, turn, turn_back

UPRIGHT: tuple[Orientation, ...] = ((False, 0),)
"""The picture itself."""
MIRRORED: tuple[Orientation, ...] = ((False, 0), (True, 0))
"""For scenes, whose mirror images are equally likely."""
ALL: tuple[Orientation, ...] = tuple((mirrored, quarters) for quarters in range(4) for mirrored in (False, True))
"""All eight, for texture, which has no upright orientation."""


class SelfEnsemble(PriorWrapper):
    """noise(x, t) = mean over T of T^-1 noise(T x, t), with one evaluation for each orientation T.

    A conditional prior's observation turns with the picture.

    Args:
        prior: a distribution in which pictures are equally likely in all orientations.
        orientations: at least one.

    `noise` raises InputError for an observation that cannot turn, such as that of `DPS(prior, operator, y, noise_std)`.
    """

    def __init__(self, prior: Prior, orientations: tuple[Orientation, ...]) -> None:
        super().__init__(prior)
        self.orientations = orientations
        self.evaluations_per_noise = len(orientations) * prior.evaluations_per_noise
        self.vjps_per_noise = len(orientations) * prior.vjps_per_noise

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        estimates = []
        for number, orientation in enumerate(self.orientations):
            with part(number, len(self.orientations)):
                noise = self.prior.turned(orientation).noise(turn(x, orientation), t)
                estimates.append(turn_back(noise, orientation))
        return torch.stack(estimates).mean(0)
