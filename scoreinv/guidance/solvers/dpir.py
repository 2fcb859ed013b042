"""Plug-and-play restoration by half-quadratic splitting: one estimate, no added noise (DPIR: Zhang et al. 2021).

Observation and denoiser alternate while the noise level s falls (arXiv 2008.13751, eq. 6):

    z = argmin_z |y - A z|^2 / noise_std^2 + strength |z - x|^2 / s^2
      = x + A^T (A A^T + strength noise_std^2 / s^2)^-1 (y - A x),        x = D(z, s)

If the operator is not linear, the residual y - A x is computed with the operator itself, and A^T (A A^T + ...)^-1 with
its derivative at x: a Gauss-Newton step.

The denoiser treats the error of z as noise of level s. The result is not a sample: like the posterior mean, it is
smoother and closer to the truth than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated

import torch
from torch import Tensor

from scoreinv.guidance.observation import GivenObservation, observed
from scoreinv.operators.base import observation_like
from scoreinv.prior import Prior
from scoreinv.samplers.base import GridSampler, State
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import Spacing, Steps, Times, log_times
from scoreinv.sdes import broadcast
from scoreinv.system.options import Number


@dataclass(frozen=True)
class DPIR(GridSampler):
    """One estimate of a `GivenObservation`; each step takes one evaluation and no gradient.

    Its operator is linear or differentiable. Without noise the end result agrees with y exactly. No noise is drawn. A
    `start` is alpha times a first estimate without noise, at the time of the first level; None for zeros.

    Attributes:
        strength: the paper's lambda, above 0; a larger value means more weight of the denoiser.
        steps, spacing, times: as in `PC`.
        complete: estimates the unknown values of y, such as clipped ones (`tasks.denoise`): called at each step with
            A x of the current estimate x, it returns all of y. None if y is known.
    """

    strength: Annotated[float, Number(None)] = 0.23
    steps: Steps = 8
    spacing: Spacing = log_times
    times: Times = None
    complete: Callable[[Tensor], Tensor] | None = None

    def initial_state(
        self, prior: Prior, shape: tuple[int, ...], t: Tensor, rng: NoiseStream, start: State | None
    ) -> Tensor:
        return torch.zeros(shape, device=rng.device, dtype=rng.dtype) if start is None else start.x

    def states(self, prior: Prior, x: Tensor, times: Tensor, rng: NoiseStream) -> Iterator[tuple[Tensor, Tensor]]:
        given, sde = observed(prior), prior.sde
        x = x / broadcast(sde.alpha(times[0]), x)
        for number, t in enumerate(times, 1):
            predicted, operator = given.operator.linearised(x)
            if self.complete is not None:
                completed = replace(given.observation, y=self.complete(predicted))
                given = GivenObservation(given.prior, completed)
            level = self.strength * (given.noise_std / sde.noise_to_signal(t)).square()
            z = x + operator.ridge(observation_like(given.y, predicted) - predicted, level)
            x = prior.denoise(broadcast(sde.alpha(t), z) * z, t)
            yield t, x if number < len(times) else given.finish(x)
