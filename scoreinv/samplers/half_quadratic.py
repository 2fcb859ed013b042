"""Plug-and-play restoration by half-quadratic splitting: one picture, no noise put in (DPIR: Zhang et al. 2021).

Observation and denoiser take turns, while the noise level s falls (arXiv 2008.13751, eq. 6):

    z = argmin_z |y - A z|^2 / noise_std^2 + strength |z - x|^2 / s^2
      = x + A^T (A A^T + strength noise_std^2 / s^2)^-1 (y - A x),        x = D(z, s)

The denoiser takes what is wrong with z for noise of that level. Nothing is drawn: the result is no sample, and nearer
to the truth than a sample is, as the posterior mean would be.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.operators import LinearOperator
from scoreinv.prior import Prior
from scoreinv.samplers.base import Callback, CountedPrior, Progress, Samples, State, report, time_grid
from scoreinv.samplers.noise import NoiseStream
from scoreinv.samplers.times import Spacing, log_times
from scoreinv.sdes import broadcast


@dataclass(frozen=True, eq=False)
class HalfQuadratic:
    """An estimate of the picture given an observation, an evaluation a step and no gradients.

    Attributes:
        operator: A.
        y: the observation, of shape A(x), in the model's range.
        noise_std: standard deviation of the noise in y, at least 0, in the model's range. Without noise the end result
            agrees with y exactly.
        strength: the paper's lambda, above 0: more weighs the denoiser more.
        steps, spacing, times: as in `PC`.
    """

    operator: LinearOperator
    y: Tensor
    noise_std: float = 0.0
    strength: float = 0.23
    steps: int = 8
    spacing: Spacing = log_times
    times: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.noise_std < 0:
            raise InputError(f"the observation's noise must not be negative, as {self.noise_std} is")
        if not self.strength > 0:
            raise InputError(f"the denoiser's strength must be positive, not {self.strength}")

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
        """The estimate for each row, of shape (B, C, H, W).

        Args:
            noise: tells device and dtype, where `start` does not.
            start: alpha times a guess of the picture, without noise, and the time of the first level. None: a guess of
                0, at t = 1.
        """
        prior = CountedPrior(prior)
        times = time_grid(prior.sde, self.spacing, self.steps, self.times, start)
        if start is None:
            x = torch.zeros(shape, device=noise.device, dtype=noise.dtype)
        else:
            x = start.x / broadcast(prior.sde.alpha(times[0]), start.x)
        y = self.y.to(x)
        for step, t in enumerate(times, 1):
            level = self.strength * (self.noise_std / prior.sde.noise_to_signal(t)).square()
            z = x + self.operator.ridge(y - self.operator(x), level)
            x = prior.denoise(broadcast(prior.sde.alpha(t), z) * z, t)
            if step < len(times):
                report(callback, Progress(step / len(times), step, len(times), float(t), x, prior.calls))
        if self.noise_std == 0:
            x = self.operator.replace(x, y)
        result = prior.samples(x)
        report(callback, Progress(1.0, len(times), len(times), 0.0, result.x0, prior.calls))
        return result
