"""Heun's method with churn: the stochastic sampler of EDM (Karras et al. 2022, algorithm 2).

The probability flow of u = x / alpha in the noise level sigma / alpha is du = d(x, t) d(sigma / alpha), with
d = noise(x, t). A step from t to s < t follows the trapezoidal rule, of second order:

    x' = a x + b d(x, t),   x_s = a x + b [d(x, t) + d(x', s)] / 2,   a = alpha_s / alpha_t,   b = sigma_s - a sigma_t

(x' alone is the step of DDIM). Churn first adds noise by the forward process, raising the noise level l to
l (1 + gamma), gamma = min(S_churn / N, sqrt(2) - 1). This erases earlier errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from torch import Tensor

from scoreinv.prior import Prior
from scoreinv.samplers.base import GridSampler, constrain, jump, last_state
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import Spacing, Steps, Times, karras_times
from scoreinv.sdes import broadcast, time_at
from scoreinv.system.options import Number, check


@dataclass(frozen=True)
class Heun(GridSampler):
    """EDM's sampler: two evaluations a step, one at the last time, 2 N - 1 for a grid of N decreasing times.

    A conditional prior constrains the state at each time of the grid and after Euler's step, but not after churn: with
    the same noise throughout if there is no churn, with fresh noise otherwise.

    Attributes:
        s_churn: total amount of churn, at least 0; 0 is the probability-flow ODE.
        s_tmin, s_tmax: churn is applied at noise levels sigma / alpha, in the model's range, between these. The SDE's
            largest level is never exceeded.
        s_noise: factor of the added noise's standard deviation, as in `DPMpp2M`.
        steps, spacing, times: as in `PC`.
    """

    s_churn: Annotated[float, Number()] = 0.0
    s_tmin: Annotated[float, Number()] = 0.0
    s_tmax: float = math.inf
    s_noise: Annotated[float, Number(None)] = 1.0
    steps: Steps = 18
    spacing: Spacing = karras_times
    times: Times = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.s_tmax != math.inf:
            check("s_tmax", self.s_tmax, Number(self.s_tmin))

    def states(self, prior: Prior, x: Tensor, times: Tensor, rng: NoiseStream) -> Iterator[tuple[Tensor, Tensor]]:
        sde = prior.sde
        noise = rng if self.s_churn else rng.with_fixed_noise()  # for the constraints of an ODE
        x = constrain(prior, x, times[0], noise)
        for t, s in pairwise(times):
            if s > t:
                x = jump(prior, x, t, s, rng)
            else:
                x, t = self.churn(prior, x, t, len(times), rng)
                a = sde.alpha(s) / sde.alpha(t)
                kept, change = broadcast(a, x) * x, broadcast(sde.sigma(s) - a * sde.sigma(t), x)
                d = prior.noise(x, t)
                euler = constrain(prior, kept + change * d, s, noise)
                x = kept + change * (d + prior.noise(euler, s)) / 2
            x = constrain(prior, x, s, noise)
            yield s, x
        yield last_state(prior, *self.churn(prior, x, times[-1], len(times), rng))

    def churn(self, prior: Prior, x: Tensor, t: Tensor, count: int, rng: NoiseStream) -> tuple[Tensor, Tensor]:
        """Add noise to the state x at a time t of `count`; return it with its new time."""
        level = prior.sde.noise_to_signal(t)
        if self.s_churn == 0 or not self.s_tmin <= level <= self.s_tmax:
            return x, t
        gamma = min(self.s_churn / count, math.sqrt(2) - 1)
        later = time_at(prior.sde, level * (1 + gamma))  # at most 1
        return (prior.sde.diffuse(x, t, later, self.s_noise * rng.like(x)), later) if later > t else (x, t)
