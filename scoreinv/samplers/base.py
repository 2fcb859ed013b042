"""Samplers, from noise to a picture: generators of states (t, x).

A grid of N times t_1 > ... > t_N takes N steps: N - 1 between the times, and a last one to the denoised mean (Tweedie's
formula), which is the sample. A time higher than the previous one is a jump up by the forward process (resampling,
Lugmayr et al. 2022, RePaint). A conditional prior constrains the state at the start, after each step and after each
jump.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scoreinv.prior import Prior, PriorWrapper
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import Spacing, Steps, Times, time_grid
from scoreinv.system.errors import Cancelled, InputError
from scoreinv.system.options import Checked, check_callback, require, says_stop
from scoreinv.system.progress import reporter, reporting


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
"""Called after each step and each window; returning False stops the work with `Cancelled`. The fraction is
also reported to the work around the sampler (`system.progress`)."""


class Sampler(Checked, ABC):
    """Base of samplers for any prior, conditional or not: a subclass is a frozen dataclass of settings with `draw`."""

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
        return self.draw(prior, shape, rng, callback, start)

    @abstractmethod
    def draw(
        self, prior: Prior, shape: tuple[int, ...], rng: NoiseStream, callback: Callback | None, start: State | None
    ) -> Samples:
        """Draw samples, without gradients, and report each step to the callback (`reported`)."""

    def initial_state(
        self, prior: Prior, shape: tuple[int, ...], t: Tensor, rng: NoiseStream, start: State | None
    ) -> Tensor:
        """Return the unconstrained state at the first time t: the given one, or a sample of the SDE's prior."""
        if start is not None:
            if tuple(start.x.shape) != tuple(shape):
                raise InputError(f"the starting state has shape {tuple(start.x.shape)}, not {tuple(shape)}")
            return start.x
        require(bool(t >= 1), f"a sampler that begins at t = {float(t)} needs a start state")
        return prior.sde.prior_std * rng.normal(shape)


class GridSampler(Sampler):
    """Base of samplers on a time grid: a subclass is a frozen dataclass of settings with the generator `states`.

    Attributes:
        steps: number of times in the grid, if `times` is not given.
        spacing: spacing of the grid.
        times: the grid; an increasing pair of times is a jump up by the forward process.
    """

    steps: Steps
    spacing: Spacing
    times: Times

    @abstractmethod
    def states(self, prior: Prior, x: Tensor, times: Tensor, rng: NoiseStream) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (t, x) after each step; the last x is the sample.

        Args:
            prior: counts its evaluations.
            x: the state at the first time, (B, C, H, W), not constrained.
            times: the grid, float64 (N,).
        """

    def draw(
        self, prior: Prior, shape: tuple[int, ...], rng: NoiseStream, callback: Callback | None, start: State | None
    ) -> Samples:
        times = time_grid(prior.sde, self.spacing, self.steps, self.times, None if start is None else start.t)
        counted, x = CountedPrior(prior), self.initial_state(prior, shape, times[0], rng, start)
        with reported(callback, len(times), float(times[0]), x) as report:
            for t, state in self.states(counted, x, times, rng):
                report(float(t), state, counted.nfe)
        return counted.samples(state)


def constrain(prior: Prior, x: Tensor, t: Tensor, rng: NoiseStream) -> Tensor:
    """Replace the observed components of the state x at time t by the observation; draw noise only if needed."""
    return prior.constrain(x, t, rng.like(x)) if prior.constrains else x


def jump(prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
    """Return the state at time s > t by the forward process, with fresh noise."""
    return prior.sde.diffuse(x, t, s, rng.like(x))


def last_state(prior: Prior, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Return the last state of a sampler: the finished denoised mean of the state x at time t, at time 0."""
    return torch.zeros_like(t), prior.finish(prior.denoise(x, t))


class CountedPrior(PriorWrapper):
    """The prior of one run, which counts the calls of `noise`."""

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        self.calls = 0

    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        self.calls += 1
        return self.prior.noise(x, t, *maps)

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
    """Yield a function that reports the end of each step, to the callback and as progress; so do evaluations within.

    Args:
        steps: total number of steps. None if it is unknown: reports from within evaluations then repeat the fraction.
        t, x: time and state at the beginning.

    Both kinds of reports raise Cancelled if the callback returns False.
    """
    progress, outer = Progress(0.0, 0, steps, t, x, 0), reporter()

    def send(**changes: Any) -> None:
        nonlocal progress
        progress = replace(progress, **changes)
        if callback is not None and says_stop(callback(progress)):
            raise Cancelled(f"stopped after step {progress.step}")
        outer(progress.fraction)

    def report_evaluation(share: float) -> None:
        # Each evaluation of a step, and a backward pass, counts from 0 again, but the fraction must not fall.
        fraction = 0.0 if steps is None else (progress.step + share) / steps
        send(fraction=max(progress.fraction, fraction))

    def report(t: float, x: Tensor, nfe: int, fraction: float = 0.0) -> None:
        step = progress.step + 1
        send(step=step, fraction=fraction if steps is None else step / steps, t=t, x=x, nfe=nfe)

    with reporting(report_evaluation):
        yield report
