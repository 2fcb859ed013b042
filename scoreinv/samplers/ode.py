"""The probability-flow ODE: deterministic sampling, encoding, decoding (Song et al. 2021, section 4.3, D.2).

    dx/dt = f(x, t) - g(t)^2/2 grad log p_t(x) = (d ln alpha/dt) x + g(t)^2 / (2 sigma(t)) noise(x, t)

In the noise level s = sigma / alpha, where all SDEs look alike, the flow of x / alpha is d(x/alpha)/ds = noise. It is
solved in variables in which it is slow everywhere: the state

    y = (x / alpha - m) / r,   r = sqrt(s^2 + c^2),   dy/ds = (noise - s y / r) / r,

with m and c about the mean and the standard deviation of pictures, has unit variance at every s, and moves only where
the data differ from a Gaussian (Karras et al. 2022, table 1, has the same scaling). The clock log((s + d) / (s + k)) is
lambda = log(alpha / sigma), but for its sign, between d and k, and passes the ends quickly: at noise below a grey
level, and far above the range of pictures, nothing happens. Adaptive steps in t would follow the unevenness of the SDE
as well, and adaptive steps in lambda the ends: 90 to 150 evaluations for mixtures of Gaussians at the default
tolerance, where these variables take 60 to 100.

The solver's state is float64 and the prior is given states in the dtype of the picture (and has no TF32). One whose
network computes in bfloat16 takes many times the steps, since its rounding looks like the solution's own unevenness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from scoreinv.prior import Prior, check_prior
from scoreinv.samplers.base import Callback, Progress, Samples, State, initial_state
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.runge_kutta import rk4, rk45
from scoreinv.samplers.times import time_grid, uniform_times
from scoreinv.sdes import TRAINING_START, as_time, broadcast, time_at
from scoreinv.system.devices import true_float32
from scoreinv.system.errors import Cancelled, InputError, ScoreinvError
from scoreinv.system.options import Number, Whole, check, check_callback, check_settings, says_stop
from scoreinv.system.reporting import reporting

_SPREAD, _FINEST, _COARSEST = 0.5, 0.01, 10.0  # c, d and k for pictures on [-1, 1]
_FARTHEST = 1e7
"""Noise level, likewise, from which on the flow moves y by a millionth, and where rounding moves it as much."""


@dataclass(frozen=True)
class ODE:
    """Sampling by the probability-flow ODE with adaptive RK45, each sample with its own error control.

    A conditional prior constrains the states that it is evaluated at, with one noise for the whole trajectory. The end
    is denoised by Tweedie's formula, which is one more evaluation.

    Attributes:
        rtol, atol: relative and absolute tolerance of a step, as scipy's RK45 has them, for states of unit variance.
    """

    rtol: Annotated[float, Number(None)] = 1e-5
    atol: Annotated[float, Number(None)] = 1e-5

    def __post_init__(self) -> None:
        check_settings(self)

    @torch.no_grad()
    @true_float32()
    def sample(
        self,
        prior: Prior,
        shape: tuple[int, ...],
        *,
        rng: NoiseStream,
        callback: Callback | None = None,
        start: State | None = None,
    ) -> Samples:
        """Samples of shape (B, C, H, W); see `Sampler.sample`."""
        times = time_grid(prior.sde, uniform_times, 2, start=None if start is None else start.t)
        x = initial_state(prior, shape, times[0], rng, start)
        z = rng.like(x) if prior.constrains else None
        begin, end = times.tolist()
        found = flow(prior, x, begin, end, constraint=z, rtol=self.rtol, atol=self.atol, callback=callback)
        x = found.x.to(x) if z is None else prior.constrain(found.x.to(x), times[1], z)
        calls = found.nfe + 1
        x0 = prior.finish(prior.denoise(x, end))
        return Samples(x0, calls * prior.evaluations_per_noise, calls * prior.vjps_per_noise)


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
    """The latent code of x (B, C, H, W) in the model's range: the ODE from t = 1e-5 to 1.

    Args:
        steps: of a fixed grid, four evaluations each, 16 being good; None for adaptive RK45.
        rtol, atol: tolerances of RK45, each sample with its own error control.
        callback: called after each step and at each window; may stop the work.

    Returns the code with the evaluations that it took. Raises InputError for what is no such picture or setting,
    ScoreinvError where the prior is not finite, and Cancelled when the callback stopped.
    """
    end = flow(prior, x, TRAINING_START, 1.0, steps=steps, rtol=rtol, atol=atol, callback=callback)
    return Latent(end.x.to(x), end.nfe * prior.evaluations_per_noise)


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
    """The picture of a latent code z (B, C, H, W): the ODE from t = 1 to `end`, not denoised.

    Args:
        temperature: the code is multiplied by it, at least 0; below 1 pictures are smoother and more alike (Song et al.
            2021, D.4).
        end: a time from 0 to below 1 at which the SDE has noise. None: the SDE's `sampling_end`, as the paper's
            samples; `TRAINING_START`, where `encode` begins, makes this its inverse.
        steps, rtol, atol: as in `encode`.

    Raises InputError for a negative temperature, and an end that is not such.
    """
    check_prior(prior)
    check("temperature", temperature, Number(0))
    if end is not None:
        check("end", end, Number(-math.inf))
    check_states(z)
    end = prior.sde.sampling_end if end is None else end
    if not (0 <= end < 1 and prior.sde.sigma(as_time(end)) > 0):
        raise InputError(f"decoding ends at a time between 0 and 1, not {end}")
    found = flow(prior, temperature * z, 1.0, end, steps=steps, rtol=rtol, atol=atol, callback=callback)
    return Samples(found.x.to(z), found.nfe * prior.evaluations_per_noise, found.nfe * prior.vjps_per_noise)


@dataclass(frozen=True)
class Flowed:
    """Where the flow ended.

    Attributes:
        x: the states, (B, C, H, W), float64.
        log_volume: log |det dx(end)/dx(start)|, the integral of the divergence, float64 (B,); 0 without probes.
        nfe: evaluations of the noise prediction for each sample, int64 (B,).
    """

    x: Tensor
    log_volume: Tensor
    nfe: Tensor


@torch.no_grad()
@true_float32()
def flow(
    prior: Prior,
    x: Tensor,
    start: float,
    end: float,
    *,
    constraint: Tensor | None = None,
    probes: Tensor | None = None,
    steps: int | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    callback: Callback | None = None,
) -> Flowed:
    """The states x (B, C, H, W) at time `start`, carried by the probability flow to time `end`.

    Args:
        constraint: noise of the shape of x, for a prior to constrain the states with that it is evaluated at; None:
            they are not constrained.
        probes: (K, B, C, H, W), for the volume: the divergence is the mean of e^T (dv/dx) e over them.
        steps: of the fixed grid, four evaluations each; None for RK45 with error control for each sample.
        rtol, atol: tolerances of RK45, for states of unit variance.

    Raises InputError for states that are not such, fewer than one step, and tolerances that are not positive,
    ScoreinvError where the prior is not finite.
    """
    check_prior(prior)
    check_states(x)
    if steps is not None:
        check("steps", steps, Whole(1))
    check("rtol", rtol, Number(None))
    check("atol", atol, Number(None))
    check_callback(callback)
    drift = _Drift(prior, constraint)
    first, last = drift.clock(start), drift.clock(end)
    values = x[0].numel()
    progress = Progress(0.0, 0, steps, start, x, 0)

    def call_back(share: float = 0.0) -> None:  # within a step its share is unknown
        if callback is not None and says_stop(callback(progress)):
            raise Cancelled(f"stopped after step {progress.step}")

    def function(clock: Tensor, y: Tensor) -> Tensor:
        state = y[:, :values].reshape(-1, *x.shape[1:]).to(x)
        if probes is None:
            slope = _flat(drift.rate(state, clock)).to(y)
        else:
            slope = torch.cat([_flat(each) for each in drift.rate_and_divergence(state, clock, probes)], 1).to(y)
        if not slope.isfinite().all():
            raise ScoreinvError("the prior is not finite along the probability-flow ODE")
        return slope

    def monitor(clock: Tensor, y: Tensor, nfe: Tensor) -> None:
        nonlocal progress
        mean = clock.mean()
        t = float(time_at(prior.sde, drift.level(mean)))
        state = drift.unscaled(y[:, :values], t).reshape(x.shape).to(x)
        evaluations = prior.evaluations_per_noise * int(nfe.max())
        fraction = (float(mean) - first) / (last - first)
        progress = Progress(fraction, progress.step + 1, steps, t, state, evaluations)
        call_back()

    y = drift.scaled(_flat(x), start)
    if probes is not None:
        y = torch.nn.functional.pad(y, (0, 1))
    with reporting(call_back):
        if steps is None:
            y, nfe = rk45(function, y, first, last, rtol, atol, monitor)
        else:
            y, nfe = rk4(function, y, first, last, steps, monitor)
    volume = y.new_zeros(len(y)) if probes is None else y[:, values]
    volume = volume + values * (drift.log_scale(end) - drift.log_scale(start))
    return Flowed(drift.unscaled(y[:, :values], end).reshape(x.shape), volume, nfe)


def check_states(x: Tensor) -> None:
    """Raise InputError unless x is a float tensor (B, C, H, W)."""
    if not (isinstance(x, Tensor) and x.ndim == 4 and x.is_floating_point()):
        found = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"pictures are a float tensor (B, C, H, W) in the model's range (`to_model`), not {found}")


def _flat(x: Tensor) -> Tensor:
    """The solver's state (B, D) in float64; on the CPU where the device has no float64."""
    x = x.cpu() if x.device.type == "mps" else x
    return x.flatten(1).double()


class _Drift:
    """The probability flow in the variables of this module: a clock in place of the time, and the scaled state y.

    constraint: noise to constrain the states with that the prior is evaluated at; None: they are not constrained.
    """

    def __init__(self, prior: Prior, constraint: Tensor | None) -> None:
        self.prior, self.sde, self.constraint = prior, prior.sde, constraint
        low, high = prior.data_range
        self.middle, self.unit = (low + high) / 2, (high - low) / 2

    def clock(self, t: float) -> float:
        s, finest, coarsest = (self.unit * level for level in (_FARTHEST, _FINEST, _COARSEST))
        s = min(s, float(self.sde.noise_to_signal(as_time(t))))
        return -math.log1p((coarsest - finest) / (s + finest))

    def level(self, clock: Tensor) -> Tensor:
        """The noise level s of a clock, its inverse."""
        return self.unit * (_COARSEST * clock.exp() - _FINEST) / -clock.expm1()

    def log_scale(self, t: float) -> float:
        """ln(alpha r), of x = alpha r y + alpha m."""
        s, alpha = float(self.sde.noise_to_signal(as_time(t))), float(self.sde.alpha(as_time(t)))
        return math.log(alpha * math.hypot(s, self.unit * _SPREAD))

    def scaled(self, x: Tensor, t: float) -> Tensor:
        return (x - float(self.sde.alpha(as_time(t))) * self.middle) / math.exp(self.log_scale(t))

    def unscaled(self, y: Tensor, t: float) -> Tensor:
        return y * math.exp(self.log_scale(t)) + float(self.sde.alpha(as_time(t))) * self.middle

    def rate(self, y: Tensor, clock: Tensor) -> Tensor:
        """dy/dclock, the shape and dtype of y (B, C, H, W), at clocks (B,)."""
        s = self.level(clock)
        t = time_at(self.sde, s)
        r = (s.square() + (self.unit * _SPREAD) ** 2).sqrt()
        scale, shift = broadcast(self.sde.alpha(t) * r, y), broadcast(self.sde.alpha(t) * self.middle, y)
        x = scale * y + shift
        if self.constraint is not None:
            x = self.prior.constrain(x, t, self.constraint)
            y = (x - shift) / scale
        pace = (s + self.unit * _FINEST) * (s + self.unit * _COARSEST) / (self.unit * (_COARSEST - _FINEST))
        return broadcast(pace / r, y) * (self.prior.noise(x, t) - broadcast(s / r, y) * y)

    def rate_and_divergence(self, y: Tensor, clock: Tensor, probes: Tensor) -> tuple[Tensor, Tensor]:
        """The rate (B, C, H, W) and the mean over the probes (K, B, C, H, W) of e^T (drate/dy) e, (B, 1)."""
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            rate = self.rate(y, clock)
        divergence = y.new_zeros(len(y), 1)
        for k, probe in enumerate(probes, 1):
            product = torch.autograd.grad(rate, y, probe, retain_graph=k < len(probes))[0]
            divergence += (product * probe).flatten(1).sum(1, keepdim=True)
        return rate.detach(), divergence / len(probes)
