"""The probability flow from one time to another, adaptively or on a fixed grid, and the volume it changes by.

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

import torch
from torch import Tensor

from scoreinv.checks import check_callback, check_number, check_whole
from scoreinv.errors import InputError
from scoreinv.precision import true_float32
from scoreinv.prior import Prior, check_prior
from scoreinv.samplers.base import Callback, Progress, report
from scoreinv.samplers.runge_kutta import Monitor, rk4, rk45
from scoreinv.sdes import SDE, as_time, broadcast, time_at

_SPREAD, _FINEST, _COARSEST = 0.5, 0.01, 10.0
"""c, d and k for pictures on [-1, 1]."""
_FARTHEST = 1e7
"""Noise level, likewise, from which on the flow moves y by a millionth, and where rounding moves it as much."""


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

    Arguments:
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
        check_whole("steps", steps, None)
    check_number("rtol", rtol)
    check_number("atol", atol)
    check_callback(callback)
    path = _Path(prior.sde, prior.data_range)
    values = x[0].numel()

    def function(position: Tensor, y: Tensor) -> Tensor:
        state = y[:, :values].reshape(-1, *x.shape[1:]).to(x)
        if probes is None:
            return _flat(path.rate(prior, state, position, constraint)).to(y)
        rate, divergence = _rate_and_divergence(path, prior, state, position, probes)
        return torch.cat([_flat(rate), _flat(divergence[:, None])], 1).to(y)

    y = path.scaled(_flat(x), start)
    if probes is not None:
        y = torch.nn.functional.pad(y, (0, 1))
    ends = path.position(start), path.position(end)
    tell = _monitor(callback, x, path, ends, steps, prior.evaluations_per_noise)
    y, nfe = rk45(function, y, *ends, rtol, atol, tell) if steps is None else rk4(function, y, *ends, steps, tell)
    volume = y.new_zeros(len(y)) if probes is None else y[:, values]
    volume = volume + values * (path.log_scale(end) - path.log_scale(start))
    return Flowed(path.unscaled(y[:, :values], end).reshape(x.shape), volume, nfe)


def check_states(x: Tensor) -> None:
    """Raise InputError unless x is a float tensor (B, C, H, W)."""
    if not (isinstance(x, Tensor) and x.ndim == 4 and x.is_floating_point()):
        found = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"pictures are a float tensor (B, C, H, W) in the model's range (`to_model`), not {found}")


def _flat(x: Tensor) -> Tensor:
    """The solver's state (B, D) in float64; on the CPU where the device has no float64."""
    x = x.cpu() if x.device.type == "mps" else x
    return x.flatten(1).double()


@dataclass(frozen=True)
class _Path:
    """The variables in which the flow is solved: a position in place of the time, and a scaled state."""

    sde: SDE
    data_range: tuple[float, float]

    def position(self, t: float) -> float:
        s, finest, coarsest = (self._unit * level for level in (_FARTHEST, _FINEST, _COARSEST))
        s = min(s, self._level(t))
        return -math.log1p((coarsest - finest) / (s + finest))

    def time(self, position: Tensor) -> Tensor:
        return time_at(self.sde, self._noise_at(position))

    def log_scale(self, t: float) -> float:
        """ln of a in x = a y + b."""
        return math.log(float(self.sde.alpha(as_time(t))) * math.hypot(self._level(t), self._unit * _SPREAD))

    def scaled(self, x: Tensor, t: float) -> Tensor:
        return (x - self._shift(t)) / math.exp(self.log_scale(t))

    def unscaled(self, y: Tensor, t: float) -> Tensor:
        return y * math.exp(self.log_scale(t)) + self._shift(t)

    def rate(self, prior: Prior, y: Tensor, position: Tensor, constraint: Tensor | None = None) -> Tensor:
        """dy/dposition, the shape and dtype of y, at positions (B,); of the constrained state where there is noise."""
        s = self._noise_at(position)
        t = time_at(self.sde, s)
        r = (s.square() + (self._unit * _SPREAD) ** 2).sqrt()
        scale, shift = broadcast(self.sde.alpha(t) * r, y), broadcast(self.sde.alpha(t) * self._middle, y)
        x = scale * y + shift
        if constraint is not None:
            x = prior.constrain(x, t, constraint)
            y = (x - shift) / scale
        pace = (s + self._unit * _FINEST) * (s + self._unit * _COARSEST) / (self._unit * (_COARSEST - _FINEST))
        return broadcast(pace / r, y) * (prior.noise(x, t) - broadcast(s / r, y) * y)

    @property
    def _unit(self) -> float:
        return (self.data_range[1] - self.data_range[0]) / 2

    @property
    def _middle(self) -> float:
        return (self.data_range[0] + self.data_range[1]) / 2

    def _shift(self, t: float) -> float:
        return float(self.sde.alpha(as_time(t))) * self._middle

    def _level(self, t: float) -> float:
        return float(self.sde.noise_to_signal(as_time(t)))

    def _noise_at(self, position: Tensor) -> Tensor:
        return self._unit * (_COARSEST * position.exp() - _FINEST) / -position.expm1()


def _rate_and_divergence(
    path: _Path, prior: Prior, y: Tensor, position: Tensor, probes: Tensor
) -> tuple[Tensor, Tensor]:
    """The rate (B, C, H, W) and the mean over the probes (K, B, C, H, W) of e^T (drate/dy) e, (B,)."""
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        rate = path.rate(prior, y, position)
    divergence = torch.zeros(len(y), dtype=y.dtype, device=y.device)
    for k, probe in enumerate(probes, 1):
        product = torch.autograd.grad(rate, y, probe, retain_graph=k < len(probes))[0]
        divergence += (product * probe).flatten(1).sum(1)
    return rate.detach(), divergence / len(probes)


def _monitor(
    callback: Callback | None, x: Tensor, path: _Path, ends: tuple[float, float], steps: int | None, each: int
) -> Monitor:
    """What tells the callback of the solver's steps; each: evaluations of the network for one of the prior's noise."""
    start, end = ends
    rounds = 0

    def tell(position: Tensor, y: Tensor, nfe: Tensor) -> None:
        nonlocal rounds
        rounds += 1
        mean = position.mean()
        t = float(path.time(mean))
        state = path.unscaled(y[:, : x[0].numel()], t).reshape(x.shape).to(x)
        fraction = (float(mean) - start) / (end - start)
        report(callback, Progress(fraction, rounds, steps, t, state, each * int(nfe.max())))

    return tell
