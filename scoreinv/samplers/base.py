"""The sampling loop, from noise to a picture; a sampler defines the `step` from one time to the next.

A grid of N times t_1 > ... > t_N takes N steps: N - 1 between the times, and a last one to the denoised mean (Tweedie's
formula), which is the sample. A time higher than the previous one is a jump up by the forward process (resampling,
Lugmayr et al. 2022, RePaint). A conditional prior constrains the state at the start, after each step and after each
jump.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from scoreinv.prior import Prior, PriorWrapper
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import Spacing, Steps, Times, time_grid
from scoreinv.system.errors import Cancelled, InputError
from scoreinv.system.options import Checked, check_callback, require, says_stop
from scoreinv.system.part_progress import reporting


@dataclass(frozen=True)
class Samples:
    """The result of a sampler.

    Attributes:
        x0: the samples, (B, C, H, W), in the model's range, not clipped.
        nfe: network evaluations for each sample, including the final denoising, int64 (B,).
        vjps: vector-Jacobian products for each sample, including those of guidance, int64 (B,).
    """

    x0: Tensor
    nfe: Tensor
    vjps: Tensor


@dataclass(frozen=True)
class State:
    """A state x (B, C, H, W) at time t, from which a sampler starts instead of the prior at t = 1."""

    x: Tensor
    t: float


@dataclass(frozen=True)
class Progress:
    """Progress of a run, after each step or window.

    Attributes:
        fraction: completed share of the work, in [0, 1].
        step: completed steps.
        steps: total number of steps; None if the solver chooses them.
        t: current time; the mean over the samples if each has its own.
        x: the state, (B, C, H, W).
        nfe: network evaluations so far, for the sample with the most.
    """

    fraction: float
    step: int
    steps: int | None
    t: float
    x: Tensor
    nfe: int


Callback = Callable[[Progress], bool | None]
"""Called after each step and each window; returning False stops the work with `Cancelled`."""


class Sampler(Checked, ABC):
    """Base of samplers for any prior, conditional or not: a subclass is a frozen dataclass of settings with `draw`."""

    constrainable: ClassVar[bool] = True
    """Whether it takes priors that constrain the state; solvers that hold the observation themselves do not."""

    @torch.no_grad()
    def sample(
        self,
        prior: Prior,
        shape: tuple[int, ...],
        *,
        rng: NoiseStream,
        callback: Callback | None = None,
        start: State | None = None,
    ) -> Samples:
        """Draw samples of shape (B, C, H, W), on the device and in the dtype of `rng`, or of `start` if given.

        Args:
            rng: one noise stream for each sample.
            callback: called after each step and each window; may stop the work.
            start: initial state; None: a sample of the SDE's prior at t = 1.

        Raises InputError if the settings do not fit the prior or the start, Cancelled if the callback stopped the work.
        """
        check_callback(callback)
        unsuited = f"{type(self).__name__} holds the observation itself: give it a prior without constraints"
        require(self.constrainable or not prior.constrains, unsuited)
        return self.draw(prior, shape, rng, callback, start)

    @abstractmethod
    def draw(
        self, prior: Prior, shape: tuple[int, ...], rng: NoiseStream, callback: Callback | None, start: State | None
    ) -> Samples:
        """Draw samples, without gradients, and report each step to the callback (`reported`)."""


class Stepper(Protocol):
    """Moves a state from one time to the next: a predictor, a sampler, or a trajectory of a multistep sampler."""

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        """Return the state at time s < t from the state x at time t; t and s are float64 of shape ()."""
        ...


class GridSampler(Sampler):
    """Base of samplers on a time grid: a subclass is a frozen dataclass of settings with a `step`.

    Attributes:
        steps: number of times in the grid, if `times` is not given.
        spacing: spacing of the grid.
        times: the grid; an increasing pair of times is a jump up by the forward process.
    """

    steps: Steps
    spacing: Spacing
    times: Times

    @abstractmethod
    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        """Return the state at time s < t from the state x at time t; t and s are float64 of shape ()."""

    @property
    def deterministic(self) -> bool:
        """Whether the sampler solves an ODE; constraints then use the same noise throughout."""
        return False

    def trajectory(self) -> Stepper:
        """Return the stepper used from the start, or from a jump up: the sampler itself, or an object with memory."""
        return self

    def begin(self, prior: Prior, x: Tensor, t: Tensor, rng: NoiseStream) -> Tensor:
        """Return the state before the first step: the initial state x at the first time t, constrained."""
        return constrain(prior, x, t, rng)

    def end(self, prior: Prior, x: Tensor, t: Tensor, rng: NoiseStream) -> Tensor:
        """Return the sample, the denoised mean of the state x at the last time t."""
        return prior.denoise(x, t)

    def draw(
        self, prior: Prior, shape: tuple[int, ...], rng: NoiseStream, callback: Callback | None, start: State | None
    ) -> Samples:
        times = time_grid(prior.sde, self.spacing, self.steps, self.times, None if start is None else start.t)
        counted = CountedPrior(prior)
        stream = rng.with_fixed_noise() if self.deterministic else rng  # of steps and constraints
        x = initial_state(prior, shape, times[0], rng, start)
        with reported(callback, len(times), float(times[0]), x) as report:
            x = self.begin(counted, x, times[0], stream)
            trajectory = self.trajectory()
            for t, s in pairwise(times):
                if s < t:
                    x = trajectory.step(counted, x, t, s, stream)
                else:
                    x = prior.sde.diffuse(x, t, s, rng.like(x))
                    trajectory = self.trajectory()
                x = constrain(counted, x, s, stream)
                report(float(s), x, counted.nfe)
            x0 = prior.finish(self.end(counted, x, times[-1], stream))
            report(0.0, x0, counted.nfe)
        return counted.samples(x0)


def initial_state(prior: Prior, shape: tuple[int, ...], t: Tensor, rng: NoiseStream, start: State | None) -> Tensor:
    """Return the unconstrained state at the first time t: the given one, or a sample of the SDE's prior."""
    if start is not None:
        if tuple(start.x.shape) != tuple(shape):
            raise InputError(f"the starting state has shape {tuple(start.x.shape)}, not {tuple(shape)}")
        return start.x
    require(bool(t >= 1), f"a sampler that begins at t = {float(t)} needs a start state")
    return prior.sde.prior_std * rng.normal(shape)


def constrain(prior: Prior, x: Tensor, t: Tensor, rng: NoiseStream) -> Tensor:
    """Replace the observed components of the state x at time t by the observation; draw noise only if needed."""
    return prior.constrain(x, t, rng.like(x)) if prior.constrains else x


class CountedPrior(PriorWrapper):
    """The prior of one run, which counts the calls of `noise`."""

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        self.calls = 0

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        self.calls += 1
        return self.prior.noise(x, t)

    @property
    def nfe(self) -> int:
        """Network evaluations so far."""
        return self.calls * self.evaluations_per_noise

    def samples(self, x0: Tensor) -> Samples:
        """Return the finished samples with their numbers of evaluations."""
        counts = (self.nfe, self.calls * self.vjps_per_noise)
        return Samples(x0, *(torch.full((len(x0),), count) for count in counts))


Report = Callable[..., None]
"""Reports the end of a step: (t, x, nfe, fraction), see `Progress`; the fraction is needed if `steps` is None."""


@contextmanager
def reported(callback: Callback | None, steps: int | None, t: float, x: Tensor) -> Iterator[Report]:
    """Yield a function that reports the end of each step to the callback; forward reports from within evaluations too.

    Args:
        steps: total number of steps. None if it is unknown: reports from within evaluations then repeat the fraction.
        t, x: time and state at the beginning.

    Both kinds of reports raise Cancelled if the callback returns False.
    """
    progress = Progress(0.0, 0, steps, t, x, 0)

    def send(**changes: Any) -> None:
        nonlocal progress
        progress = replace(progress, **changes)
        if callback is not None and says_stop(callback(progress)):
            raise Cancelled(f"stopped after step {progress.step}")

    def report_evaluation(share: float) -> None:
        # Each evaluation of a step, and a backward pass, counts from 0 again, but the fraction must not fall.
        fraction = 0.0 if steps is None else (progress.step + share) / steps
        send(fraction=max(progress.fraction, fraction))

    def report(t: float, x: Tensor, nfe: int, fraction: float = 0.0) -> None:
        step = progress.step + 1
        send(step=step, fraction=fraction if steps is None else step / steps, t=t, x=x, nfe=nfe)

    with nullcontext() if callback is None else reporting(report_evaluation):
        yield report
