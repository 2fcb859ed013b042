"""Estimator of the noise of photographs: a U-Net at half the resolution.

It returns the logarithm of the standard deviation of each component (`networks.noise_levels`), and is trained by the
likelihood N(0, level^2) of the noise (as Yue et al. 2019, arXiv 1908.11314). Every block sees means over the whole
picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.blocks import conv, inner_dtype
from scoreinv.networks.noise_levels import COMPONENTS
from scoreinv.prior import Network
from scoreinv.system.options import Checked, Whole

PATCH = 2
"""Pixel-unshuffle factor."""
CELL = 8
"""Side in pixels of the coarsest features."""
_CONTRAST = 4.0
"""Factor of the input, in which noise is faint."""
_LOG_RANGE = (-7.5, 1.0)
"""Range of the logarithms of levels, for pictures on [-1, 1]: 0.07 grey levels to more than any picture has."""
_USUAL_LOG = -3.0
"""Logarithm of a level, about 6 grey levels, that an untrained network returns."""


@dataclass(frozen=True)
class NoiseEstimatorConfig(Checked):
    """Options of the network: features at one half, a quarter and an eighth of the resolution."""

    fine: Annotated[int, Whole(1, 8192)] = 32
    middle: Annotated[int, Whole(1, 8192)] = 48
    coarse: Annotated[int, Whole(1, 8192)] = 64

    channels: ClassVar[int] = 3
    stride: ClassVar[int] = 1

    def build(self) -> NoiseEstimatorNetwork:
        return NoiseEstimatorNetwork(self)


class _Block(nn.Module):
    """x + b(silu(a(silu(y)))), with 3x3 convolutions a and b.

    y is x and a linear function of the mean of silu(x) over the picture.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.all = nn.Linear(channels, channels)
        self.a, self.b = conv(channels, channels, 3), conv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = x + self.all(F.silu(x).mean((2, 3)))[:, :, None, None]
        return y + self.b(F.silu(self.a(F.silu(y))))


class NoiseEstimatorNetwork(Network):
    """Pictures (B, 3, H, W) on [-1, 1] to the logarithms of their noise levels, (B, COMPONENTS, H/2, W/2).

    Odd sides are rounded up.
    """

    config: NoiseEstimatorConfig
    exact = ("inp",)

    def __init__(self, config: NoiseEstimatorConfig) -> None:
        super().__init__(config)
        fine, middle, coarse = config.fine, config.middle, config.coarse
        self.inp = conv(3 * PATCH**2, fine, 3)
        self.d0 = nn.Sequential(_Block(fine), _Block(fine))
        self.down1 = nn.Conv2d(fine, middle, 2, 2)
        self.d1 = nn.Sequential(_Block(middle), _Block(middle))
        self.down2 = nn.Conv2d(middle, coarse, 2, 2)
        self.d2 = nn.Sequential(*(_Block(coarse) for _ in range(4)))
        self.up1, self.u1 = conv(coarse, middle, 1), _Block(middle)
        self.up0, self.u0 = conv(middle, fine, 1), _Block(fine)
        self.out = conv(fine, COMPONENTS, 3, scale=0)
        nn.init.constant_(self.out.bias, _USUAL_LOG)  # type: ignore[arg-type]  # torch's hints allow no bias

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % CELL, 0, -height % CELL), mode="replicate")
        features = self.inp(F.pixel_unshuffle((_CONTRAST * x).to(self.inp.weight.dtype), PATCH))
        fine = self.d0(features.to(inner_dtype(x, self.down1)))
        middle = self.d1(self.down1(fine))
        coarse = self.d2(self.down2(middle))
        middle = self.u1(middle + F.interpolate(self.up1(coarse), scale_factor=2.0))
        fine = self.u0(fine + F.interpolate(self.up0(middle), scale_factor=2.0))
        logs = self.out(F.silu(fine)).to(torch.promote_types(x.dtype, torch.float32)).clamp(*_LOG_RANGE)
        return logs[..., : -(-height // PATCH), : -(-width // PATCH)]
