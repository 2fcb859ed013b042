"""Time grids: the times that a sampler visits, from pure noise to the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from scoreinv.sdes import SDE, time_at
from scoreinv.system.errors import InputError
from scoreinv.system.options import STEPS, Number, Whole, check, require

Spacing = Callable[[SDE, int, float], Tensor]
"""(sde, steps, start) to a float64 grid of `steps` decreasing times from `start` to the SDE's `sampling_end`."""

Steps = Annotated[int, STEPS]
Times = Annotated[tuple[float, ...] | None, Number(0, 1)]
"""Fields of samplers: the number of times in the grid, and the grid."""


def uniform_times(sde: SDE, steps: int, start: float = 1.0) -> Tensor:
    """Return times spaced evenly in t: the grid of the paper's samplers."""
    return torch.linspace(start, sde.sampling_end, steps, dtype=torch.float64)


def log_times(sde: SDE, steps: int, start: float = 1.0) -> Tensor:
    """Return times spaced evenly in log(sigma / alpha) (Lu et al. 2022, DPM-Solver, section 3.3)."""
    return _even(sde, steps, start, torch.log, torch.exp)


def karras_times(sde: SDE, steps: int, start: float = 1.0) -> Tensor:
    """Return times spaced evenly in (sigma / alpha)^(1/7): denser towards the end (Karras et al. 2022, eq. 5)."""
    return _even(sde, steps, start, lambda ratio: ratio ** (1 / 7), lambda root: root**7)


def resampling_times(sde: SDE, steps: int, jump: int = 10, repeats: int = 10) -> tuple[float, ...]:
    """Return a grid with jumps up, for `PC(times=...)` with a constrained prior (RePaint, Lugmayr et al. 2022, 4.2).

    Each stretch of `jump` of the `steps` uniform times is visited `repeats` times, with a jump back to its first time
    in between. This harmonises the sampled components with the observation. Raises InputError unless the three numbers
    are at least 1.
    """
    for name, value in {"steps": steps, "jump": jump, "repeats": repeats}.items():
        check(name, value, Whole(1))
    grid = uniform_times(sde, steps).tolist()
    path = grid[:1]
    for begin in range(0, steps - 1, jump):
        stretch = grid[begin + 1 : begin + jump + 1]
        path += stretch
        for _ in range(repeats - 1):
            path += [grid[begin], *stretch]
    return tuple(path)


def time_grid(
    sde: SDE, spacing: Spacing, steps: int, times: tuple[float, ...] | None = None, start: float | None = None
) -> Tensor:
    """Return the times to visit, float64 (N,): `times`, or `steps` of them by `spacing`, from `start` or t = 1.

    Raises InputError if the grid is empty, repeats a time, leaves [0, 1], has a time without noise, or does not begin
    at `start`.
    """
    if times is not None:
        grid = torch.tensor(times, dtype=torch.float64)
    elif start is not None and start <= sde.sampling_end:
        raise InputError(f"the start must be later than t = {sde.sampling_end}, not {start}")
    else:
        grid = spacing(sde, steps, 1.0 if start is None else start)
    require(grid.ndim == 1 and len(grid) > 0, "a time grid needs at least one time")
    require(bool(((grid >= 0) & (grid <= 1)).all()), "times must lie in [0, 1]")
    require(bool((sde.sigma(grid) > 0).all()), f"times without noise: end at t = {sde.sampling_end}, not at t = 0")
    require(bool((grid[1:] != grid[:-1]).all()), "consecutive times of a grid must differ")
    if start is not None and grid[0] != start:
        raise InputError(f"the grid begins at t = {float(grid[0])}, but the start state is at t = {start}")
    return grid


def _even(
    sde: SDE, steps: int, start: float, scale: Callable[[Tensor], Tensor], inverse: Callable[[Tensor], Tensor]
) -> Tensor:
    """Return times from the start to the SDE's `sampling_end`, spaced evenly in a scale of sigma / alpha."""
    high, low = scale(sde.noise_to_signal(torch.tensor([start, sde.sampling_end], dtype=torch.float64)))
    times = time_at(sde, inverse(torch.linspace(high, low, steps, dtype=torch.float64)))
    times[0] = start
    if steps > 1:
        times[-1] = sde.sampling_end
    return times
