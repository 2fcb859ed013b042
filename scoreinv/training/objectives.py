"""Denoising score matching (Song et al. 2021, eq. 7 and appendix C), written on the prior's noise prediction.

With x_t = alpha x0 + sigma z and e(x_t, t) = -sigma grad log p_t(x_t), every objective of the paper is a weight on

    |e(x_t, t) - z|^2 = sigma^2 |score(x_t, t) - grad log p_t(x_t | x0)|^2:

    paper        1                                  lambda(t) = sigma^2 (appendix C)
    likelihood   g(t)^2 / sigma^2                   lambda(t) = g^2 (Song et al. 2021, "Maximum likelihood training")
    uniform      (s^2 + sd^2) / sd^2                s = sigma / alpha; the error of the denoised picture, weighted by
                                                    (s^2 + sd^2) / (s sd)^2 (Karras et al. 2022, table 1)
    residual     1 / mean of v / (s^2 + v)          of conditional priors: the error over that of the guess, v the
                                                    variance of what an observation leaves open, for each picture

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

from scoreinv.conditional.guess import block_means
from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.errors import InputError
from scoreinv.preconditioning import Range, centre, noise_level
from scoreinv.prior import Prior
from scoreinv.sdes import DDPM, SDE, TRAINING_START, VE, broadcast, time_at
from scoreinv.training.config import ObjectiveConfig

_RESIDUAL = "the residual weighting and a network that takes observations need each other"


def check(objective: ObjectiveConfig, sde: SDE, *, conditional: bool) -> None:
    """Raise InputError when the objective does not belong to the SDE, or to the kind of prior."""
    check_times(objective, sde)
    if (objective.weighting == "residual") != conditional:
        raise InputError(_RESIDUAL)


def check_times(objective: ObjectiveConfig, sde: SDE) -> None:
    """Raise InputError for times of a grid that the SDE has not."""
    if objective.times == "discrete" and not isinstance(sde, VE | DDPM):
        raise InputError("discrete times need the VE SDE (SMLD) or the DDPM chain (DDPM)")


def weight(objective: ObjectiveConfig, sde: SDE, t: Tensor, data_range: tuple[float, float]) -> Tensor:
    """The weight on |e - z|^2 at times t, float64, the shape of t; `sigma_data` refers to pictures on [-1, 1]."""
    if objective.weighting == "paper":
        return torch.ones_like(t)
    if objective.weighting == "likelihood":
        return sde.diffusion_squared(t) / sde.sigma(t).square()
    return (noise_level(t, sde, data_range) / objective.sigma_data).square() + 1


def per_image_loss(objective: ObjectiveConfig, prior: Prior, x0: Tensor, t: Tensor, z: Tensor) -> Tensor:
    """Losses (B,) of pictures x0 (B, C, H, W) in the model's range, at times t (B,), with the noise z of x0's shape."""
    error = prior.noise(prior.sde.perturb(x0, t, z), t) - z
    if objective.weighting == "residual":
        if not isinstance(prior, ConditionalPrior):
            raise InputError(_RESIDUAL)
        return _reduced(objective, error) / prior.expected_error(x0, t)
    return broadcast(weight(objective, prior.sde, t, prior.data_range), error[:, 0, 0, 0]) * _reduced(objective, error)


def per_image_loss_given(
    objective: ObjectiveConfig,
    prior: ConditionalPrior,
    x0: Tensor,
    observed: Tensor,
    refined: Tensor | None,
    t: Tensor,
    z: Tensor,
    fine: Tensor | None = None,
    features: tuple[Tensor, ...] | None = None,
) -> Tensor:
    """`per_image_loss` of a conditional prior's prediction given what is shown of x0.

    Arguments:
        observed: (B, 3, H, W), 0 or 1, the components of x0 that are shown.
        refined: (B,) bool, whether x0 is shown at half the size besides. None: nowhere.
        fine: x0 at `luma_scale` times the size, whose luma is shown where x0's is; NaN where not. None: nowhere.
        features: maps of what x0's luma shows, each (B, C, h, w), zeros where it was not looked at. None: nowhere.
    """
    coarse = None if refined is None else torch.where(refined[:, None, None, None], block_means(x0), torch.nan)
    guess = prior.guess(x0, observed, coarse, fine, features)
    error = prior.noise_given(prior.sde.perturb(x0, t, z), t, guess) - z
    return _reduced(objective, error) / prior.expected_error(x0, t, guess)


def ignorant_loss(objective: ObjectiveConfig, sde: SDE, x0: Tensor, t: Tensor, data_range: Range) -> float:
    """Mean loss over times t of knowing nothing of pictures x0 (B, C, H, W) but the mean and variance of their values.

    For values N(m, v), independent of each other, the best noise prediction is wrong by E|e - z|^2 = v / (s^2 + v),
    with s and v of pictures on [-1, 1]. The residual weighting counts errors in those of the guess: 1 is the guess.
    """
    if objective.weighting == "residual":
        return 1.0
    variance = centre(x0, data_range).double().var()
    error = variance / (noise_level(t, sde, data_range).square() + variance)
    values = 1.0 if objective.reduction == "mean" else 0.5 * x0[0].numel()
    factors = weight(objective, sde, t, data_range) * importance(objective, sde, t)
    return (values * factors * error).mean().item()


def importance(objective: ObjectiveConfig, sde: SDE, t: Tensor) -> Tensor:
    """Density of uniform times over that of the times t which `draw_times` draws, float64, the shape of t.

    The factor that leaves the expectation of a loss what it is over uniform times. It is 1 but for the likelihood
    weighting: a focus is there to change the expectation.
    """
    if not _by_importance(objective):
        return torch.ones_like(t)
    low, high = _log_levels(sde)
    return 2 * (high - low) / (1 - TRAINING_START) / weight(objective, sde, t, (-1.0, 1.0))


def _by_importance(objective: ObjectiveConfig) -> bool:
    return objective.weighting == "likelihood" and objective.times == "continuous"


def _log_levels(sde: SDE) -> tuple[float, float]:
    """ln(sigma / alpha) at the first and the last time of training."""
    low, high = sde.noise_to_signal(torch.tensor([TRAINING_START, 1.0], dtype=torch.float64)).log().tolist()
    return low, high


def _reduced(objective: ObjectiveConfig, error: Tensor) -> Tensor:
    squares = error.square().flatten(1)
    return squares.mean(1) if objective.reduction == "mean" else 0.5 * squares.sum(1)


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
    if _by_importance(objective):
        low, high = _log_levels(sde)
        levels = np.exp(low + uniform * (high - low))
        return time_at(sde, torch.from_numpy(levels)).clamp(TRAINING_START, 1.0)
    if objective.focus is not None:
        mean, std = objective.focus
        levels = np.exp(mean + std * special.ndtri(uniform)) * (data_range[1] - data_range[0]) / 2
        return time_at(sde, torch.from_numpy(levels)).clamp_min(TRAINING_START)
    return torch.from_numpy(TRAINING_START + uniform * (1 - TRAINING_START))
