"""Priors in closed form with the interface of `ScorePrior`: the same Gaussian colour at every pixel, independently."""

import torch
from torch import Tensor, nn

from scoreinv.prior import Network, ScorePrior
from scoreinv.sdes import SDE, VE, broadcast


class _Network(Network):
    channels = 3

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.anchor = nn.Parameter(torch.zeros(1))


class _GaussianColour:
    """noise = sigma (alpha^2 C + sigma^2)^(-1) (x - alpha m) at each pixel."""

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        self.mean = mean
        self.values, self.vectors = torch.linalg.eigh(covariance)
        self.windows: list[tuple[int, ...]] = []

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: tuple[float, float]) -> Tensor:
        self.windows.append(tuple(x.shape))
        alpha, sigma = broadcast(sde.alpha(t), x), broadcast(sde.sigma(t), x)
        axes = self.vectors.T.to(x)
        offset = torch.einsum("kc,bchw->bkhw", axes, x - alpha * self.mean.to(x)[:, None, None])
        offset = offset * sigma / (alpha.square() * self.values.to(x)[:, None, None] + sigma.square())
        return torch.einsum("kc,bkhw->bchw", axes, offset)


def gaussian_colour_prior(
    mean: Tensor,
    covariance: Tensor,
    *,
    image_size: int = 16,
    stride: int = 4,
    sde: SDE | None = None,
    data_range: tuple[float, float] = (0.0, 1.0),
) -> ScorePrior:
    """x0 ~ N(mean, covariance) at each pixel, mean (3,) and covariance (3, 3) in the model's range."""
    reading = _GaussianColour(mean, covariance)
    return ScorePrior(_Network(stride), sde or VE(0.005, 20.0), reading, data_range, image_size).eval()
