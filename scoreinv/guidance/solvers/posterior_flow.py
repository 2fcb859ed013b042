"""Samples from the posterior mean, by the probability flow of its error: a few evaluations.

At the highest noise level one evaluation gives the posterior mean m. Let w be the expected variance of its error per
component of each pixel. With u = x / alpha the noisy picture at the noise level s, the state

    q = (u - m) / sqrt(s^2 + w),        tan(theta) = s / sqrt(w),

has unit variance at every level, and the probability flow du/ds = noise(u, s) becomes

    dq/dtheta = -force,        force = (q sin(theta) - noise) / cos(theta).

The force is 0 for a Gaussian posterior with this mean and independent errors of this variance, so that any number of
steps is exact there, down to the last level. Each component has its own path in theta; a known one (w = 0) does not
move. The force is extrapolated over a step from the previous one (Adams-Bashforth, second order).

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
from itertools import zip_longest
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

_TINY = 1e-12
START = 3.0
"""Ratio of the first noise level to the rms error."""
LAST = 0.055
"""Last noise level for pictures on [-1, 1]: seven grey levels. A lower one leaves grain after few steps; a higher one
blurs."""


LIMIT = 3.0
"""Maximum ratio of an error that is not corrected to the last level, which cannot remove larger ones: on scratches of
held-out photographs the outliers of `detail` are 1.03 times the mean's with it, 1.07 without."""


@dataclass(frozen=True, eq=False)
class Correction:
    """The pixels that a `PosteriorFlow` corrects at the levels above the last.

    Attributes:
        pixels: (B, 1, H, W) bool.
        prior: the prior evaluated at these levels. It may be evaluated around these pixels alone.
    """

    pixels: Tensor
    prior: Prior


@dataclass(frozen=True, eq=False)
class PosteriorFlow(Sampler):
    """Samples of a posterior with known error variance, by `steps` evaluations: one for the mean, others to correct it.

    Attributes:
        variance: variance of the error of the posterior mean, (B, C, H, W), at least 0, in the prior's range.
        basis: (C, C), orthonormal; its rows are the axes of the variances.
        steps: evaluations, at least 1. With one, the sample is the mean plus an error.
        reach: correlation length of the errors along each axis in pixels, as the standard deviation of a Gaussian blur;
            () for independent errors.
        mean: the posterior mean (B, C, H, W), if it is known; None: the first evaluation.
        last: last noise level for pictures on [-1, 1].
        correction: the pixels to correct above the last level; None: all. The error of others is at most `LIMIT` times
            the last level.
    """

    constrainable = False

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

        Raises InputError for a `start`: give it a prior by `prior.given`.
        """
        require(start is None, "this sampler starts from the posterior mean of a prior that takes the observation")
        counted, sde = CountedPrior(prior), prior.sde
        variance, basis = (value.to(rng.device, rng.dtype) for value in (self.variance, self.basis))
        grid = self.levels(prior)
        corrected = None if self.correction is None else self.correction.pixels.to(rng.device)
        if corrected is not None and grid:
            limited = variance.minimum((LIMIT * broadcast(grid[-1], variance)).square())
            variance = torch.where(corrected, variance, limited)
        error = variance.sqrt()
        x = sde.prior_std * rng.normal(shape) if self.mean is None else self.mean
        with reported(callback, self.steps if self.mean is None else max(1, len(grid)), 1.0, x) as report:
            mean = self.mean
            if mean is None:
                mean = counted.denoise(x, 1.0)
                report(1.0, mean, counted.nfe)
            first = broadcast(grid[0] if grid else torch.zeros(len(error)), error)
            white, errors = (rotated(rng.normal(shape), basis) for _ in range(2))
            norm = (first.square() + variance).sqrt().clamp_min(_TINY)
            q = (first * white + error * blurred(errors, self.reach)) / norm
            x0 = mean + rotated(error * q, basis.T)
            force = way = None
            for level, lower in zip_longest(grid, grid[1:]):
                s, t = broadcast(level, error), time_at(sde, level)
                norm = (s.square() + variance).sqrt()
                u = mean + rotated(norm * q, basis.T)
                x = broadcast(sde.alpha(t), u) * u
                if lower is None or self.correction is None:
                    predicted = counted.noise(x, t)
                else:
                    predicted = self.correction.prior.noise(x, t)
                    counted.calls += 1
                x0 = u - s * predicted
                if lower is None:
                    report(0.0, x0, counted.nfe)
                    continue
                before, way_before = force, way
                way = torch.atan2(s, error) - torch.atan2(broadcast(lower, error), error)
                along = rotated(predicted, basis)
                force = torch.where(error > 0, (q * s - norm * along) / error.clamp_min(_TINY), 0.0)
                slope = force
                if before is not None:
                    slope = force + (force - before) * way / (2 * way_before).clamp_min(_TINY)
                q = q + way * slope if corrected is None else torch.where(corrected, q + way * slope, q)
                report(float(t.mean()), x, counted.nfe)
        return counted.samples(prior.finish(x0))

    def levels(self, prior: Prior) -> list[Tensor]:
        """Return the noise levels after the mean, float64 (B,) each: from a multiple of the rms error to the last."""
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
