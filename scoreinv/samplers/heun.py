"""Heun's method with churn: the stochastic sampler of EDM (Karras et al. 2022, algorithm 2).

The probability flow of u = x / alpha in the noise level s = sigma / alpha is du/ds = d, with d = noise(x, t). A step
from t to s < t is one by the trapezoidal rule, of second order,

    x' = a x + b d(x, t),   x_s = a x + b [d(x, t) + d(x', s)] / 2,   a = alpha_s / alpha_t,   b = sigma_s - a sigma_t

(x' alone is the step of DDIM), after noise has been added by the forward process: from the level l to
l (1 + gamma), gamma = min(churn / N, sqrt(2) - 1). What errors were made before is forgotten with the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.prior import Prior
from scoreinv.samplers.base import (
    Callback,
    CountedPrior,
    Progress,
    Samples,
    State,
    check_noise,
    constrained,
    diffuse,
    fresh,
    initial_state,
    report,
    time_grid,
)
from scoreinv.samplers.noise import NoiseStream
from scoreinv.samplers.times import Spacing, karras_times
from scoreinv.sdes import SDE, broadcast, time_at

_MOST_CHURN = math.sqrt(2) - 1
"""A step adds no more noise than there is."""


@dataclass(frozen=True)
class Heun:
    """EDM's sampler: two evaluations a step, one at the last, so 2 N - 1 for a grid of N decreasing times.

    A conditional prior constrains every state that is evaluated: with one noise for the whole trajectory without churn,
    with fresh noise in each step otherwise.

    Attributes:
        churn: noise added in all, at least 0 (the paper's S_churn): 0 is the probability-flow ODE.
        churned: the noise levels sigma / alpha, in the model's range, between which noise is added (S_tmin, S_tmax);
            none is added beyond the SDE's largest.
        inflation: of the added noise's standard deviation (S_noise), for networks that remove a little too much.
        steps, spacing, times: as in `PC`.
    """

    churn: float = 0.0
    churned: tuple[float, float] = (0.0, math.inf)
    inflation: float = 1.0
    steps: int = 18
    spacing: Spacing = karras_times
    times: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.churn < math.inf:
            raise InputError(f"churn must be a number of at least 0, not {self.churn}")
        if not 0 < self.inflation < math.inf:
            raise InputError(f"the inflation of the churn's noise must be positive, not {self.inflation}")

    @torch.no_grad()
    def sample(
        self,
        prior: Prior,
        shape: tuple[int, ...],
        *,
        noise: NoiseStream,
        callback: Callback | None = None,
        start: State | None = None,
    ) -> Samples:
        """Samples of shape (B, C, H, W), on the device and in the dtype of the noise, or of `start` when given."""
        prior = CountedPrior(prior)
        check_noise(prior, self.churn)
        times = time_grid(prior.sde, self.spacing, self.steps, self.times, start, prior.release)
        x = initial_state(prior, shape, times[0], noise, start)
        z = fresh(prior, x, noise)
        x = constrained(prior, x, times[0], z)
        for step, (t, s) in enumerate(pairwise(times), 1):
            if s < t:
                x, t = self._churn(prior.sde, x, t, len(times), noise)
                z = z if self.churn == 0 else fresh(prior, x, noise)
                x = _step(prior, x, t, s, z)
            else:
                x = diffuse(prior.sde, x, t, s, noise.normal(x.shape, x.device, x.dtype))
                z = z if self.churn == 0 else fresh(prior, x, noise)
            x = constrained(prior, x, s, z)
            report(callback, Progress(step / len(times), step, len(times), float(s), x, prior.calls))
        x, t = self._churn(prior.sde, x, times[-1], len(times), noise)
        result = prior.samples(prior.denoise(x, t))
        report(callback, Progress(1.0, len(times), len(times), 0.0, result.x0, prior.calls))
        return result

    def _churn(self, sde: SDE, x: Tensor, t: Tensor, steps: int, noise: NoiseStream) -> tuple[Tensor, Tensor]:
        """The state with added noise, and the time at which it is one."""
        level, (lowest, highest) = sde.noise_to_signal(t), self.churned
        if self.churn == 0 or not lowest <= level <= highest:
            return x, t
        later = time_at(sde, level * (1 + min(self.churn / steps, _MOST_CHURN)))  # at most 1
        if later <= t:
            return x, t
        return diffuse(sde, x, t, later, self.inflation * noise.normal(x.shape, x.device, x.dtype)), later


def _step(prior: Prior, x: Tensor, t: Tensor, s: Tensor, z: Tensor | None) -> Tensor:
    """The state at s < t, by the trapezoidal rule; z constrains the state that is evaluated there."""
    a = prior.sde.alpha(s) / prior.sde.alpha(t)
    kept, change = broadcast(a, x) * x, broadcast(prior.sde.sigma(s) - a * prior.sde.sigma(t), x)
    slope = prior.noise(x, t)
    ahead = prior.noise(constrained(prior, kept + change * slope, s, z), s)
    return kept + change * (slope + ahead) / 2
