"""Conditioning by replacement: the constrained predictor-corrector method (Song et al. 2021, appendix I.2, I.3)."""

from __future__ import annotations

from torch import Tensor

from scoreinv.guidance.observation import GivenObservation, Observation
from scoreinv.operators import LinearOperator
from scoreinv.operators.base import observation_like
from scoreinv.prior import Prior
from scoreinv.sdes import as_time, broadcast
from scoreinv.system.errors import InputError
from scoreinv.system.options import require


class ConstrainedPC(GivenObservation):
    """A prior with the observed components of each state replaced by the observation diffused to the state's time.

        constrain(x, t, z) = x - A^+ A x + A^+ (alpha(t) y + sigma(t) A z),        finish(x0) = x0 - A^+ A x0 + A^+ y

    The noise of observed components, A^+ A z, is projected white noise for any A. The method is approximate, because
    the score does not depend on the observation; corrector steps improve it. Samplers that add noise draw a new z at
    each step. The observation is assumed to be exact. Any sampler on a time grid can be used.

    Raises InputError if A is not linear: noise on its observation would not be Gaussian.
    """

    def __init__(self, prior: Prior, observation: Observation) -> None:
        super().__init__(prior, observation)
        if not isinstance(self.operator, LinearOperator):
            remedy = "use guidance.MMPS, or the method dpir"
            raise InputError(f"ConstrainedPC needs a linear operator, not {self.operator}: {remedy}")
        require(not self.noise_std, "ConstrainedPC assumes an exact observation, without noise: use guidance.MMPS")
        self.constrains = True

    def constrain(self, x: Tensor, t: float | Tensor, z: Tensor) -> Tensor:
        t = as_time(t)
        x = self.prior.constrain(x, t, z)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        observed_noise = self.operator(z)
        return self.operator.replace(x, alpha * observation_like(self.y, observed_noise) + sigma * observed_noise)
