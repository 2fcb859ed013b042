"""Pseudoinverse-guided diffusion (Song et al. 2023): S = r^2 A A^T + noise_std^2, exact for white data."""

from __future__ import annotations

from torch import Tensor

from scoreinv.guidance.base import LikelihoodGuidance, Transpose
from scoreinv.guidance.observation import Observation
from scoreinv.operators.base import observation_like
from scoreinv.prior import Prior
from scoreinv.sdes import broadcast
from scoreinv.system.options import Number, check


class PiGDM(LikelihoodGuidance):
    """Pseudoinverse-guided diffusion (Song et al. 2023, ICLR, "Pseudoinverse-guided diffusion models", eq. 7, 8).

    S = r^2 A A^T + noise_std^2 with r^2 = s^2 v / (s^2 + v), s = sigma / alpha: exact for white Gaussian data of
    variance v. `LinearOperator.ridge` uses the true A A^T. If that is nearly singular, the problem without noise is
    ill-posed: set `noise_std` above 0. For coloured Gaussian fields, intervals are right from 36 steps on. With fewer
    steps samples may overshoot and vary too much.

    Args:
        variance: v, variance of the data's values in the model's range; the paper's is 1.
    """

    def __init__(self, prior: Prior, observation: Observation, variance: float = 1.0) -> None:
        super().__init__(prior, observation)
        check("variance", variance, Number(None))
        self.variance = variance

    def back_projected(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        noise_variance = self.sde.noise_to_signal(t).square()
        r_squared = noise_variance * self.variance / (noise_variance + self.variance)
        predicted, operator = self.operator.linearised(mean)
        solution = operator.ridge(observation_like(self.y, predicted) - predicted, self.noise_std**2 / r_squared)
        return solution / broadcast(r_squared, mean)
