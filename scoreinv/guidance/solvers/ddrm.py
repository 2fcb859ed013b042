"""Denoising diffusion restoration models: separate updates of an observation's components (Kawar et al. 2022).

Let A = U diag(a) V^T and y = A x0 + n, with n of standard deviation noise_std. Component i of V^T x0 is observed as
y_i = (U^T y)_i / a_i, with noise of standard deviation tau_i = noise_std / a_i. Let D be the denoised mean and z fresh
noise. A step from the noise level `level` = sigma / alpha to the next one, `lower`, sets component i of x / alpha to
(arXiv 2201.11793, eq. 7, 8)

    a_i = 0            D_i + sqrt(1 - eta^2) lower (x_i - D_i) / level + eta lower z_i
    lower < tau_i      D_i + sqrt(1 - eta^2) lower (y_i - D_i) / tau_i + eta lower z_i
    lower >= tau_i     (1 - eta_b) D_i + eta_b y_i + sqrt(lower^2 - eta_b^2 tau_i^2) z_i

This holds for any SDE. The method approximates the posterior and is overconfident: for Gaussian fields nominal 90 %
intervals cover 59 to 78 % with 12 steps (`tests/benchmarks/gaussian_calibration.py`). For a blur more steps are worse:
36 cover 53 %, 400 cover 27 %, and samples of photographs have larger errors. If A observes half of the pixels, 36 steps
have smaller errors than 12 (`tests/benchmarks/README.md`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor

from scoreinv.guidance.observation import observed
from scoreinv.operators.base import in_rank, observation_like
from scoreinv.prior import Prior
from scoreinv.samplers.base import GridSampler, last_state
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import Spacing, Steps, Times, karras_times
from scoreinv.sdes import broadcast
from scoreinv.system.options import Number, require


@dataclass(frozen=True)
class DDRM(GridSampler):
    """Samples of a `GivenObservation`, by one evaluation per step without gradients.

    Its operator must have a singular value decomposition (`Operator.spectral`). Without noise the end result agrees
    with y exactly.

    Attributes:
        eta: share of fresh noise in components that are unobserved, or noisier than the state, from 0 to 1.
        eta_b: weight of y in the other components, from 0 to 1.
        steps, spacing, times: as in `PC`, with decreasing times.
    """

    eta: Annotated[float, Number(0, 1)] = 0.85
    eta_b: Annotated[float, Number(0, 1)] = 1.0
    steps: Steps = 20
    spacing: Spacing = karras_times
    times: Times = None

    def __post_init__(self) -> None:
        super().__post_init__()
        falling = self.times is None or all(later < before for before, later in pairwise(self.times))
        require(falling, "DDRM needs decreasing times")

    def states(self, prior: Prior, x: Tensor, times: Tensor, rng: NoiseStream) -> Iterator[tuple[Tensor, Tensor]]:
        given, sde = observed(prior), prior.sde
        observation_like(given.y, given.operator(x))
        operator = given.operator.spectral()
        singular = operator.singular.to(x)
        known = in_rank(singular)
        safe = torch.where(known, singular, 1)
        values, tau = operator.analyse_observation(given.y.to(x)) / safe, given.noise_std / safe  # arbitrary if unknown

        def replaced(x: Tensor, target: Tensor, where: Tensor) -> Tensor:
            return x + operator.synthesise(torch.where(where, target - operator.analyse(x), 0))

        # At first, components whose noise in y is below the noise level of x are taken from y.
        alpha, level = broadcast(sde.alpha(times[0]), x), float(sde.noise_to_signal(times[0]))
        fresh = (level**2 - tau.square()).clamp_min(0).sqrt()
        x = alpha * replaced(x / alpha, values + fresh * operator.analyse(rng.like(x)), known & (tau < level))
        kept = (1 - self.eta**2) ** 0.5
        for t, s in pairwise(times):
            level, lower = (float(sde.noise_to_signal(time)) for time in (t, s))
            mean, z, x = prior.denoise(x, t), rng.like(x), x / broadcast(sde.alpha(t), x)
            unobserved = mean + kept * lower / level * (x - mean) + self.eta * lower * z
            mean, z = operator.analyse(mean), operator.analyse(z)
            noisier = mean + kept * lower * ((values - mean) / tau) + self.eta * lower * z  # than the next level
            fresh = (lower**2 - (self.eta_b * tau).square()).clamp_min(0).sqrt()
            cleaner = (1 - self.eta_b) * mean + self.eta_b * values + fresh * z
            x = replaced(unobserved, torch.where(lower < tau, noisier, cleaner), known)
            x = broadcast(sde.alpha(s), x) * x
            yield s, x
        yield last_state(prior, x, times[-1])
