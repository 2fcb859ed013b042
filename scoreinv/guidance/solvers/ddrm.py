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

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
from torch import Tensor

from scoreinv.operators import Operator
from scoreinv.operators.base import in_rank, observation_like
from scoreinv.prior import Prior
from scoreinv.samplers.base import GridSampler
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import Spacing, Steps, Times, karras_times
from scoreinv.sdes import broadcast
from scoreinv.system.options import Number, require


@dataclass(frozen=True, eq=False)
class DDRM(GridSampler):
    """Samples of a prior given an observation, by one evaluation per step without gradients.

    Attributes:
        operator: A, which must have a singular value decomposition (`Operator.spectral`).
        y: the observation, of shape A(x), in the model's range.
        noise_std: standard deviation of the noise in y, at least 0, in the model's range. Without noise the end result
            agrees with y exactly.
        eta: share of fresh noise in components that are unobserved, or noisier than the state, from 0 to 1.
        eta_b: weight of y in the other components, from 0 to 1.
        steps, spacing, times: as in `PC`, with decreasing times.
    """

    constrainable = False

    operator: Operator
    y: Tensor
    noise_std: Annotated[float, Number(0)] = 0.0
    eta: Annotated[float, Number(0, 1)] = 0.85
    eta_b: Annotated[float, Number(0, 1)] = 1.0
    steps: Steps = 20
    spacing: Spacing = karras_times
    times: Times = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.operator.spectral()
        falling = self.times is None or all(later < before for before, later in pairwise(self.times))
        require(falling, "DDRM needs decreasing times")

    def begin(self, prior: Prior, x: Tensor, t: Tensor, rng: NoiseStream) -> Tensor:
        """Return the initial state: components whose noise in y is below the noise level of x are taken from y."""
        alpha, level = broadcast(prior.sde.alpha(t), x), float(prior.sde.noise_to_signal(t))
        observation_like(self.y, self.operator(x))
        observed = _Observed(self, x)
        fresh = (level**2 - observed.noise.square()).clamp_min(0).sqrt()
        target = observed.values + fresh * observed.operator.analyse(rng.like(x))
        return alpha * observed.replace(x / alpha, target, observed.known & (observed.noise < level))

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        level, lower = (float(prior.sde.noise_to_signal(time)) for time in (t, s))
        mean = prior.denoise(x, t)
        x, z = x / broadcast(prior.sde.alpha(t), x), rng.like(x)
        observed, kept = _Observed(self, x), (1 - self.eta**2) ** 0.5
        unobserved = mean + kept * lower / level * (x - mean) + self.eta * lower * z
        mean, z = observed.operator.analyse(mean), observed.operator.analyse(z)
        direction = (observed.values - mean) / observed.noise
        noisier = mean + kept * lower * direction + self.eta * lower * z  # y has more noise than the next level
        fresh = (lower**2 - (self.eta_b * observed.noise).square()).clamp_min(0).sqrt()
        cleaner = (1 - self.eta_b) * mean + self.eta_b * observed.values + fresh * z
        x = observed.replace(unobserved, torch.where(lower < observed.noise, noisier, cleaner), observed.known)
        return broadcast(prior.sde.alpha(s), x) * x

    def end(self, prior: Prior, x: Tensor, t: Tensor, rng: NoiseStream) -> Tensor:
        x0 = prior.denoise(x, t)
        return x0 if self.noise_std else self.operator.replace(x0, self.y.to(x0))


class _Observed:
    """The observed components of V^T x0, on the device and in the dtype of x.

    Attributes:
        known: whether each component is observed.
        values: y_i, arbitrary for unobserved components.
        noise: tau_i, likewise.
    """

    def __init__(self, settings: DDRM, x: Tensor) -> None:
        self.operator = settings.operator.spectral()
        singular = self.operator.singular.to(x)
        self.known = in_rank(singular)
        safe = torch.where(self.known, singular, 1)
        self.values = self.operator.analyse_observation(settings.y.to(x)) / safe
        self.noise = settings.noise_std / safe

    def replace(self, x: Tensor, target: Tensor, where: Tensor) -> Tensor:
        """Return x with the target's components at `where`."""
        return x + self.operator.synthesise(torch.where(where, target - self.operator.analyse(x), 0))
