"""Denoising diffusion null-space models: the observed part of every estimate, or state, is what was observed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.guidance.observed import GivenObservation
from scoreinv.operators import LinearOperator
from scoreinv.prior import Prior
from scoreinv.samplers.noise import NoiseStream
from scoreinv.sdes import as_time, broadcast, time_at


class DDNM(GivenObservation):
    """Only the null-space part of the estimate is the prior's (Wang et al. 2023, arXiv 2212.00490).

    Without noise in y the denoised mean is corrected on the range of A^+, D' = D + A^+ (y - A D) (eq. 10).

    With noise (section 3.3, changed) the noise of y counts as part of the state's, at a level s = sigma / alpha, and
    what is added shrinks to the rest. A^+ y has noise of the level tau = noise_std / a, where a^2 is the one eigenvalue
    of A A^T beside 0, so down to this level

        constrain(x, t, z) = x - A^+ A x + alpha A^+ y + sqrt(sigma^2 - (alpha tau)^2) A^+ A z,

    and below it the prior alone goes on from A^+ y. The paper's DDNM+ counts the noise of y anew at each step, though
    it is one draw, so that in many steps its samples come to follow y. Counted once it is exact for white data, and
    wherever all is observed, by samplers of the reverse SDE (stochasticity 1). In few steps the mean is right and the
    deviation a little small; DDNM+ in 8 to 20 steps errs in the mean by up to a third of the deviation, and its own is
    0.2 to 0.5 of the true one. Samplers of less noise draw samples that are too much alike; those that add none are
    refused.

    Raises InputError when there is noise and A A^T has several eigenvalues beside 0, as that of a blur.
    """

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0) -> None:
        super().__init__(prior, operator, y, noise_std)
        if noise_std:
            self.level = noise_std / _gain(operator, y)
            highest = self.sde.noise_to_signal(as_time(1.0))
            self.until = float(time_at(self.sde, as_time(self.level))) if self.level < highest else math.inf
            self.release = min(self.until, prior.release) if prior.constrains else self.until

    @property
    def constrains(self) -> bool:
        return self.noise_std > 0 or self.prior.constrains

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        if self.noise_std:
            return self.prior.noise(x, t)
        t = as_time(t).expand(x.shape[0])
        noise = self.prior.noise(x, t)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        mean = (x - sigma * noise) / alpha
        return noise - alpha / sigma * self.operator.pinv(self.y.to(x) - self.operator(mean))

    def constrain(self, x: Tensor, t: float | Tensor, z: Tensor) -> Tensor:
        t = as_time(t)
        x = self.prior.constrain(x, t, z)
        if not self.noise_std:
            return x
        alpha, sigma = self.sde.alpha(t), self.sde.sigma(t)
        missing = (sigma.square() - (alpha * self.level).square()).clamp(min=0).sqrt()
        held = self.operator.replace(x, broadcast(alpha, x) * self.y.to(x) + broadcast(missing, x) * self.operator(z))
        return torch.where(broadcast((t >= self.until).to(x), x) > 0, held, x)


def _gain(operator: LinearOperator, y: Tensor) -> float:
    """a, where a^2 is the one eigenvalue of A A^T beside 0; InputError when there are others."""
    v = NoiseStream(0, len(y), device=y.device).normal(y.shape)
    once = operator(operator.adjoint(v.to(y)))
    twice = operator(operator.adjoint(once))
    if not once.any():
        return 1.0  # nothing is observed
    squared = float((once * twice).sum() / once.square().sum())
    if not torch.allclose(twice, squared * once, atol=1e-3 * squared * float(once.abs().max())):
        raise InputError(
            "DDNM with noise needs an operator of which A A^T is a multiple of a projection (a mask, grey, means of "
            "blocks), and this one's is not: use PiGDM or MMPS"
        )
    return math.sqrt(squared)
