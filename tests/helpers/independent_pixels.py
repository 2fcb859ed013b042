"""Pictures of independent pixels, or of nearly grey ones, whose posteriors are known."""

import math

import numpy as np
import torch
from analytic import gaussian_colour_prior

from scoreinv.operators import Blur, kernels

MEAN, STD = 0.5, 0.1
HEIGHT, WIDTH = 24, 36
KERNEL = kernels.gaussian(0.5)


def prior(**options):
    low, high = options.get("data_range", (0.0, 1.0))
    mean = torch.full((3,), low + MEAN * (high - low))
    return gaussian_colour_prior(mean, torch.eye(3) * (STD * (high - low)) ** 2, **options)


def gray_prior():
    """Grey pictures nearly: the channels vary together."""
    axis = torch.ones(3) / math.sqrt(3)
    covariance = 3 * STD**2 * torch.outer(axis, axis) + 1e-8 * torch.eye(3)
    return gaussian_colour_prior(torch.full((3,), MEAN), covariance)


def truth(height=HEIGHT, width=WIDTH, channels=3, seed=0):
    values = MEAN + STD * np.random.default_rng(seed).standard_normal((height, width, channels))
    return values.astype(np.float32).clip(0, 1)


def noisy(values, std, seed=1):
    return (values + std * np.random.default_rng(seed).standard_normal(values.shape)).astype(np.float32)


def shrunk(y, std):
    return MEAN + STD**2 / (STD**2 + std**2) * (y - MEAN)


def operator_of(kernel=KERNEL, height=HEIGHT, width=WIDTH):
    return Blur(torch.from_numpy(kernel), height, width)


def apply(operator, values):
    return operator(torch.from_numpy(values).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
