"""Independent Gaussian values as a prior in closed form, and as picture files: what training must reach."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scoreinv.prior import Prior
from scoreinv.sdes import SDE, as_time, broadcast


class GaussianPrior(Prior):
    """p_0 = N(mean, variance I): noise(x, t) = sigma (x - alpha mean) / (alpha^2 variance + sigma^2)."""

    data_range = (-1.0, 1.0)

    def __init__(self, sde: SDE, mean: float, variance: float) -> None:
        self.sde, self.mean, self.variance = sde, mean, variance

    def noise(self, x: Tensor, t: float | Tensor, *_: Tensor) -> Tensor:
        t = as_time(t)
        alpha, sigma = self.sde.alpha(t), self.sde.sigma(t)
        total = alpha.square() * self.variance + sigma.square()
        return broadcast(sigma / total, x) * (x - broadcast(alpha * self.mean, x))

    def least_loss(self, t: Tensor) -> Tensor:
        """E |noise(x_t, t) - z|^2 of a value: alpha^2 v / (alpha^2 v + sigma^2), the least that any network reaches."""
        signal = self.sde.alpha(t).square() * self.variance
        return signal / (signal + self.sde.sigma(t).square())


def write_noise_pictures(folder: Path, count: int, size: int, mean: float, std: float, mode: str = "L") -> None:
    """PNG files of independent values; mean and std on [0, 1], rounded to 8 bits."""
    generator = np.random.default_rng(0)
    shape = (size, size) if mode == "L" else (size, size, 3)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        values = np.clip(generator.normal(mean, std, shape), 0, 1)
        Image.fromarray((values * 255).round().astype(np.uint8)).save(folder / f"{index:04d}.png")


def standard_normal(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))
