"""Posterior samples by a few evaluations: the probability flow of the error of the posterior mean.

At the highest noise level one evaluation returns the posterior mean m. Let w be the expected variance of its error, for
each component of each pixel. With u = x / alpha the noisy picture at the noise level s, the state

    q = (u - m) / sqrt(s^2 + w),        tan(theta) = s / sqrt(w),

has unit variance at every level, and the probability flow du/ds = noise(u, s) becomes

    dq/dtheta = -force,        force = (q sin(theta) - noise) / cos(theta).

For a Gaussian posterior with this mean and independent errors of this variance, the force is 0, and any number of steps
is exact down to the last level. Each component has its own path in theta; a known one (w = 0) does not move. The force
is extrapolated over a step from the previous one (Adams-Bashforth, second order).

The sample is the denoised mean at the last level s. There an error of standard deviation sqrt(w) is scaled by
sqrt(w / (s^2 + w)): 0.97 for 30 grey levels, 0.71 for 7 and 0.39 for 3. Continuing to s = 0, m + sqrt(w) q, would keep
all of it, including grain from overestimated errors: on scratches of held-out photographs (2 to 4 pixels) samples then
lose 1.3 dB and have 1.16 times the photographs' detail instead of 0.84.

The start is approximate: at the first level s_1 the state is m + s_1 z + e. Its mean and variances are right. The error
e is a blurred white noise, correlated over a few pixels: with independent errors, averages over several pixels would
vary too little. s_1 is several times the error, except with two evaluations, whose only level is the last. Errors that
are correlated over many pixels, as in wide holes, exceed that level: use a sampler that starts from noise (`DPMpp2M`).

The levels above the last correct large errors, such as those of edges that cross a hole. In the narrowest holes errors
are small, so a `Correction` limits these levels to the pixels that need them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.operators.pixelwise import rotated
from scoreinv.prior import Prior
from scoreinv.samplers.base import Callback, CountedPrior, Sampler, Samples, State, reported
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import Steps
from scoreinv.sdes import as_time, broadcast, time_at
from scoreinv.system.options import Number, require

_TINY = 1e-12  # avoids division by 0
START = 3.0
"""Ratio of the first noise level to the rms error."""
LAST = 0.055
"""Last noise level for pictures on [-1, 1]: seven grey levels. A lower one leaves grain after few steps; a higher one
blurs."""
LIMIT = 3.0
"""Maximum ratio of an uncorrected error to the last level. The last level cannot remove larger errors: on scratches of
held-out photographs the outliers of `detail` are 1.03 times the mean's with this limit, 1.07 times without."""


@dataclass(frozen=True, eq=False)
class Correction:
    """The pixels that a `PosteriorFlow` corrects at the levels above the last.

    Attributes:
        pixels: (B, 1, H, W) bool.
        prior: the prior at these levels; only its estimates at these pixels are used.
    """

    pixels: Tensor
    prior: Prior


@dataclass(frozen=True, eq=False)
class PosteriorFlow(Sampler):
    """Samples of a posterior with known error variance: one evaluation for the mean, the others to correct the sample.

    Attributes:
        variance: w, variance of the error of the posterior mean, (B, C, H, W), at least 0, in the prior's range.
        basis: (C, C), orthonormal; its rows are the axes of the variances.
        steps: number of evaluations including that of the mean, at least 1. With one, the sample is the mean plus e.
        reach: correlation length of the errors along each axis in pixels, as the standard deviation of a Gaussian blur;
            () for independent errors.
        mean: the posterior mean (B, C, H, W), if it is known; it replaces the first evaluation.
        last: last noise level for pictures on [-1, 1].
        correction: the pixels to correct above the last level; None: all. The error of others is at most `LIMIT` times
            the last level.
    """

    variance: Tensor
    basis: Tensor
    steps: Steps = 3
    reach: Annotated[tuple[float, ...], Number()] = ()
    mean: Tensor | None = None
    last: Annotated[float, Number(0)] = LAST
    correction: Correction | None = None

    def draw(
        self, prior: Prior, shape: tuple[int, ...], rng: NoiseStream, callback: Callback | None, start: State | None
    ) -> Samples:
        """Return samples (B, C, H, W); see `Sampler.sample`.

        Raises InputError for a `start`, and for a prior that constrains states.
        """
        require(not prior.constrains, "this sampler takes the posterior of `guidance.given`, without constraints")
        require(start is None, "this sampler starts from the posterior mean of a prior that takes the observation")
        counted, levels = CountedPrior(prior), self.levels(prior)
        variance, basis = (value.to(rng.device, rng.dtype) for value in (self.variance, self.basis))
        corrected = None if self.correction is None else self.correction.pixels.to(rng.device)
        if corrected is not None and levels:
            limited = variance.minimum((LIMIT * broadcast(levels[-1], variance)).square())
            variance = torch.where(corrected, variance, limited)
        x = prior.sde.prior_std * rng.normal(shape) if self.mean is None else self.mean
        with reported(callback, self.steps if self.mean is None else max(1, len(levels)), 1.0, x) as report:
            mean = self.mean
            if mean is None:
                mean = counted.denoise(x, 1.0)
                report(1.0, mean, counted.nfe)
            flow = _Flow(mean, variance, basis)
            q = self._start(flow, levels, rng)
            previous: tuple[Tensor, Tensor] | None = None
            for level, lower in pairwise(levels):
                s, t = broadcast(level, variance), time_at(prior.sde, level)
                u = flow.picture(q, s)
                x = broadcast(prior.sde.alpha(t), u) * u
                if self.correction is None:
                    noise = counted.noise(x, t)
                else:
                    noise = self.correction.prior.noise(x, t)
                    counted.calls += 1
                force, step = flow.force(q, noise, s), flow.angle(s) - flow.angle(broadcast(lower, variance))
                moved = q + step * _extrapolated(force, step, previous)
                q = moved if corrected is None else torch.where(corrected, moved, q)
                previous = force, step
                report(float(t.mean()), x, counted.nfe)
            if levels:
                s, t = broadcast(levels[-1], variance), time_at(prior.sde, levels[-1])
                u = flow.picture(q, s)
                x0 = u - s * counted.noise(broadcast(prior.sde.alpha(t), u) * u, t)
                report(0.0, x0, counted.nfe)
            else:
                x0 = flow.picture(q, torch.zeros_like(variance))
        return counted.samples(prior.finish(x0))

    def _start(self, flow: _Flow, levels: list[Tensor], rng: NoiseStream) -> Tensor:
        """Draw q at the first level s_1: the state deviates from m by s_1 z + e, and without levels by e."""
        shape, error = flow.mean.shape, flow.error
        first = broadcast(levels[0] if levels else torch.zeros(len(error)), error)
        white, errors = (rotated(rng.normal(shape), flow.basis) for _ in range(2))
        return (first * white + error * blurred(errors, self.reach)) / flow.norm(first).clamp_min(_TINY)

    def levels(self, prior: Prior) -> list[Tensor]:
        """Return the `steps` - 1 noise levels, float64 (B,) each, falling from `START` times the rms error to the last.

        The first is at least twice the last; a single level is the last. The rms is over unknown values, and over the
        pixels of `correction` if it is given.
        """
        variance = self.variance.cpu().double()
        if self.correction is not None:
            variance = variance * self.correction.pixels.cpu()
        variance = variance.flatten(1)
        unknown = (variance > 0).sum(1).clamp_min(1)
        low, high = prior.data_range
        lowest = prior.sde.noise_to_signal(as_time(prior.sde.sampling_end))
        last = torch.full_like(variance[:, 0], self.last * (high - low) / 2).clamp_min(float(lowest))
        first = torch.maximum(START * (variance.sum(1) / unknown).sqrt(), 2 * last)
        count = self.steps - 1
        return [last * (first / last) ** (k / max(1, count - 1)) for k in reversed(range(count))]


class _Flow:
    """The probability flow in q and theta, see the module's equations; all tensors are (B, C, H, W) or broadcast to it.

    Args:
        mean: m.
        variance: w, along the axes of `basis`.
        basis: (C, C), orthonormal.
    """

    def __init__(self, mean: Tensor, variance: Tensor, basis: Tensor) -> None:
        self.mean, self.variance, self.basis = mean, variance, basis
        self.error = variance.sqrt()

    def norm(self, s: Tensor) -> Tensor:
        """Return sqrt(s^2 + w)."""
        return (s.square() + self.variance).sqrt()

    def angle(self, s: Tensor) -> Tensor:
        """Return theta."""
        return torch.atan2(s, self.error)

    def picture(self, q: Tensor, s: Tensor) -> Tensor:
        """Return u = m + sqrt(s^2 + w) q."""
        return self.mean + rotated(self.norm(s) * q, self.basis.T)

    def force(self, q: Tensor, noise: Tensor, s: Tensor) -> Tensor:
        """Return the force, 0 for known components, given the prior's predicted noise."""
        along = rotated(noise, self.basis)
        return torch.where(self.error > 0, (q * s - self.norm(s) * along) / self.error.clamp_min(_TINY), 0.0)


def _extrapolated(force: Tensor, step: Tensor, previous: tuple[Tensor, Tensor] | None) -> Tensor:
    """Return the force at the middle of a step in theta, extrapolated from the previous force and step, if any."""
    if previous is None:
        return force
    previous_force, previous_step = previous
    return force + (force - previous_force) * step / (2 * previous_step).clamp_min(_TINY)


def blurred(white: Tensor, reach: tuple[float, ...]) -> Tensor:
    """Return white noise (B, C, H, W) with each channel blurred by a Gaussian of its reach in pixels, at unit variance.

    Padding is circular, so that the variance is the same at the border. A channel without reach stays white.
    """
    channels = list(white.unbind(1))
    for number, deviation in enumerate(reach):
        if deviation:
            # A kernel wider than a small picture would count values twice.
            radius = min(math.ceil(3 * deviation), *((side - 1) // 2 for side in white.shape[2:]))
            taps = torch.arange(-radius, radius + 1, dtype=white.dtype, device=white.device)
            taps = (-0.5 * (taps / deviation).square()).exp()
            taps = taps / taps.square().sum().sqrt()
            padded = F.pad(white[:, number : number + 1], (radius,) * 4, mode="circular")
            channels[number] = F.conv2d(F.conv2d(padded, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))[:, 0]
    return torch.stack(channels, dim=1)
