"""How a raw network is read as a noise prediction, -sigma(t) grad log p_t(x).

Networks see pictures centred on [-1, 1]; where a noise level s = sigma / alpha is compared with them, it is scaled
along with the picture's range.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from torch import Tensor, nn

from scoreinv.sdes import SDE, broadcast
from scoreinv.system.options import GRID, Number, check_settings

Range = tuple[float, float]
"""Model values of black and white."""


def centre(x: Tensor, data_range: Range) -> Tensor:
    """Model values to [-1, 1]."""
    low, high = data_range
    return x if (low, high) == (-1.0, 1.0) else (2 * x - (low + high)) / (high - low)


class Preconditioning(Protocol):
    """How a raw network is read as a noise prediction."""

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: Range) -> Tensor:
        """-sigma(t) grad log p_t(x) from the network F(input, noise label)."""
        ...


@dataclass(frozen=True)
class PaperVE:
    """NCSN++ as published: score = F(x, sigma) / sigma, x mapped to [-1, 1] (Song et al. 2021, appendix H).

    `label` is what tells the network the noise level: `sigma` for continuous-time models, `index` for the discrete-time
    ones, whose levels are numbered downwards, (1 - t)(N - 1). Without `scale_by_sigma` the network is the score itself.
    """

    label: Literal["sigma", "index"] = "sigma"
    scale_by_sigma: bool = True

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: Range) -> Tensor:
        sigma = sde.sigma(t)
        label = sigma if self.label == "sigma" else (1 - t) * (sde.steps - 1)
        output = -network(centre(x, data_range), label)
        return output if self.scale_by_sigma else broadcast(sigma, x) * output


@dataclass(frozen=True)
class PaperVP:
    """DDPM, DDPM++ and VP models as published: noise = F(x, label), label = t (steps - 1)."""

    steps: Annotated[int, GRID] = 1000

    def __post_init__(self) -> None:
        check_settings(self)

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: Range) -> Tensor:
        return network(centre(x, data_range), t * (self.steps - 1))


@dataclass(frozen=True)
class EDM:
    """Karras et al. 2022, table 1: D = c_skip x + c_out F(c_in x, s), at noise level s = sigma / alpha, of x / alpha.

    As a noise prediction, and free of cancellation as s goes to 0:
    noise = (x / alpha) s / (s^2 + sigma_data^2) - F sigma_data / sqrt(s^2 + sigma_data^2), with x centred on [-1, 1].
    """

    sigma_data: Annotated[float, Number(1e-6, 1e6)] = 0.5

    def __post_init__(self) -> None:
        check_settings(self)

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: Range) -> Tensor:
        s, u = noise_level(t, sde, data_range), centre(x / broadcast(sde.alpha(t), x), data_range)
        total = (s.square() + self.sigma_data**2).sqrt()
        output = network(u / broadcast(total, x), s)
        return broadcast(s / total.square(), x) * u - broadcast(self.sigma_data / total, x) * output


@dataclass(frozen=True)
class DataPrediction:
    """The network is the denoised picture itself: D = x - w (x - F(x, s)), w = s^2 / (s^2 + floor^2), of x / alpha.

    The form of published denoisers. At noise far below `floor`, which they were not made for, the picture stays as it
    is: noise = (x / alpha - F) s / (s^2 + floor^2), with x centred on [-1, 1].
    """

    floor: Annotated[float, Number(1e-6, 1e6)] = 0.01

    def __post_init__(self) -> None:
        check_settings(self)

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: Range) -> Tensor:
        s, u = noise_level(t, sde, data_range), centre(x / broadcast(sde.alpha(t), x), data_range)
        return broadcast(s / (s.square() + self.floor**2), x) * (u - network(u, s))


def noise_level(t: Tensor, sde: SDE, data_range: Range) -> Tensor:
    """s = sigma / alpha of pictures x / alpha centred on [-1, 1], (B,)."""
    return sde.noise_to_signal(t) * 2 / (data_range[1] - data_range[0])
