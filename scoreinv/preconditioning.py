"""Preconditionings: from the output of a raw network to the noise prediction -sigma(t) grad log p_t(x).

The input of a network is centred on [-1, 1]. Noise levels s = sigma / alpha are scaled by the same factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

from torch import Tensor, nn

from scoreinv.sdes import SDE, broadcast
from scoreinv.system.options import GRID, Checked, Number

Range = tuple[float, float]
"""Model values of black and white."""


def centre(x: Tensor, data_range: Range) -> Tensor:
    """Map the model's range to [-1, 1]."""
    low, high = data_range
    return x if (low, high) == (-1.0, 1.0) else (2 * x - (low + high)) / (high - low)


class Preconditioning(Protocol):
    """Converts the output of a raw network to a noise prediction."""

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: Range) -> Tensor:
        """Return -sigma(t) grad log p_t(x), computed with the network F(input, noise label)."""
        ...


@dataclass(frozen=True)
class PaperVE:
    """NCSN++ as published: score = F(x, label) / sigma, x mapped to [-1, 1] (Song et al. 2021, appendix H).

    Attributes:
        label: the noise label. Continuous-time models use `sigma`. Discrete-time models use `index`: (1 - t)(N - 1),
            since they number the levels downwards.
        scale_by_sigma: if False, the network's output is the score itself.
    """

    label: Literal["sigma", "index"] = "sigma"
    scale_by_sigma: bool = True

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: Range) -> Tensor:
        sigma = sde.sigma(t)
        label = sigma if self.label == "sigma" else (1 - t) * (sde.steps - 1)
        output = -network(centre(x, data_range), label)
        return output if self.scale_by_sigma else broadcast(sigma, x) * output


@dataclass(frozen=True)
class PaperVP(Checked):
    """DDPM, DDPM++ and VP models as published: noise = F(x, label), label = t (steps - 1)."""

    steps: Annotated[int, GRID] = 1000

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: Range) -> Tensor:
        return network(centre(x, data_range), t * (self.steps - 1))


@dataclass(frozen=True)
class EDM(Checked):
    """Karras et al. 2022, table 1: D = c_skip x + c_out F(c_in x, s), for x / alpha at noise level s = sigma / alpha.

    Computed as a noise prediction, which avoids cancellation as s goes to 0:
    noise = (x / alpha) s / (s^2 + sigma_data^2) - F sigma_data / sqrt(s^2 + sigma_data^2), with x centred on [-1, 1].
    """

    sigma_data: Annotated[float, Number(1e-6, 1e6)] = 0.5

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: Range) -> Tensor:
        s, u = noise_level(t, sde, data_range), centre(x / broadcast(sde.alpha(t), x), data_range)
        total = (s.square() + self.sigma_data**2).sqrt()
        output = network(u / broadcast(total, x), s)
        return broadcast(s / total.square(), x) * u - broadcast(self.sigma_data / total, x) * output


@dataclass(frozen=True)
class DataPrediction(Checked):
    """A network that predicts the picture: D = x - w (x - F(x, s)), w = s^2 / (s^2 + floor^2), of x / alpha.

    This is the form of published denoisers. At noise far below `floor`, outside their training range, D approaches x:
    noise = (x / alpha - F) s / (s^2 + floor^2), with x centred on [-1, 1].
    """

    floor: Annotated[float, Number(1e-6, 1e6)] = 0.01

    def estimate(self, u: Tensor, output: Tensor, variance: Tensor) -> Tensor:
        """Return D for pictures u centred on [-1, 1], the network's output and s^2, of shapes that broadcast."""
        return u - variance / (variance + self.floor**2) * (u - output)

    def noise(self, network: nn.Module, x: Tensor, t: Tensor, sde: SDE, data_range: Range) -> Tensor:
        s, u = noise_level(t, sde, data_range), centre(x / broadcast(sde.alpha(t), x), data_range)
        return broadcast(s / (s.square() + self.floor**2), x) * (u - network(u, s))


def noise_level(t: Tensor, sde: SDE, data_range: Range) -> Tensor:
    """Return s = sigma / alpha, (B,), of pictures x / alpha centred on [-1, 1]."""
    return sde.noise_to_signal(t) * 2 / (data_range[1] - data_range[0])
