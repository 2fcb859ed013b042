"""Diffusion times of training batches.

Objectives are expectations over uniform times, unless a focus changes that. The likelihood weight g^2 / sigma^2 of VP
and sub-VP grows as 1 / t, so few pictures of a batch would dominate its loss. Its times are therefore drawn by
importance (Song et al. 2021, "Maximum likelihood training", appendix): with s = sigma / alpha the weight is
2 d ln s / dt, so times with uniform ln s contribute equally.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import special
from torch import Tensor

from scoreinv.preconditioning import Range
from scoreinv.sdes import SDE, TRAINING_START, time_at
from scoreinv.training.config import ObjectiveConfig


def draw_times(
    objective: ObjectiveConfig, sde: SDE, data_range: Range, count: int, generator: np.random.Generator
) -> Tensor:
    """Draw times (count,), float64: uniform, by importance or focused on [1e-5, 1], or on the grid i / (steps - 1).

    Stratified times are (offset + i / count) mod 1, mapped to the interval (Kingma et al. 2021, appendix I.1).
    """
    spread = np.arange(count) / count
    uniform = (generator.random() + spread) % 1.0 if objective.stratified else generator.random(count)
    if objective.times == "discrete":
        return torch.from_numpy(np.floor(uniform * sde.steps) / (sde.steps - 1))
    if objective.weighting == "likelihood":
        low, high = _log_levels(sde)
        levels = np.exp(low + uniform * (high - low))
        return time_at(sde, torch.from_numpy(levels)).clamp(TRAINING_START, 1.0)
    if objective.focus is not None:
        mean, std = objective.focus
        levels = np.exp(mean + std * special.ndtri(uniform)) * (data_range[1] - data_range[0]) / 2
        return time_at(sde, torch.from_numpy(levels)).clamp_min(TRAINING_START)
    return torch.from_numpy(TRAINING_START + uniform * (1 - TRAINING_START))


def importance(objective: ObjectiveConfig, sde: SDE, t: Tensor) -> Tensor:
    """Return the density of uniform times over that of `draw_times` at times t: float64, the shape of t.

    This factor keeps the expectation of a loss. It is 1 except for the likelihood weighting, because a focus is meant
    to change the expectation.
    """
    if objective.weighting != "likelihood" or objective.times == "discrete":
        return torch.ones_like(t)
    low, high = _log_levels(sde)
    return 2 * (high - low) / (1 - TRAINING_START) / (sde.diffusion_squared(t) / sde.sigma(t).square())


def _log_levels(sde: SDE) -> tuple[float, float]:
    """Return ln(sigma / alpha) at the first and the last training time."""
    low, high = sde.noise_to_signal(torch.tensor([TRAINING_START, 1.0], dtype=torch.float64)).log().tolist()
    return low, high
