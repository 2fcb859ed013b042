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

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from scoreinv.operators import Operator
from scoreinv.operators.base import observation_like
from scoreinv.prior import Prior
from scoreinv.samplers.base import Callback, CountedPrior, Sampler, Samples, State, reported
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import Spacing, Steps, Times, log_times, time_grid
from scoreinv.sdes import broadcast
from scoreinv.system.options import Number


@dataclass(frozen=True, eq=False)
class DPIR(Sampler):
    """One estimate of the picture given an observation; each step takes one evaluation and no gradient.

    Attributes:
        operator: A, linear or differentiable.
        y: the observation, of shape A(x), in the model's range.
        noise_std: standard deviation of the noise in y, at least 0, in the model's range. Without noise the end result
            agrees with y exactly.
        strength: the paper's lambda, above 0; a larger value means more weight of the denoiser.
        steps, spacing, times: as in `PC`.
        complete: estimates the unknown values of y, such as clipped ones (`tasks.denoise`): called at each step with
            A x of the current estimate x, it returns all of y. None if y is known.
    """

    constrainable = False

    operator: Operator
    y: Tensor
    noise_std: Annotated[float, Number(0)] = 0.0
    strength: Annotated[float, Number(None)] = 0.23
    steps: Steps = 8
    spacing: Spacing = log_times
    times: Times = None
    complete: Callable[[Tensor], Tensor] | None = None

    def draw(
        self, prior: Prior, shape: tuple[int, ...], rng: NoiseStream, callback: Callback | None, start: State | None
    ) -> Samples:
        """Return the estimates, (B, C, H, W); see `Sampler.sample`. No noise is drawn from `rng`.

        Args:
            start: alpha times a first estimate without noise, and the time of the first level; None for zeros.
        """
        times = time_grid(prior.sde, self.spacing, self.steps, self.times, None if start is None else start.t)
        if start is None:
            x = torch.zeros(shape, device=rng.device, dtype=rng.dtype)
        else:
            x = start.x / broadcast(prior.sde.alpha(times[0]), start.x)
        counted, y = CountedPrior(prior), self.y.to(x)
        with reported(callback, len(times), float(times[0]), x) as report:
            for t in times:
                ridge_level = self.strength * (self.noise_std / prior.sde.noise_to_signal(t)).square()
                predicted, operator = self.operator.linearised(x)
                y = y if self.complete is None else self.complete(predicted)
                z = x + operator.ridge(observation_like(y, predicted) - predicted, ridge_level)
                x = counted.denoise(broadcast(prior.sde.alpha(t), z) * z, t)
                report(float(t), x, counted.nfe)
            x0 = prior.finish(x if self.noise_std else self.operator.replace(x, y))
        return counted.samples(x0)
