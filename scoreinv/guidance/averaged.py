"""A prior averaged over the orientations of the picture."""

from __future__ import annotations

from torch import Tensor

from scoreinv.guidance.orientations import Orientation, averaged
from scoreinv.prior import Prior, PriorWrapper


class Averaged(PriorWrapper):
    """noise(x, t) = mean over T of T^-1 noise(T x, t): an evaluation in each orientation T.

    For unconditional priors, of pictures that are as likely in each of the orientations.
    """

    def __init__(self, prior: Prior, orientations: tuple[Orientation, ...]) -> None:
        super().__init__(prior)
        self.orientations = orientations
        self.evaluations_per_noise = len(orientations) * prior.evaluations_per_noise
        self.vjps_per_noise = len(orientations) * prior.vjps_per_noise

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        return averaged(self.orientations, lambda orientation: self.prior.noise(orientation.turn(x), t))
