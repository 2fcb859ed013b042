"""Denoising score matching (Song et al. 2021, eq. 7 and appendix C), written on the prior's noise prediction.

With x_t = alpha x0 + sigma z and e(x_t, t) = -sigma grad log p_t(x_t), every objective of the paper is a weight on

    |e(x_t, t) - z|^2 = sigma^2 |score(x_t, t) - grad log p_t(x_t | x0)|^2:

    paper        1                                  lambda(t) = sigma^2 (appendix C)
    likelihood   g(t)^2 / sigma^2                   lambda(t) = g^2 (Song et al. 2021, "Maximum likelihood training")
    uniform      (s^2 + sd^2) / sd^2                s = sigma / alpha; the error of the denoised picture, weighted by
                                                    (s^2 + sd^2) / (s sd)^2 (Karras et al. 2022, table 1)

SMLD and DDPM are the paper's weight at the discrete times t = i / (N - 1) of the VE SDE and of the DDPM chain.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.prior import Prior
from scoreinv.sdes import DDPM, SDE, TRAINING_START, VE, broadcast
from scoreinv.training.config import ObjectiveConfig


def check(objective: ObjectiveConfig, sde: SDE) -> None:
    """Raise InputError when the discrete objective does not belong to the SDE."""
    if objective.times == "discrete" and not isinstance(sde, VE | DDPM):
        raise InputError("discrete times need the VE SDE (SMLD) or the DDPM chain (DDPM)")


def weight(objective: ObjectiveConfig, sde: SDE, t: Tensor, data_range: tuple[float, float]) -> Tensor:
    """The weight on |e - z|^2 at times t, float64, the shape of t; `sigma_data` refers to pictures on [-1, 1]."""
    if objective.weighting == "paper":
        return torch.ones_like(t)
    if objective.weighting == "likelihood":
        return sde.diffusion_squared(t) / sde.sigma(t).square()
    level = sde.noise_to_signal(t) * 2 / (data_range[1] - data_range[0])
    return (level / objective.sigma_data).square() + 1


def per_image_loss(objective: ObjectiveConfig, prior: Prior, x0: Tensor, t: Tensor, z: Tensor) -> Tensor:
    """Losses (B,) of pictures x0 (B, C, H, W) in the model's range, at times t (B,), with the noise z of x0's shape."""
    error = (prior.noise(prior.sde.perturb(x0, t, z), t) - z).square().flatten(1)
    error = error.mean(1) if objective.reduction == "mean" else 0.5 * error.sum(1)
    return broadcast(weight(objective, prior.sde, t, prior.data_range), error) * error


def draw_times(objective: ObjectiveConfig, sde: SDE, count: int, generator: np.random.Generator) -> Tensor:
    """Times (count,) of a batch, float64: uniform on [1e-5, 1], or on the grid i / (steps - 1).

    Stratified times are (offset + i / count) mod 1, brought to the interval (Kingma et al. 2021, appendix I.1).
    """
    spread = np.arange(count) / count
    uniform = (generator.random() + spread) % 1.0 if objective.stratified else generator.random(count)
    if objective.times == "discrete":
        return torch.from_numpy(np.floor(uniform * sde.steps) / (sde.steps - 1))
    return torch.from_numpy(TRAINING_START + uniform * (1 - TRAINING_START))
