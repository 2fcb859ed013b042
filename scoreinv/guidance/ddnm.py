"""Denoising diffusion null-space models: the observed part of every estimate is set to what was observed."""

from __future__ import annotations

import torch
from torch import Tensor

from scoreinv.guidance.observed import GivenObservation
from scoreinv.operators import LinearOperator
from scoreinv.prior import Prior
from scoreinv.sdes import as_time, broadcast


class DDNM(GivenObservation):
    """The denoised mean corrected on the range of A^+, D' = D + w A^+ (y - A D) (Wang et al. 2023, arXiv 2212.00490).

    Without noise in y, w = 1 (eq. 10): only the null-space part of the estimate is the prior's. With noise,
    w = min(1, s / noise_std) at noise level s = sigma / alpha, so that the estimate takes no more noise from y than the
    state has (DDNM+, section 3.3, eq. 19).
    """

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t).expand(x.shape[0])
        noise = self.prior.noise(x, t)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        mean = (x - sigma * noise) / alpha
        level = self.sde.noise_to_signal(t)
        weight = broadcast((level / self.noise_std).clamp(max=1) if self.noise_std else torch.ones_like(level), x)
        correction = self.operator.pinv(self.y.to(x) - self.operator(mean))
        return noise - weight * alpha / sigma * correction

    def over(self, prior: Prior, operator: LinearOperator, y: Tensor) -> DDNM:
        return DDNM(prior, operator, y, self.noise_std)
