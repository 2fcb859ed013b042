"""Runge-Kutta methods for a batch of initial values; each sample is solved independently of the others.

`rk45` is Dormand-Prince 5(4) with error control for each sample: its own time, step size and count. All samples are
evaluated until the last is done; finished ones keep their state. The method and its step control are those of
scipy's RK45 (Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, II.4).
`rk4` is Kutta's 3/8 rule, of fourth order (ibid., II.1), with equal steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from scoreinv.system.errors import ScoreinvError

Function = Callable[[Tensor, Tensor], Tensor]
"""dy/dt (B, D) at times t (B,) and states y (B, D)."""
Solution = Iterator[tuple[Tensor, Tensor, Tensor]]
"""After each round of steps: times (B,), states (B, D) and evaluations (B,), int64."""

_SAFETY, _LEAST_FACTOR, _LARGEST_FACTOR = 0.9, 0.2, 10.0
"""Constants of scipy's step control: the factor between consecutive step sizes."""
_EXPONENT = 1 / 5


def rk45(function: Function, y: Tensor, start: float, end: float, rtol: float, atol: float) -> Solution:
    """Yield the solution up to y(end), from y(start) of shape (B, D), float64.

    A step is accepted if the root mean square of error / (atol + rtol |y|) over the sample is below 1.
    Raises ScoreinvError if the step size vanishes.
    """
    direction = 1.0 if end > start else -1.0
    t = torch.full((len(y),), start, dtype=torch.float64)
    slope = function(t, y)
    size = _first_step(function, t, y, slope, end, rtol, atol)
    nfe = torch.full((len(y),), 2)
    rejected = torch.zeros(len(y), dtype=torch.bool)
    while (active := t != end).any():
        t_new = t + direction * size
        t_new = torch.where(active, t_new.clamp(max=end) if direction > 0 else t_new.clamp(min=end), t)
        if (t_new == t)[active].any():
            raise ScoreinvError("the step size of the ODE solver vanished: use larger tolerances")
        y_new, slope_new, error = _step(function, t, t_new - t, y, slope)
        nfe += 6 * active
        norm = _rms(error / (atol + rtol * torch.maximum(y.abs(), y_new.abs())))
        accepted = norm < 1
        factor = (_SAFETY * norm**-_EXPONENT).clamp(min=_LEAST_FACTOR, max=_LARGEST_FACTOR)
        # No growth right after a rejection; a rejected step always shrinks.
        factor = torch.where(accepted & ~rejected, factor, factor.clamp(max=1))
        size = (t_new - t).abs() * factor
        rejected = ~accepted
        advances = accepted & active
        rows = advances.to(y.device)[:, None]
        y, slope = torch.where(rows, y_new, y), torch.where(rows, slope_new, slope)
        t = torch.where(advances, t_new, t)
        yield t, y, nfe


def rk4(function: Function, y: Tensor, start: float, end: float, steps: int) -> Solution:
    """Yield the solution up to y(end) by `steps` steps of four evaluations, from y(start) of shape (B, D), float64."""
    h = (end - start) / steps
    for step in range(steps):
        t = torch.full((len(y),), start + step * h, dtype=torch.float64)
        first = function(t, y)
        second = function(t + h / 3, y + h / 3 * first)
        third = function(t + 2 * h / 3, y + h * (second - first / 3))
        fourth = function(t + h, y + h * (first - second + third))
        y = y + h / 8 * (first + 3 * (second + third) + fourth)
        yield t + h, y, torch.full((len(y),), 4 * (step + 1))


def _step(function: Function, t: Tensor, h: Tensor, y: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the fifth-order solution at t + h, its slope, and its difference from the fourth-order solution."""
    from scipy.integrate import RK45  # slow to import; it holds the coefficients

    step, slopes = h.to(y.device)[:, None], [slope]
    for node, weights in zip(RK45.C[1:], RK45.A[1:], strict=True):
        slopes.append(function(t + node * h, y + step * _combine(weights[: len(slopes)], slopes)))
    y_new = y + step * _combine(RK45.B, slopes)
    slopes.append(function(t + h, y_new))
    return y_new, slopes[-1], step * _combine(RK45.E, slopes)


def _combine(weights: Iterable[float], slopes: list[Tensor]) -> Tensor:
    """Return the weighted sum of the slopes."""
    total = torch.zeros_like(slopes[0])
    for weight, slope in zip(weights, slopes, strict=True):
        total = total.add(slope, alpha=float(weight))
    return total


def _first_step(
    function: Function, t: Tensor, y: Tensor, slope: Tensor, end: float, rtol: float, atol: float
) -> Tensor:
    """Return the first step size of each sample (Hairer, Norsett and Wanner, II.4), (B,), by one evaluation."""
    length = (end - t).abs()
    direction = (end - t).sign()
    scale = atol + rtol * y.abs()
    d0, d1 = _rms(y / scale), _rms(slope / scale)
    h0 = torch.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / d1)
    h0 = torch.minimum(h0, length)
    probe = y + (h0 * direction).to(y.device)[:, None] * slope
    d2 = _rms((function(t + h0 * direction, probe) - slope) / scale) / h0
    steepest = torch.maximum(d1, d2)
    h1 = torch.where(steepest <= 1e-15, (h0 * 1e-3).clamp(min=1e-6), (0.01 / steepest) ** _EXPONENT)
    return torch.minimum(torch.minimum(100 * h0, h1), length)


def _rms(x: Tensor) -> Tensor:
    """Return the root mean square of each row, on the CPU like the times."""
    return x.square().mean(1).sqrt().cpu()
