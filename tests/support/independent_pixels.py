"""Pictures of independent pixels, or of nearly grey ones, whose posteriors are known."""

import math
from typing import Any

import numpy as np
import torch

from scoreinv.operators import Blur, LinearOperator, kernels
from scoreinv.prior import ScorePrior
from support.analytic import gaussian_colour_prior

MEAN, STD = 0.5, 0.1
HEIGHT, WIDTH = 24, 36
KERNEL = kernels.gaussian(0.5)


def prior(**options: Any) -> ScorePrior:
    low, high = options.get("data_range", (0.0, 1.0))
    mean = torch.full((3,), low + MEAN * (high - low))
    return gaussian_colour_prior(mean, torch.eye(3) * (STD * (high - low)) ** 2, **options)


def gray_prior() -> ScorePrior:
    """Grey pictures nearly: the channels vary together."""
    axis = torch.ones(3) / math.sqrt(3)
    covariance = 3 * STD**2 * torch.outer(axis, axis) + 1e-8 * torch.eye(3)
    return gaussian_colour_prior(torch.full((3,), MEAN), covariance)


def truth(height: int = HEIGHT, width: int = WIDTH, channels: int = 3, seed: int = 0) -> np.ndarray:
    values = MEAN + STD * np.random.default_rng(seed).standard_normal((height, width, channels))
    return values.astype(np.float32).clip(0, 1)


def noisy(values: np.ndarray, std: float, seed: int = 1) -> np.ndarray:
    return (values + std * np.random.default_rng(seed).standard_normal(values.shape)).astype(np.float32)


def shrunk(y: np.ndarray, std: float) -> np.ndarray:
    return MEAN + STD**2 / (STD**2 + std**2) * (y - MEAN)


def operator_of(kernel: np.ndarray = KERNEL, height: int = HEIGHT, width: int = WIDTH) -> Blur:
    return Blur(torch.from_numpy(kernel), height, width)


def apply(operator: LinearOperator, values: np.ndarray) -> np.ndarray:
    return operator(torch.from_numpy(values).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
