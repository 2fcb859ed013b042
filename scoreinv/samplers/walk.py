"""The walk from noise to a picture that samplers share; what differs is a sampler's `step`.

A grid of N times t_1 > ... > t_N is N steps: each time is visited, the last one by the denoised mean (Tweedie's
formula), which is the sample. A time higher than the one before it is a jump up, made by the forward process
(resampling, Lugmayr et al. 2022, RePaint). A conditional prior constrains the state wherever it arrives: at the start,
after each step, and after each jump.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.prior import Prior
from scoreinv.samplers.base import Callback, CountedPrior, Progress, Samples, State, diffuse, report
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import Spacing, check_times
from scoreinv.sdes import SDE


class Walk:
    """One walk of a sampler: what its steps have at hand.

    Attributes:
        prior: what is sampled; its evaluations are counted.
        times: to be visited, float64 (N,).
        noise: the streams of the samples.
        memory: what the sampler keeps from step to step; None at the start and after a jump up.
    """

    def __init__(
        self, prior: Prior, times: Tensor, noise: NoiseStream, callback: Callback | None, *, hold_noise: bool
    ) -> None:
        self.prior = CountedPrior(prior)
        self.times = times
        self.noise = noise
        self.callback = callback
        self.memory: Any = None
        self._hold_noise = hold_noise
        self._held: Tensor | None = None

    @property
    def sde(self) -> SDE:
        return self.prior.sde

    def draw(self, x: Tensor) -> Tensor:
        """Standard normal noise of the shape of x."""
        return self.noise.normal(x.shape, x.device, x.dtype)

    def constraint_noise(self, x: Tensor) -> Tensor | None:
        """Noise to constrain states like x with: fresh, or the same on the whole walk; None where nothing is."""
        if not self.prior.constrains:
            return None
        if self._held is None or not self._hold_noise:
            self._held = self.draw(x)
        return self._held

    def constrain(self, x: Tensor, t: Tensor) -> Tensor:
        """The state x at time t, with what is observed replaced by the observation."""
        z = self.constraint_noise(x)
        return x if z is None else self.prior.constrain(x, t, z)

    def report(self, step: int, t: Tensor | float, x: Tensor) -> None:
        """Tell the callback that so many steps are done."""
        steps = len(self.times)
        report(self.callback, Progress(step / steps, step, steps, float(t), x, self.prior.evaluations))


class WalkingSampler(ABC):
    """Base of samplers: checks and begins a walk, which a subclass carries out in `run`."""

    @property
    @abstractmethod
    def eta(self) -> float:
        """How much noise a step adds, from 0 (none: an ODE) to 1 (the reverse SDE)."""

    @property
    def holds_noise(self) -> bool:
        """Whether constraints have one noise on the whole walk, as an ODE's must; else each has fresh noise."""
        return self.eta == 0

    @abstractmethod
    def grid(self, prior: Prior, start: State | None) -> Tensor:
        """The times of the walk, float64 (N,)."""

    @abstractmethod
    def run(self, walk: Walk, x: Tensor) -> Samples:
        """The samples, from the state x at the first time."""

    def begin(self, walk: Walk, shape: tuple[int, ...], start: State | None) -> Tensor:
        """The state at the first time: the given one, or a draw from the SDE's prior; not constrained yet."""
        if start is None:
            if walk.times[0] < 1:
                raise InputError(f"a sampler that begins at t = {float(walk.times[0])} needs the state to start from")
            return walk.sde.prior_std * walk.noise.normal(shape)
        if tuple(start.x.shape) != tuple(shape):
            raise InputError(f"the starting state has shape {tuple(start.x.shape)}, not {tuple(shape)}")
        return start.x

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
        """Samples of shape (B, C, H, W), on the device and in the dtype of `rng`, or of `start` when given.

        See `Sampler.sample`. noise: what `rng` was called before version 0.2.
        """
        if rng is None:
            if noise is None:
                raise InputError("a sampler needs a stream of noise for each sample: rng=NoiseStream(seed, count)")
            warnings.warn("the stream of noise of a sampler is now called rng", DeprecationWarning, stacklevel=2)
            rng = noise
        walk = Walk(prior, self.grid(prior, start), rng, callback, hold_noise=self.holds_noise)
        return self.run(walk, self.begin(walk, shape, start))


class GridSampler(WalkingSampler):
    """Base of samplers that visit the times of a grid; a subclass is a frozen dataclass that says how it steps.

    Attributes:
        steps: times in the grid, when `times` is not given.
        spacing: how the grid is spread.
        times: the grid itself; times may jump up, by the forward process.
    """

    steps: int
    spacing: Spacing
    times: tuple[float, ...] | None

    @abstractmethod
    def step(self, walk: Walk, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """The state at time s < t from the state x at time t; t and s are float64 of shape ()."""

    def end(self, walk: Walk, x: Tensor, t: Tensor) -> Tensor:
        """The sample from the state x at the last time: its denoised mean."""
        return walk.prior.denoise(x, t)

    def grid(self, prior: Prior, start: State | None) -> Tensor:
        return time_grid(prior.sde, self.spacing, self.steps, self.times, start)

    def run(self, walk: Walk, x: Tensor) -> Samples:
        x = walk.constrain(x, walk.times[0])
        for done, (t, s) in enumerate(pairwise(walk.times), 1):
            if s < t:
                x = self.step(walk, x, t, s)
            else:
                x = diffuse(walk.sde, x, t, s, walk.draw(x))
                walk.memory = None
            x = walk.constrain(x, s)
            walk.report(done, s, x)
        result = walk.prior.samples(self.end(walk, x, walk.times[-1]))
        walk.report(len(walk.times), 0.0, result.x0)
        return result


def time_grid(sde: SDE, spacing: Spacing, steps: int, times: tuple[float, ...] | None, start: State | None) -> Tensor:
    """The times to visit, float64 (N,): `times` as given, or `steps` of them from the start by `spacing`.

    Raises InputError when there are none, they do not move, lie outside of [0, 1], or begin elsewhere than `start`.
    """
    if times is None:
        if steps < 1:
            raise InputError(f"at least one step is needed, not {steps}")
        check_start(sde, start)
        return check_times(sde, spacing(sde, steps, 1.0 if start is None else start.t))
    grid = check_times(sde, torch.tensor(times, dtype=torch.float64))
    if start is not None and grid[0] != start.t:
        raise InputError(f"the grid begins at t = {float(grid[0])}, the given state is at t = {start.t}")
    return grid


def check_start(sde: SDE, start: State | None) -> None:
    """Raise InputError for a start whose time is not above `sampling_end`."""
    if start is not None and start.t <= sde.sampling_end:
        raise InputError(f"the start must be later than t = {sde.sampling_end}, not {start.t}")
