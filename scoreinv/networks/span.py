"""SPAN: a small network that enlarges photographs, with published weights.

SPAN (Wan et al. 2024, "Swift parameter-free attention network for efficient super-resolution", arXiv 2311.12770) is a
stack of convolutions at the size of the small picture. In each block, features h become

    (c(h) + h) (sigmoid(c(h)) - 1/2),      c: three convolutions with SiLU between them.

The factor is a parameter-free attention: it is large where c(h) is, at edges and texture. The features of four depths
are joined, and a last convolution returns the factor x factor pixels of each given one.

The published weights are for pictures reduced by a cubic. A linear filter first makes block means resemble those. The
noise level and the kind of reduction then scale and shift the features of every 3x3 convolution but the last (Perez et
al. 2018, "FiLM", arXiv 1709.07871). Without noise, the features of a cubic reduction stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.blocks import Layers, conv, inner_dtype
from scoreinv.prior import Network
from scoreinv.system.options import Checked, Whole
from scoreinv.system.progress import report

CONDITIONS = 2
"""Number of conditions: the noise level, and whether the pixels are block means."""
_MEAN, _LEVELS = (0.4488, 0.4371, 0.4040), 255.0
"""Mean colour and scale of the published networks' inputs."""
_NOISE = 64.0
"""Scale of the noise level: 4 grey levels of 255 are about 1."""
_FILTER = 5
"""Side of the filter of block means."""

FACTORS = (2, 4)
"""Factors of the published networks."""


@dataclass(frozen=True)
class SPANConfig(Checked):
    """Options of the network.

    Attributes:
        width: features of each convolution.
        blocks: number of blocks, at least 2.
    """

    width: Annotated[int, Whole(1, 8192)] = 48
    blocks: Annotated[int, Whole(2, 256)] = 6

    channels: ClassVar[int] = 3
    stride: ClassVar[int] = 1

    def build(self) -> SPAN:
        return SPAN(self)


class Modulation(nn.Module):
    """Scale and shift features by linear functions of the conditions; the initial weights are 0."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(CONDITIONS, 2 * width))

    def forward(self, h: Tensor, conditions: Tensor) -> Tensor:
        scale, shift = (conditions @ self.weight)[..., None, None].chunk(2, 1)
        return torch.addcmul(shift.to(h), h, (1 + scale).to(h))


class Block(nn.Module):
    """A block of SPAN; `forward` also returns the features after the first convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = Layers(conv(width, width, 3) for _ in range(3))
        self.modulations = Layers(Modulation(width) for _ in range(3))

    def forward(self, h: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        inplace = not torch.is_grad_enabled()
        first = F.silu(self.modulations[0](self.layers[0](h), conditions), inplace=inplace)
        second = F.silu(self.modulations[1](self.layers[1](first), conditions), inplace=inplace)
        out = self.modulations[2](self.layers[2](second), conditions)
        return (out + h) * (out.sigmoid() - 0.5), first


class Stack(nn.Module):
    """The network of one factor: pictures (B, 3, H, W) to (B, 3, factor H, factor W), given (B, CONDITIONS)."""

    def __init__(self, width: int, blocks: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.filter = nn.Conv2d(1, 1, _FILTER, padding=_FILTER // 2, padding_mode="replicate")
        self.conv_in = conv(3, width, 3)
        self.modulation = Modulation(width)
        self.blocks = Layers(Block(width) for _ in range(blocks))
        self.conv_last = conv(width, width, 3)
        self.modulation_last = Modulation(width)
        self.join = conv(4 * width, width, 1)
        self.conv_out = conv(width, 3 * factor**2, 3)

    def filtered(self, x: Tensor) -> Tensor:
        """Convert block means (B, 3, H, W) to an estimate of the picture that a cubic reduction would give."""
        with torch.autocast(x.device.type, enabled=False):
            return self.filter(x.to(self.filter.weight.dtype).flatten(0, 1)[:, None]).reshape(x.shape)

    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:
        # The first and last layers are not autocast.
        with torch.autocast(x.device.type, enabled=False):
            shallow = self.modulation(self.conv_in(x.to(self.conv_in.weight.dtype)), conditions)
        h = shallow = shallow.to(inner_dtype(x, self.join))
        outputs = []
        for block in self.blocks:
            report()  # a window of 320x320 takes a second of a core
            h, first = block(h, conditions)
            outputs.append(h)
        report()
        h = self.join(torch.cat((shallow, self.modulation_last(self.conv_last(h), conditions), outputs[0], first), 1))
        with torch.autocast(x.device.type, enabled=False):
            return F.pixel_shuffle(self.conv_out(h.to(self.conv_out.weight.dtype)), self.factor)


class SPAN(Network):
    """Small pictures (B, 3, H, W) in [0, 1] to large ones, (B, 3, factor H, factor W)."""

    config: SPANConfig
    exact = ("Modulation", *(f"{name}.{part}" for name in ("x2", "x4") for part in ("filter", "conv_in", "conv_out")))

    def __init__(self, config: SPANConfig) -> None:
        super().__init__(config)
        self.x2, self.x4 = (Stack(config.width, config.blocks, factor) for factor in FACTORS)

    @property
    def reach(self) -> int:
        """Return the radius of the receptive field, in pixels of the small picture."""
        return 3 * self.config.blocks + 3 + _FILTER // 2

    def stack(self, factor: int) -> Stack:
        """Return the network of a factor, 2 or 4."""
        return self.x2 if factor == 2 else self.x4

    def forward(self, x: Tensor, factor: int, noise_std: Tensor, means: Tensor) -> Tensor:
        """Return the large pictures.

        Args:
            factor: 2 or 4.
            noise_std: (B,), standard deviation of the noise of x, in [0, 1].
            means: (B,), 1 if the pixels of x are block means of the large picture, 0 if it was reduced by a cubic.
        """
        conditions = torch.stack((_NOISE * noise_std, means), 1)
        mean, stack = x.new_tensor(_MEAN)[:, None, None], self.stack(factor)
        x = torch.where(means[:, None, None, None] > 0, stack.filtered(x), x)
        return stack(_LEVELS * (x - mean), conditions)
