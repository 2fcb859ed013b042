"""FFDNet: a denoiser for pictures of any size, with published weights for all noise levels.

FFDNet (Zhang, Zuo & Zhang 2018, "FFDNet: Toward a fast and flexible solution for CNN based image denoising") is a stack
of convolutions at half the resolution. Its inputs are the picture and a map of the noise level, its output the clean
picture. Its receptive field is 50 pixels, and it was trained for noise up to 75 grey levels. For stronger noise the
contrast of the input is reduced:

    D(x, s) = stack(c x, c s) / c / (1 + (s / 17)^2),        c = min(1, limit / s)

The last factor shrinks the estimate towards the mean at extreme noise, where the stack has no information.

Noise of cameras and scans is not white: it is correlated between pixels and channels. `denoised` takes the level of
each component (`networks.noise_levels`) at every place. With the level s of one value and the ratios r of the
components' levels to it, each convolution K of the published network gets an adapter of low rank:

    K h + U (silu(V h) * B tanh(A log r)).

Noise is white where r = 1. There the adapters add nothing, and the network is the published one. `at_two_scales` is the
published network alone, for noise unlike the synthetic noise of the adapters' training: coarse noise is nearly white in
a picture of half the size, and is removed there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.blocks import Layers, conv, inner_dtype
from scoreinv.networks.noise_levels import COMPONENTS, level_of_values
from scoreinv.prior import Network
from scoreinv.system.options import CHANNELS, Checked, Number, Whole

PATCH = 2
"""Pixel-unshuffle factor."""
HALVING_LEVEL = 17.0
"""Noise level, for pictures on [-1, 1], at which half of the stack's output is best, measured on 96x96 crops."""


@dataclass(frozen=True)
class FFDNetConfig(Checked):
    """Options of the network.

    Attributes:
        channels: channels of the picture.
        width: features of each convolution.
        layers: number of convolutions.
        noise_limit: maximum noise level of the stack's input, for pictures on [-1, 1].
        adapters: rank of the adapters to noise that is not white; 0: none.
    """

    channels: Annotated[int, CHANNELS] = 3
    width: Annotated[int, Whole(1, 8192)] = 96
    layers: Annotated[int, Whole(3, 256)] = 12
    noise_limit: Annotated[float, Number(1e-3, 1e6)] = 150 / 255
    adapters: Annotated[int, Whole(0, 8192)] = 0

    stride: ClassVar[int] = PATCH
    condition_channels: ClassVar[int] = 0
    feature_channels: ClassVar[tuple[int, ...]] = ()

    def build(self) -> FFDNet:
        return FFDNet(self)


class Adapter(nn.Module):
    """What noise that is not white adds to the output of a convolution: U (silu(V h) * B tanh(A log r))."""

    def __init__(self, channels: int, out_channels: int, rank: int) -> None:
        super().__init__()
        self.down = conv(channels, rank, 3)
        self.ratios = nn.Conv2d(COMPONENTS, rank, 1, bias=False)
        self.gates = nn.Conv2d(rank, rank, 1, bias=False)
        self.up = nn.Conv2d(rank, out_channels, 1, bias=False)

    def forward(self, h: Tensor, log_ratios: Tensor) -> Tensor:
        h, log_ratios = (x.to(inner_dtype(x, self.up)) for x in (h, log_ratios))
        return self.up(F.silu(self.down(h)) * self.gates(torch.tanh(self.ratios(log_ratios))))


class FFDNet(Network):
    """Pictures (B, C, H, W) centred on [-1, 1], and their noise levels (B,), to the clean pictures (B, C, H, W)."""

    config: FFDNetConfig
    exact = ("conv_in", "conv_out")

    def __init__(self, config: FFDNetConfig) -> None:
        super().__init__(config)
        features, width, rank = config.channels * PATCH**2, config.width, config.adapters
        self.conv_in = conv(features + 1, width, 3)
        self.middle = Layers(conv(width, width, 3) for _ in range(config.layers - 2))
        self.conv_out = conv(width, features, 3)
        ends = [features, *[width] * (config.layers - 1), features]
        self.adapters = Layers(Adapter(*pair, rank) for pair in pairwise(ends) if rank)

    @property
    def reach(self) -> int:
        """Return the radius of the receptive field, in pixels."""
        return PATCH * (self.config.layers + 1)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        level = label[:, None, None, None].to(x.device, x.dtype)
        contrast = (self.config.noise_limit / level).clamp_max(1)
        shrinkage = 1 / (1 + (level / HALVING_LEVEL).square())
        return shrinkage / contrast * self.stack(contrast * x, contrast * level)

    def denoised(self, x: Tensor, levels: Tensor) -> Tensor:
        """Return the clean pictures of pictures with noise of any kind; needs adapters.

        Args:
            x: (B, 3, H, W), centred on [-1, 1], H and W even.
            levels: standard deviations of the noise's components, (B, COMPONENTS, H/2, W/2), in the units of x; their
                `level_of_values` is at most the configuration's `noise_limit`.
        """
        level = level_of_values(levels)
        return self.stack(x, level, (levels / level).log())

    def at_two_scales(self, x: Tensor, levels: Tensor) -> Tensor:
        """Return the clean pictures by the published network at two scales; arguments as those of `denoised`.

        H and W are multiples of 4. The full size takes the larger level of means of 2x2 pixels, luma's or chroma's; the
        half size takes that of means of 4x4 pixels, which replaces the coarse part.
        """
        fine, coarse = (part.amax(1, keepdim=True) for part in (levels[:, 2:4], levels[:, 4:6]))
        clean, half = self.stack(x, fine), F.avg_pool2d(x, 2)
        change = self.stack(half, F.avg_pool2d(coarse, 2) / 2) - F.avg_pool2d(clean, 2)
        return clean + F.interpolate(change, scale_factor=2.0, mode="bilinear")

    def stack(self, x: Tensor, level: Tensor, log_ratios: Tensor | None = None) -> Tensor:
        """Apply the published network, and the adapters if there are ratios.

        Args:
            x: pictures (B, C, H, W).
            level: of the noise of one value, (B, 1, 1, 1) or (B, 1, H/2, W/2).
            log_ratios: logarithms of the components' levels over `level`, (B, COMPONENTS, H/2, W/2).
        """

        def adapted(number: int, h: Tensor) -> Tensor | float:
            return 0.0 if log_ratios is None else self.adapters[number](h, log_ratios)

        # Its weights are for pictures on [0, 1]. The first and last layers are not autocast.
        with torch.autocast(x.device.type, enabled=False):
            picture = F.pixel_unshuffle((x + 1) / 2, PATCH)
            noise_map = (level / 2).expand(-1, 1, *picture.shape[2:])
            h = self.conv_in(torch.cat((picture, noise_map), 1).to(self.conv_in.weight.dtype))
        h = F.relu(h + adapted(0, picture))
        h = h.to(inner_dtype(x, self.middle[0]))
        for number, convolution in enumerate(self.middle, start=1):
            h = F.relu(convolution(h) + adapted(number, h))
        change = adapted(len(self.middle) + 1, h)
        with torch.autocast(x.device.type, enabled=False):
            h = self.conv_out(h.to(self.conv_out.weight.dtype)).to(x.dtype) + change
        return 2 * F.pixel_shuffle(h, PATCH) - 1
