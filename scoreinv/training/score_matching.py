"""Denoising score matching (Song et al. 2021, eq. 7 and appendix C): times, weights and the loss.

With x_t = alpha x0 + sigma z and e(x_t, t) = -sigma grad log p_t(x_t), every objective of the paper is a weight on

    |e(x_t, t) - z|^2 = sigma^2 |score(x_t, t) - grad log p_t(x_t | x0)|^2:

    paper        1                                  lambda(t) = sigma^2 (appendix C)
    likelihood   g(t)^2 / sigma^2                   lambda(t) = g^2 (Song et al. 2021, "Maximum likelihood training")
    uniform      (s^2 + sd^2) / sd^2                s = sigma / alpha, sd the preconditioning's sigma_data; the error
                                                    of the denoised picture, weighted by (s^2 + sd^2) / (s sd)^2
                                                    (Karras et al. 2022, table 1)
    residual     1 / mean of v / (s^2 + v)          of conditional priors: the error over that of the initial
                                                    estimate (F = 0), v the variance of what an observation leaves
                                                    open, for each picture

SMLD and DDPM are the paper's weight at the discrete times t = i / (N - 1) of the VE SDE and of the DDPM chain.

Objectives are expectations over uniform times, unless a focus changes that. The likelihood weight of VP and sub-VP
grows as 1 / t, so that hardly any picture of a batch would count; its times are drawn by importance (Song et al. 2021,
"Maximum likelihood training", appendix): with s = sigma / alpha it is g^2 / sigma^2 = 2 d ln s / dt, so times whose
ln s is uniform make all of them count alike.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import special
from torch import Tensor

from scoreinv.conditional.prior import expected_error
from scoreinv.preconditioning import EDM, Range, noise_level
from scoreinv.prior import Prior
from scoreinv.sdes import SDE, TRAINING_START, broadcast, time_at
from scoreinv.training.config import ObjectiveConfig


def draw_times(
    objective: ObjectiveConfig, sde: SDE, data_range: Range, count: int, generator: np.random.Generator
) -> Tensor:
    """Times (count,) of a batch, float64: on [1e-5, 1] uniform, by importance or focused, or the grid i / (steps - 1).

    Stratified times are (offset + i / count) mod 1, brought to the interval (Kingma et al. 2021, appendix I.1).
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


def weight(objective: ObjectiveConfig, prior: Prior, t: Tensor) -> Tensor:
    """Return the weight on |e - z|^2 at times t, float64, the shape of t.

    The uniform weight takes the prior's `EDM` preconditioning for sd, or `EDM()` if it has another.
    """
    if objective.weighting == "paper":
        return torch.ones_like(t)
    if objective.weighting == "likelihood":
        return _likelihood_weight(prior.sde, t)
    own = getattr(prior, "preconditioning", None)
    edm = own if isinstance(own, EDM) else EDM()
    return (noise_level(t, prior.sde, prior.data_range) / edm.sigma_data).square() + 1


def _likelihood_weight(sde: SDE, t: Tensor) -> Tensor:
    """Return g^2 / sigma^2 at times t."""
    return sde.diffusion_squared(t) / sde.sigma(t).square()


def importance(objective: ObjectiveConfig, sde: SDE, t: Tensor) -> Tensor:
    """Return the density of uniform times over that of `draw_times` at times t, float64, the shape of t.

    This factor keeps the expectation of a loss over uniform times. It is 1 except for the likelihood weighting, because
    a focus is meant to change the expectation.
    """
    if objective.weighting != "likelihood" or objective.times == "discrete":
        return torch.ones_like(t)
    low, high = _log_levels(sde)
    return 2 * (high - low) / (1 - TRAINING_START) / _likelihood_weight(sde, t)


def _log_levels(sde: SDE) -> tuple[float, float]:
    """ln(sigma / alpha) at the first and the last time of training."""
    low, high = sde.noise_to_signal(torch.tensor([TRAINING_START, 1.0], dtype=torch.float64)).log().tolist()
    return low, high


def per_image_loss(objective: ObjectiveConfig, prior: Prior, x0: Tensor, t: Tensor, z: Tensor) -> Tensor:
    """Return the weighted squared error of the noise prediction, (B,).

    Args:
        x0: pictures (B, C, H, W) in the model's range.
        t: times (B,).
        z: noise, the shape of x0.
    """
    error = prior.noise(prior.sde.perturb(x0, t, z), t) - z
    squares = error.square().flatten(1)
    loss = squares.mean(1) if objective.reduction == "mean" else 0.5 * squares.sum(1)
    if objective.weighting == "residual":
        return loss / expected_error(prior, x0, t)
    return broadcast(weight(objective, prior, t), error[:, 0, 0, 0]) * loss
