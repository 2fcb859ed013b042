"""The probability-flow ODE: deterministic sampling, encoding, decoding (Song et al. 2021, section 4.3, D.2).

    dx/dt = f(x, t) - g(t)^2/2 grad log p_t(x) = (d ln alpha/dt) x + g(t)^2 / (2 sigma(t)) noise(x, t)

In the noise level s = sigma / alpha, where all SDEs are alike, the flow of x / alpha is d(x/alpha)/ds = noise. It is
solved in variables that change slowly everywhere. The scaled state

    y = (x / alpha - m) / r,   r = sqrt(s^2 + c^2),   dy/ds = (noise - s y / r) / r,

with m and c near the mean and the standard deviation of pictures, has unit variance at every s. It moves only as far as
the data differ from a Gaussian (the scaling of Karras et al. 2022, table 1). The clock is log((s + d) / (s + k)).
Between d and k it is about log s up to a constant. Below d, about a grey level, and above k, far above the range of
pictures, y hardly moves, and the clock is bounded. At the default tolerance, Gaussian fields and mixtures
take 44 to 92 evaluations; pictures of 32x32 (`cifar10`) take 87 to 128.

The solver's state is float64; the prior gets states in the dtype of the picture, without TF32. A network that computes
in bfloat16 takes many times the steps, since the step control mistakes its rounding for structure of the solution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.prior import Prior, check_prior
from scoreinv.samplers.base import Callback, Sampler, Samples, State, reported
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.runge_kutta import Solution, rk4, rk45
from scoreinv.samplers.times import time_grid, uniform_times
from scoreinv.sdes import TRAINING_START, as_time, broadcast, time_at
from scoreinv.system.devices import true_float32
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.system.options import Number, Whole, check, check_callback, require

_SPREAD, _FINEST, _COARSEST = 0.5, 0.01, 10.0  # c, d and k for pictures on [-1, 1]
_LARGEST_LEVEL = 1e7
"""Noise level, for pictures on [-1, 1], at which the clock stops: beyond it y moves by 1e-6, no more than rounding."""


@dataclass(frozen=True)
class ODE(Sampler):
    """Sampling by the probability-flow ODE with adaptive RK45, each sample with its own error control.

    A conditional prior constrains every evaluated state, with the same noise throughout. Tweedie's formula denoises the
    final state, which takes one more evaluation.

    Attributes:
        rtol, atol: relative and absolute tolerance of a step, as in scipy's RK45, for states of unit variance.
        steps: steps of a fixed grid, four evaluations each, instead of RK45; None: RK45.
    """

    rtol: Annotated[float, Number(None)] = 1e-5
    atol: Annotated[float, Number(None)] = 1e-5
    steps: Annotated[int | None, Whole(1)] = None

    def draw(
        self, prior: Prior, shape: tuple[int, ...], rng: NoiseStream, callback: Callback | None, start: State | None
    ) -> Samples:
        times = time_grid(prior.sde, uniform_times, 2, start=None if start is None else start.t)
        x = self.initial_state(prior, shape, times[0], rng, start)
        z = rng.like(x) if prior.constrains else None
        begin, end = times.tolist()
        found, _, nfe = self.flow(prior, x, begin, end, callback, constraint=z)
        x = found.to(x) if z is None else prior.constrain(found.to(x), times[1], z)
        with true_float32():
            x0 = prior.finish(prior.denoise(x, end))
        return Samples(x0, (nfe + 1) * prior.evaluations_per_noise, (nfe + 1) * prior.vjps_per_noise)

    @torch.no_grad()
    @true_float32()
    def flow(
        self,
        prior: Prior,
        x: Tensor,
        start: float,
        end: float,
        callback: Callback | None = None,
        *,
        constraint: Tensor | None = None,
        probes: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Move the states x (B, C, H, W) along the probability flow from time `start` to time `end`.

        Args:
            constraint: noise of the shape of x with which the prior constrains every evaluated state. None: no
                constraint.
            probes: (K, B, C, H, W), for the volume: the divergence is the mean of e^T (dv/dx) e over these.

        Returns:
            - the states at `end`, float64 (B, C, H, W);
            - log |det dx(end)/dx(start)|, float64 (B,); without probes only that of the scaling x = alpha (r y + m);
            - the number of noise predictions for each sample, int64 (B,).

        Raises InputError for invalid states, or if the prior constrains states and no constraint is given, and
        ScoreinvError if the prior is not finite.
        """
        check_prior(prior)
        check_states(x)
        check_callback(callback)
        require(
            constraint is not None or not prior.constrains,
            "a prior that replaces observed components has no density and no latent codes: take a condition that only "
            "guides, such as guidance.MMPS",
        )
        drift, values = _Drift(prior, constraint), x[0].numel()
        first, last = drift.clock(start), drift.clock(end)

        # The solver's rows are the values of y and, with probes, the integral of the divergence so far.
        def function(clock: Tensor, y: Tensor) -> Tensor:
            state = y[:, :values].reshape(-1, *x.shape[1:]).to(x)
            with torch.set_grad_enabled(probes is not None):
                rate = drift.rate(state.requires_grad_(probes is not None), clock)
            slope = _flat(rate.detach())
            if probes is not None:
                terms = [
                    (torch.autograd.grad(rate, state, probe, retain_graph=True)[0] * probe).flatten(1).sum(1, True)
                    for probe in probes
                ]
                slope = torch.cat([slope, _flat(sum(terms) / len(probes))], 1)
            if not slope.isfinite().all():
                raise ScoreinvError("the prior is not finite along the probability-flow ODE")
            return slope

        def unscaled(y: Tensor, t: float) -> Tensor:
            scale, shift = drift.scaling(as_time(t))
            return (y[:, :values] * float(scale) + float(shift)).reshape(x.shape)

        (scale, shift), (last_scale, _) = (drift.scaling(as_time(t)) for t in (start, end))
        y = (_flat(x) - float(shift)) / float(scale)
        if probes is not None:
            y = F.pad(y, (0, 1))
        nfe = torch.zeros(len(y), dtype=torch.int64)
        solution: Solution = iter(())
        if first == last:
            pass  # both ends are at noise levels where y does not move
        elif self.steps is None:
            solution = rk45(function, y, first, last, self.rtol, self.atol)
        else:
            solution = rk4(function, y, first, last, self.steps)
        with reported(callback, self.steps, start, x) as report:
            for clock, y, nfe in solution:
                mean = clock.mean()
                t = float(time_at(prior.sde, drift.level(mean)))
                evaluations = prior.evaluations_per_noise * int(nfe.max())
                report(t, unscaled(y, t).to(x), evaluations, (float(mean) - first) / (last - first))
        volume = y.new_zeros(len(y)) if probes is None else y[:, values]
        return unscaled(y, end), volume + values * math.log(last_scale / scale), nfe


@dataclass(frozen=True)
class Latent:
    """The latent code of a picture under the probability-flow ODE.

    Attributes:
        z: the state at t = 1, (B, C, H, W).
        nfe: evaluations of the network for each sample, int64 (B,).
    """

    z: Tensor
    nfe: Tensor


@torch.no_grad()
def encode(
    prior: Prior,
    x: Tensor,
    *,
    steps: int | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    callback: Callback | None = None,
) -> Latent:
    """Return the latent code of x (B, C, H, W) in the model's range, by the ODE from t = 1e-5 to 1.

    Args:
        steps: steps of a fixed grid, four evaluations each; 16 are enough in general. None: adaptive RK45.
        rtol, atol: tolerances of RK45, which controls the error of each sample separately.
        callback: called after each step and each window; may stop the work.

    Raises InputError for invalid pictures or settings, ScoreinvError if the prior is not finite, and Cancelled if the
    callback stopped the work.
    """
    z, _, nfe = ODE(rtol, atol, steps).flow(prior, x, TRAINING_START, 1.0, callback)
    return Latent(z.to(x), nfe * prior.evaluations_per_noise)


@torch.no_grad()
def decode(
    prior: Prior,
    z: Tensor,
    *,
    temperature: float = 1.0,
    end: float | None = None,
    steps: int | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    callback: Callback | None = None,
) -> Samples:
    """Return the picture of a latent code z (B, C, H, W), by the ODE from t = 1 to `end`, without denoising.

    Args:
        temperature: factor of the code, at least 0; below 1 pictures are smoother and more alike (Song et al. 2021,
            D.4).
        end: a time in [0, 1) at which the SDE has noise. None: the SDE's `sampling_end`, as in the paper. With
            `TRAINING_START`, `decode` is the inverse of `encode`.
        steps, rtol, atol: as in `encode`.

    Raises InputError for a negative temperature or an invalid end.
    """
    check_prior(prior)
    check("temperature", temperature, Number(0))
    if end is not None:
        check("end", end, Number(-math.inf))
    check_states(z)
    end = prior.sde.sampling_end if end is None else end
    if not (0 <= end < 1 and prior.sde.sigma(as_time(end)) > 0):
        raise InputError(f"decoding ends at a time between 0 and 1, not {end}")
    x, _, nfe = ODE(rtol, atol, steps).flow(prior, temperature * z, 1.0, end, callback)
    return Samples(x.to(z), nfe * prior.evaluations_per_noise, nfe * prior.vjps_per_noise)


def check_states(x: Tensor) -> None:
    """Raise InputError unless x is a float tensor (B, C, H, W) with values."""
    if not (isinstance(x, Tensor) and x.ndim == 4 and x.is_floating_point() and x.numel()):
        found = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise InputError(
            f"pictures must be a non-empty float tensor (B, C, H, W) in the model's range (`to_model`), not {found}"
        )


def _flat(x: Tensor) -> Tensor:
    """Return the solver's state (B, D) in float64, on the CPU if the device has no float64."""
    x = x.cpu() if x.device.type == "mps" else x
    return x.flatten(1).double()


class _Drift:
    """The probability flow in the clock and the scaled state y of this module.

    Args:
        prior: the prior.
        constraint: noise with which the prior constrains every evaluated state. None: no constraint.

    Attributes:
        middle, spread, finest, coarsest, largest: m, c, d, k and `_LARGEST_LEVEL` in the prior's range.
    """

    def __init__(self, prior: Prior, constraint: Tensor | None) -> None:
        self.prior, self.sde, self.constraint = prior, prior.sde, constraint
        low, high = prior.data_range
        self.middle = (low + high) / 2
        levels = (_SPREAD, _FINEST, _COARSEST, _LARGEST_LEVEL)
        self.spread, self.finest, self.coarsest, self.largest = ((high - low) / 2 * level for level in levels)

    def clock(self, t: float) -> float:
        """Return log((s + d) / (s + k)) at time t."""
        s = min(self.largest, float(self.sde.noise_to_signal(as_time(t))))
        return -math.log1p((self.coarsest - self.finest) / (s + self.finest))

    def level(self, clock: Tensor) -> Tensor:
        """Return the noise level s of a clock."""
        return (self.coarsest * clock.exp() - self.finest) / -clock.expm1()

    def radius(self, s: Tensor) -> Tensor:
        """Return r."""
        return (s.square() + self.spread**2).sqrt()

    def scaling(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha r and alpha m, where x = alpha r y + alpha m, in the shape of t."""
        alpha = self.sde.alpha(t)
        return alpha * self.radius(self.sde.noise_to_signal(t)), alpha * self.middle

    def rate(self, y: Tensor, clock: Tensor) -> Tensor:
        """Return dy/dclock = ds/dclock dy/ds in the shape and dtype of y (B, C, H, W), at clocks (B,)."""
        s = self.level(clock)
        t, r = time_at(self.sde, s), self.radius(s)
        scale, shift = (broadcast(value, y) for value in self.scaling(t))
        x = scale * y + shift
        if self.constraint is not None:
            x = self.prior.constrain(x, t, self.constraint)
            y = (x - shift) / scale
        ds = (s + self.finest) * (s + self.coarsest) / (self.coarsest - self.finest)
        return broadcast(ds / r, y) * (self.prior.noise(x, t) - broadcast(s / r, y) * y)
