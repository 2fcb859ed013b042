"""DDIM: from the estimates of picture and noise at one time to the state at the next (Song, Meng and Ermon 2021).

    x_s = alpha_s D + sqrt(sigma_s^2 - std^2) noise(x, t) + std z,   std = eta sigma_s G / sigma_t

(arXiv 2010.02502, eq. 12 and 16), with D the denoised mean and G^2 the variance of the forward step from s to t, so
that it is one step for every SDE. eta = 0 is Euler's method for the probability flow of x / alpha in sigma / alpha;
eta = 1 the reverse Markov chain of DDPM, `Ancestral("posterior")`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scoreinv.options import Number, check
from scoreinv.prior import Prior
from scoreinv.samplers.rng import NoiseStream
from scoreinv.sdes import broadcast


@dataclass(frozen=True)
class DDIM:
    """A predictor: `PC(DDIM(eta), corrector_steps=0, steps=50)` is the sampler DDIM, an evaluation a step.

    Attributes:
        eta: how much noise a step adds, from 0 (none) to 1 (ancestral sampling).
    """

    eta: float = 0.0

    def __post_init__(self) -> None:
        check("eta", self.eta, Number(0, 1))

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        sde = prior.sde
        ratio, variance = sde.transition(s, t)
        std = self.eta * sde.sigma(s) * variance.sqrt() / sde.sigma(t)
        kept = (sde.sigma(s).square() - std.square()).clamp(min=0).sqrt()
        x_next = (x + broadcast(ratio * kept - sde.sigma(t), x) * prior.noise(x, t)) / broadcast(ratio, x)
        return x_next + broadcast(std, x) * rng.like(x) if self.eta else x_next
