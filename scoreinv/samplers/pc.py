"""Predictor-corrector sampling (Song et al. 2021, section 4.2, algorithms 1 to 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
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
from scoreinv.samplers.correctors import Corrector, Langevin, NoCorrector
from scoreinv.samplers.noise import NoiseStream
from scoreinv.samplers.predictors import Predictor, ReverseDiffusion
from scoreinv.samplers.times import Spacing, uniform_times


@dataclass(frozen=True)
class PC:
    """At each time of the grid `corrector_steps` of the corrector, then the predictor to the next time.

    The last time is corrected and then denoised by Tweedie's formula. So a grid of N decreasing times takes
    N (corrector_steps + 1) evaluations: 2,000 for the paper's N = 1000 with one corrector step.

    A conditional prior constrains each state at the time that the state is then at: the initial one, the one after
    each corrector step at t, the one after the predictor, at s; each with fresh noise.

    Attributes:
        corrector_steps: Langevin steps at each time.
        snr: signal-to-noise ratio of the corrector (.16 for CIFAR-10, .075 at 256 px, .15 at 1024 px).
        steps: times in the grid, when `times` is not given.
        spacing: how the grid is spread.
        times: the grid itself; times may jump up (resampling), by the forward process.
    """

    predictor: Predictor = field(default_factory=ReverseDiffusion)
    corrector: Corrector = field(default_factory=Langevin)
    corrector_steps: int = 1
    snr: float = 0.16
    steps: int = 1000
    spacing: Spacing = uniform_times
    times: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.corrector_steps < 0:
            raise InputError(f"corrector steps must not be negative: {self.corrector_steps}")

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
        check_noise(prior, self.stochasticity)
        times = time_grid(prior.sde, self.spacing, self.steps, self.times, start, prior.release)
        x = initial_state(prior, shape, times[0], noise, start)
        x = _constrain(prior, x, times[0], noise)
        for step, (t, s) in enumerate(pairwise(times), 1):
            if s < t:
                x = self._correct(prior, x, t, noise)
                x = self.predictor.step(prior, x, t, s, noise)
            else:
                x = diffuse(prior.sde, x, t, s, noise.normal(x.shape, x.device, x.dtype))
            x = _constrain(prior, x, s, noise)
            report(callback, Progress(step / len(times), step, len(times), float(s), x, prior.calls))
        x = self._correct(prior, x, times[-1], noise)
        result = prior.samples(prior.denoise(x, times[-1]))
        report(callback, Progress(1.0, len(times), len(times), 0.0, result.x0, prior.calls))
        return result

    @property
    def stochasticity(self) -> float:
        """How much noise a step adds: the predictor's share, and 1 with a corrector."""
        corrected = self.corrector_steps > 0 and not isinstance(self.corrector, NoCorrector)
        return 1.0 if corrected else self.predictor.stochasticity

    def _correct(self, prior: Prior, x: Tensor, t: Tensor, noise: NoiseStream) -> Tensor:
        for _ in range(self.corrector_steps):
            x = _constrain(prior, self.corrector.step(prior, x, t, self.snr, noise), t, noise)
        return x


def _constrain(prior: Prior, x: Tensor, t: Tensor, noise: NoiseStream) -> Tensor:
    return constrained(prior, x, t, fresh(prior, x, noise))
