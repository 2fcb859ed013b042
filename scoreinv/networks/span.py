"""SPAN: a small network that enlarges photographs, with published weights.

SPAN (Wan et al. 2024, "Swift parameter-free attention network for efficient super-resolution", arXiv 2311.12770) is a
stack of convolutions at the size of the small picture. In each block, features h become

    (c(h) + h) (sigmoid(c(h)) - 1/2),      c: three convolutions with SiLU between them.

The factor is a parameter-free attention: it is large where c(h) is, at edges and texture. The features of four depths
are joined, and a last convolution returns the factor x factor pixels of each given one.

Two maps beside the picture describe the observation, as in SRMD (Zhang, Zuo & Zhang 2018): the noise level, and
whether the small picture has block means. The published weights ignore them.
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

MAPS = 2
"""Channels of the input beside the picture: noise level, block means."""
_MEAN, _LEVELS = (0.4488, 0.4371, 0.4040), 255.0
"""Mean colour and scale of the published networks' inputs."""
_MEANS = 16.0
"""Value of the map of block means, of the order of the other inputs."""


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


class Block(nn.Module):
    """A block of SPAN; `forward` also returns the features after the first convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = Layers(conv(width, width, 3) for _ in range(3))

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        inplace = not torch.is_grad_enabled()
        first = F.silu(self.layers[0](h), inplace=inplace)
        out = self.layers[2](F.silu(self.layers[1](first), inplace=inplace))
        return (out + h) * (out.sigmoid() - 0.5), first


class Stack(nn.Module):
    """The network of one factor: inputs (B, 3 + MAPS, H, W) to large pictures (B, 3, factor H, factor W)."""

    def __init__(self, width: int, blocks: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv_in = conv(3 + MAPS, width, 3)
        self.blocks = Layers(Block(width) for _ in range(blocks))
        self.conv_last = conv(width, width, 3)
        self.join = conv(4 * width, width, 1)
        self.conv_out = conv(width, 3 * factor**2, 3)

    def forward(self, x: Tensor) -> Tensor:
        # The first and last layers are not autocast.
        with torch.autocast(x.device.type, enabled=False):
            shallow = self.conv_in(x.to(self.conv_in.weight.dtype))
        h = shallow = shallow.to(inner_dtype(x, self.join))
        kept = []
        for block in self.blocks:
            h, first = block(h)
            kept.append(h)
        h = self.join(torch.cat((shallow, self.conv_last(h), kept[0], first), 1))
        with torch.autocast(x.device.type, enabled=False):
            return F.pixel_shuffle(self.conv_out(h.to(self.conv_out.weight.dtype)), self.factor)


class SPAN(Network):
    """Small pictures (B, 3, H, W) in [0, 1] to large ones, (B, 3, factor H, factor W)."""

    config: SPANConfig
    exact = tuple(f"{name}.{part}" for name in ("x2", "x4") for part in ("conv_in", "conv_out"))

    def __init__(self, config: SPANConfig) -> None:
        super().__init__(config)
        self.x2, self.x4 = (Stack(config.width, config.blocks, factor) for factor in FACTORS)

    @property
    def reach(self) -> int:
        """Return the radius of the receptive field, in pixels of the small picture."""
        return 3 * self.config.blocks + 3

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
        maps = torch.stack((_LEVELS * noise_std, _MEANS * means), 1)[..., None, None].expand(-1, -1, *x.shape[2:])
        mean = x.new_tensor(_MEAN)[:, None, None]
        return self.stack(factor)(torch.cat((_LEVELS * (x - mean), maps.to(x)), 1))
