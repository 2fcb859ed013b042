"""Predictor-corrector sampling (Song et al. 2021, section 4.2, algorithms 1 to 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.samplers.correctors import Corrector, Langevin, NoCorrector
from scoreinv.samplers.predictors import Predictor, ReverseDiffusion
from scoreinv.samplers.times import Spacing, uniform_times
from scoreinv.samplers.walk import GridSampler, Walk


@dataclass(frozen=True)
class PC(GridSampler):
    """At each time of the grid `corrector_steps` of the corrector, then the predictor to the next time.

    The last time is corrected and then denoised by Tweedie's formula. So a grid of N decreasing times takes
    N (corrector_steps + 1) evaluations: 2,000 for the paper's N = 1000 with one corrector step. `NoCorrector` saves the
    N corrector_steps of the corrector, and `NoPredictor` all of the predictor's but the last, which denoises.

    A conditional prior constrains each state at the time that the state is then at: the initial one, the one after
    each corrector step at t, the one after the predictor, at s; each with fresh noise.

    Attributes:
        predictor: the step from each time to the next.
        corrector: the step at each time.
        corrector_steps: steps of the corrector at each time.
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
        if not 0 <= self.snr < math.inf:
            raise InputError(f"snr must be a number of at least 0, not {self.snr}")

    @property
    def eta(self) -> float:
        """How much noise a step adds: the predictor's share, and 1 with a corrector."""
        corrected = self.corrector_steps > 0 and not isinstance(self.corrector, NoCorrector)
        return 1.0 if corrected else self.predictor.eta

    @property
    def holds_noise(self) -> bool:
        return False  # each state is constrained afresh, as in the paper

    def step(self, walk: Walk, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        return self.predictor.step(walk.prior, self._corrected(walk, x, t), t, s, walk.noise)

    def end(self, walk: Walk, x: Tensor, t: Tensor) -> Tensor:
        return walk.prior.denoise(self._corrected(walk, x, t), t)

    def _corrected(self, walk: Walk, x: Tensor, t: Tensor) -> Tensor:
        for _ in range(self.corrector_steps):
            x = walk.constrain(self.corrector.step(walk.prior, x, t, self.snr, walk.noise), t)
        return x
