"""What every sampler shares: where it starts, the grid it walks, what it counts, reports and returns.

A grid of N times t_1 > ... > t_N is N steps: each time is visited, the last one by the denoised mean (Tweedie's
formula), which is the sample. A time higher than the one before it is a jump up, made by the forward process
(resampling, Lugmayr et al. 2022, RePaint).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scoreinv.boxes import Box
from scoreinv.errors import Cancelled, InputError
from scoreinv.prior import Prior, PriorWrapper
from scoreinv.samplers.noise import NoiseStream
from scoreinv.samplers.times import Spacing, check_times
from scoreinv.sdes import SDE, as_time, broadcast, time_at


@dataclass(frozen=True)
class Samples:
    """What a sampler returns.

    Attributes:
        x0: the samples, (B, C, H, W), in the model's range, not clipped.
        nfe: evaluations of the network for each sample, int64 (B,), the final denoising included.
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
    """What a callback is told after each step.

    Attributes:
        fraction: share of the work that is done, in (0, 1].
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
"""Told of each step; the work stops with `Cancelled` when it returns False."""


def report(callback: Callback | None, progress: Progress) -> None:
    """Tell the callback; raises Cancelled when it returns False."""
    if callback is not None and callback(progress) is False:
        raise Cancelled(f"stopped after step {progress.step}")


class CountedPrior(PriorWrapper):
    """A prior that counts the calls of `noise`."""

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        self.calls = 0

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        self.calls += 1
        return self.prior.noise(x, t)

    def windows(self, boxes: Sequence[Box], samples: int) -> Prior:
        return self.prior.windows(boxes, samples)

    def rows(self, index: Tensor) -> Prior:
        return self.prior.rows(index)

    def samples(self, x0: Tensor) -> Samples:
        """The result, with what the calls took."""
        calls = torch.full((len(x0),), self.calls)
        return Samples(self.finish(x0), calls * self.evaluations_per_noise, calls * self.vjps_per_noise)


def time_grid(
    sde: SDE, spacing: Spacing, steps: int, times: tuple[float, ...] | None, start: State | None, release: float = 0.0
) -> Tensor:
    """The times to visit, float64 (N,): `times` as given, or `steps` of them from the start by `spacing`.

    release: that of the prior; a grid by spacing visits it, if it lies inside, halfway at the latest.

    Raises InputError when there are none, they do not move, lie outside of [0, 1], or begin elsewhere than `start`.
    """
    if times is None:
        if steps < 1:
            raise InputError(f"at least one step is needed, not {steps}")
        check_start(sde, start)
        grid = check_times(sde, spacing(sde, steps, 1.0 if start is None else start.t))
        return _through(sde, grid, release) if len(grid) > 2 and grid[-1] < release < grid[0] else grid
    grid = check_times(sde, torch.tensor(times, dtype=torch.float64))
    if start is not None and grid[0] != start.t:
        raise InputError(f"the grid begins at t = {float(grid[0])}, the given state is at t = {start.t}")
    return grid


def _through(sde: SDE, grid: Tensor, release: float) -> Tensor:
    """The grid stretched on either side, in the logarithm of the noise level, so that it visits `release`.

    It does so where it is nearest, but halfway at the latest: the observation tells a draw no more from there on, and
    so the steps that are left decide how well it is one.
    """
    level, passed = sde.noise_to_signal(grid).log(), sde.noise_to_signal(as_time(release)).log()
    at = max(1, min(int((level - passed).abs().argmin()), len(grid) // 2, len(grid) - 2))
    above = level[0] + (level[1:at] - level[0]) * (passed - level[0]) / (level[at] - level[0])
    below = level[-1] + (level[at + 1 : -1] - level[-1]) * (passed - level[-1]) / (level[at] - level[-1])
    above, below = (time_at(sde, part.exp()) for part in (above, below))
    return torch.cat([grid[:1], above, as_time([release]), below, grid[-1:]])


def check_start(sde: SDE, start: State | None) -> None:
    """Raise InputError for a start that is not earlier in the reverse process than its end."""
    if start is not None and start.t <= sde.sampling_end:
        raise InputError(f"the start must be later than t = {sde.sampling_end}, not {start.t}")


def check_noise(prior: Prior, stochasticity: float) -> None:
    """Raise InputError for a sampler without noise of its own where a constraint lets go before the end.

    From there on the state is known, and one picture would be all that such a sampler could draw.
    """
    if stochasticity == 0 and prior.constrains and prior.release > prior.sde.sampling_end:
        raise InputError(
            "an observation with noise needs a sampler that adds noise: stochasticity 1 (or another method)"
        )


def initial_state(
    prior: Prior, shape: tuple[int, ...], t: Tensor, noise: NoiseStream, start: State | None = None
) -> Tensor:
    """The given state, or a draw from the SDE's prior; not constrained yet. Raises InputError for a wrong shape."""
    if start is None:
        if t < 1:
            raise InputError(f"a sampler that begins at t = {float(t)} needs the state to start from")
        return prior.sde.prior_std * noise.normal(shape)
    if tuple(start.x.shape) != tuple(shape):
        raise InputError(f"the starting state has shape {tuple(start.x.shape)}, not {tuple(shape)}")
    return start.x


def fresh(prior: Prior, x: Tensor, noise: NoiseStream) -> Tensor | None:
    """Noise for the constraint of states like x; None for a prior that has none."""
    return noise.normal(x.shape, x.device, x.dtype) if prior.constrains else None


def constrained(prior: Prior, x: Tensor, t: Tensor, z: Tensor | None) -> Tensor:
    """The state at time t, constrained with the noise z if there is any."""
    return x if z is None else prior.constrain(x, t, z)


def diffuse(sde: SDE, x: Tensor, s: Tensor, t: Tensor, z: Tensor) -> Tensor:
    """A draw from the forward kernel p(x_t | x_s = x), s < t, with standard normal z."""
    ratio, variance = forward_kernel(sde, s, t)
    return broadcast(ratio, x) * x + broadcast(variance.sqrt(), x) * z


def forward_kernel(sde: SDE, s: float | Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
    """Scale a and variance G^2 of p(x_t | x_s) = N(a x_s, G^2 I), s < t.

    a = alpha(t) / alpha(s), G^2 = sigma(t)^2 - a^2 sigma(s)^2: for VE the steps of SMLD, sigma_i^2 - sigma_{i-1}^2; for
    VP those of DDPM, a = sqrt(1 - beta_i), G^2 = beta_i (Song et al. 2021, appendix B, E).
    """
    s, t = as_time(s), as_time(t)
    ratio = sde.alpha(t) / sde.alpha(s)
    variance = sde.sigma(t).square() - (ratio * sde.sigma(s)).square()
    return ratio, variance.clamp(min=0)
