"""The sampling loop: from noise to a picture, one time after another; what differs is a sampler's `step`.

A grid of N times t_1 > ... > t_N is N steps: each time is visited, the last one by the denoised mean (Tweedie's
formula), which is the sample. A time higher than the one before it is a jump up, made by the forward process
(resampling, Lugmayr et al. 2022, RePaint). A conditional prior constrains the state wherever it arrives: at the start,
after each step, and after each jump.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from scoreinv.prior import Prior, PriorWrapper
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import Spacing, Steps, Times, time_grid
from scoreinv.system.errors import Cancelled, InputError
from scoreinv.system.options import check_callback, check_settings, says_stop
from scoreinv.system.reporting import reporting


@dataclass(frozen=True)
class Samples:
    """What a sampler returns.

    Attributes:
        x0: the samples, (B, C, H, W), in the model's range, not clipped.
        nfe: evaluations of the network for each sample, int64 (B,); the final denoising, where there is one, included.
        vjps: vector-Jacobian products for each sample, int64 (B,), those of guidance included.
    """

    x0: Tensor
    nfe: Tensor
    vjps: Tensor


@dataclass(frozen=True)
class State:
    """A state x (B, C, H, W) at time t: where a sampler starts in place of the prior at t = 1."""

    x: Tensor
    t: float


@dataclass(frozen=True)
class Progress:
    """How far a run is: after each step, and within evaluations that consist of several windows.

    Attributes:
        fraction: share of the work that is done, in [0, 1].
        step: steps done.
        steps: steps in all; None where the solver chooses them.
        t: the time that the state is at; the mean over the samples where each has its own.
        x: the state, (B, C, H, W).
        nfe: evaluations so far (the most of any sample).
    """

    fraction: float
    step: int
    steps: int | None
    t: float
    x: Tensor
    nfe: int


Callback = Callable[[Progress], bool | None]
"""Called after each step and at each window; it stops the work with `Cancelled` by returning False."""


class Sampler(Protocol):
    """Settings of a way to draw samples of any prior, conditional or not."""

    def sample(
        self,
        prior: Prior,
        shape: tuple[int, ...],
        *,
        rng: NoiseStream,
        callback: Callback | None = None,
        start: State | None = None,
    ) -> Samples:
        """Samples of shape (B, C, H, W), on the device and in the dtype of `rng`, or of `start` when given.

        Args:
            rng: a stream of noise for each sample.
            callback: called after each step and at each window; may stop the work.
            start: where to begin; None: at a draw of the SDE's prior, at t = 1.

        Raises InputError where the settings do not go with the prior or the start, Cancelled when the callback stopped.
        """
        ...


class Stepper(Protocol):
    """What moves a state: a predictor, a sampler, or one trajectory of a sampler that remembers its steps."""

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        """The state at time s < t from the state x at time t; t and s are float64 of shape ()."""
        ...


class GridSampler(ABC):
    """Base of samplers that visit the times of a grid: a subclass is a frozen dataclass of settings, and its `step`.

    Attributes:
        steps: times in the grid, when `times` is not given.
        spacing: how the grid is spread.
        times: the grid itself; times may jump up, by the forward process.
    """

    steps: Steps
    spacing: Spacing
    times: Times

    def __post_init__(self) -> None:
        check_settings(self)

    @abstractmethod
    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        """The state at time s < t from the state x at time t; t and s are float64 of shape ()."""

    @property
    def deterministic(self) -> bool:
        """Whether it solves an ODE, and adds no noise: constraints then take one noise on the whole trajectory."""
        return False

    def trajectory(self) -> Stepper:
        """What takes the steps from the start, or from a jump up: itself, or an object that remembers its steps."""
        return self

    def begin(self, prior: Prior, x: Tensor, t: Tensor, rng: NoiseStream) -> Tensor:
        """The state that the first step takes, from the initial state x at the first time t: x, constrained."""
        return constrain(prior, x, t, rng)

    def end(self, prior: Prior, x: Tensor, t: Tensor, rng: NoiseStream) -> Tensor:
        """The sample from the state x at the last time t: its denoised mean."""
        return prior.denoise(x, t)

    @torch.no_grad()
    def sample(
        self,
        prior: Prior,
        shape: tuple[int, ...],
        *,
        rng: NoiseStream | None = None,
        callback: Callback | None = None,
        start: State | None = None,
        noise: NoiseStream | None = None,
    ) -> Samples:
        """Samples of shape (B, C, H, W); see `Sampler.sample`. noise: what `rng` was called before version 0.2."""
        if noise is not None:
            warnings.warn("the stream of noise of a sampler is now called rng", DeprecationWarning, stacklevel=3)
            rng = noise
        if rng is None:
            raise InputError("a sampler needs a stream of noise for each sample: rng=NoiseStream(seed, count)")
        check_callback(callback)
        times = time_grid(prior.sde, self.spacing, self.steps, self.times, None if start is None else start.t)
        counted = CountedPrior(prior, callback, len(times))
        own = rng.with_fixed_noise() if self.deterministic else rng  # the noise of steps and constraints
        x = initial_state(prior, shape, times[0], rng, start)
        with counted.reporting(float(times[0]), x):
            x = self.begin(counted, x, times[0], own)
            trajectory = self.trajectory()
            for done, (t, s) in enumerate(pairwise(times), 1):
                if s < t:
                    x = trajectory.step(counted, x, t, s, own)
                else:
                    x = prior.sde.diffuse(x, t, s, rng.like(x))
                    trajectory = self.trajectory()
                x = constrain(counted, x, s, own)
                counted.report(done, float(s), x)
            result = counted.samples(self.end(counted, x, times[-1], own))
            counted.report(len(times), 0.0, result.x0)
        return result


def initial_state(prior: Prior, shape: tuple[int, ...], t: Tensor, rng: NoiseStream, start: State | None) -> Tensor:
    """The state at the first time t, not constrained yet: the given one, or a draw from the SDE's prior."""
    if start is not None:
        if tuple(start.x.shape) != tuple(shape):
            raise InputError(f"the starting state has shape {tuple(start.x.shape)}, not {tuple(shape)}")
        return start.x
    if t < 1:
        raise InputError(f"a sampler that begins at t = {float(t)} needs the state to start from")
    return prior.sde.prior_std * rng.normal(shape)


def constrain(prior: Prior, x: Tensor, t: Tensor, rng: NoiseStream) -> Tensor:
    """The state x at time t, with what is observed replaced by the observation; no noise is drawn where nothing is."""
    return prior.constrain(x, t, rng.like(x)) if prior.constrains else x


class CountedPrior(PriorWrapper):
    """The prior of one run, which counts the calls of `noise` and reports to the run's callback.

    Args:
        callback: called after each step, and for each report from within an evaluation (`scoreinv.system.reporting`).
        steps: of the run.
    """

    def __init__(self, prior: Prior, callback: Callback | None, steps: int) -> None:
        super().__init__(prior)
        self.calls = 0
        self._callback, self._steps = callback, steps

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        self.calls += 1
        return self.prior.noise(x, t)

    @contextmanager
    def reporting(self, t: float, x: Tensor) -> Iterator[None]:
        """Take reports from within evaluations until the block ends; the run begins at the state x at time t."""
        self._progress = Progress(0.0, 0, self._steps, t, x, 0)
        with nullcontext() if self._callback is None else reporting(self._within):
            yield

    def report(self, step: int, t: float, x: Tensor) -> None:
        """Report that so many steps are done; raise Cancelled if the callback returns False."""
        self._send(Progress(step / self._steps, step, self._steps, t, x, 0))

    def _within(self, share: float) -> None:
        # A step of several evaluations, or a backward pass, reports shares that fall.
        fraction = max(self._progress.fraction, (self._progress.step + share) / self._steps)
        self._send(replace(self._progress, fraction=fraction))

    def _send(self, progress: Progress) -> None:
        self._progress = replace(progress, nfe=self.calls * self.evaluations_per_noise)
        if self._callback is not None and says_stop(self._callback(self._progress)):
            raise Cancelled(f"stopped after step {progress.step}")

    def samples(self, x0: Tensor) -> Samples:
        """The result, with what the calls took."""
        each = (self.evaluations_per_noise, self.vjps_per_noise)
        return Samples(self.finish(x0), *(torch.full((len(x0),), self.calls * count) for count in each))
