"""FFDNet: a denoiser for pictures of any size, with published weights for all noise levels.

FFDNet (Zhang, Zuo & Zhang 2018, "FFDNet: Toward a fast and flexible solution for CNN based image denoising") is a stack
of convolutions at half the resolution. Its inputs are the picture and a map of the noise level, its output the clean
picture. Its receptive field is 62 pixels, and it was trained for noise up to 75 grey levels. For stronger noise the
contrast of the input is reduced:

    D(x, s) = stack(c x, c s) / c / (1 + (s / 17)^2),        c = min(1, limit / s)

The last factor shrinks the estimate towards the mean at extreme noise, where the stack has no information.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.networks.blocks import Layers, conv, inner_dtype
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
    """

    channels: Annotated[int, CHANNELS] = 3
    width: Annotated[int, Whole(1, 8192)] = 96
    layers: Annotated[int, Whole(3, 256)] = 12
    noise_limit: Annotated[float, Number(1e-3, 1e6)] = 150 / 255

    stride: ClassVar[int] = PATCH
    condition_channels: ClassVar[int] = 0
    feature_channels: ClassVar[tuple[int, ...]] = ()

    def build(self) -> FFDNet:
        return FFDNet(self)


class FFDNet(Network):
    """Pictures (B, C, H, W) centred on [-1, 1], and their noise levels (B,), to the clean pictures (B, C, H, W)."""

    config: FFDNetConfig
    exact = ("conv_in", "conv_out")

    def __init__(self, config: FFDNetConfig) -> None:
        super().__init__(config)
        features = config.channels * PATCH**2
        self.conv_in = conv(features + 1, config.width, 3)
        self.middle = Layers(conv(config.width, config.width, 3) for _ in range(config.layers - 2))
        self.conv_out = conv(config.width, features, 3)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        level = label[:, None, None, None].to(x.device, x.dtype)
        contrast = (self.config.noise_limit / level).clamp_max(1)
        shrinkage = 1 / (1 + (level / HALVING_LEVEL).square())
        return shrinkage / contrast * self.stack(contrast * x, contrast * level)

    def stack(self, x: Tensor, level: Tensor) -> Tensor:
        """Apply the published network to pictures (B, C, H, W) at noise levels (B, 1, 1, 1)."""
        # Its weights are for pictures on [0, 1]. The first and last layers are not autocast.
        with torch.autocast(x.device.type, enabled=False):
            picture = F.pixel_unshuffle((x + 1) / 2, PATCH)
            noise_map = (level / 2).expand(-1, 1, *picture.shape[2:])
            h = F.relu(self.conv_in(torch.cat((picture, noise_map), 1).to(self.conv_in.weight.dtype)))
        h = h.to(inner_dtype(x, self.middle[0]))
        for convolution in self.middle:
            h = F.relu(convolution(h))
        with torch.autocast(x.device.type, enabled=False):
            h = self.conv_out(h.to(self.conv_out.weight.dtype)).to(x.dtype)
        return 2 * F.pixel_shuffle(h, PATCH) - 1
