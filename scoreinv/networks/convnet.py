"""A small convolutional network that classifies clean pictures: the judge of generated ones.

Pooling right after the first convolution of each stage leaves it a quarter of the work of a residual network of its
accuracy (the shape of Jordan 2024, arXiv 2404.00498), which is what counts in training on a CPU. Group normalisation:
the answer for a picture does not depend on its batch mates, and weights can be averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.layers import conv, group_norm, linear
from scoreinv.networks.normalization import norm_activate

_STEM = 24
_CHANNELS_PER_GROUP = 16


@dataclass(frozen=True)
class ConvNetConfig:
    """Options of the network.

    Attributes:
        channels: of the picture.
        classes: of the answer.
        widths: features of each stage; a stage halves the picture.
    """

    channels: int = 3
    classes: int = 10
    widths: tuple[int, ...] = (64, 256, 256)

    def build(self) -> ConvNet:
        return ConvNet(self)


class ConvNet(nn.Module):
    """Logits (B, classes) of pictures (B, C, H, W), sides multiples of `stride`; the noise level is not looked at."""

    noise_conditional = False

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__()
        self.channels = config.channels
        self.stride = 2 ** len(config.widths)
        self.conv_in = conv(config.channels, _STEM, 3)
        inputs = (_STEM, *config.widths)
        self.stages = nn.ModuleList(_Stage(*pair) for pair in zip(inputs, config.widths, strict=False))
        self.head = linear(inputs[-1], config.classes)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.head(self.features(x, level))

    def features(self, x: Tensor, level: Tensor) -> Tensor:
        """What the logits are a linear function of, (B, the last width)."""
        h = F.silu(self.conv_in(x))
        for stage in self.stages:
            h = stage(h)
        return h.amax((2, 3))


class _Stage(nn.Module):
    """convolution, max-pooling, norm, act, convolution, norm, act."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_in = conv(inputs, outputs, 3)
        self.norm_in = group_norm(outputs, _CHANNELS_PER_GROUP)
        self.conv_out = conv(outputs, outputs, 3)
        self.norm_out = group_norm(outputs, _CHANNELS_PER_GROUP)

    def forward(self, x: Tensor) -> Tensor:
        h = norm_activate(self.norm_in, F.silu, F.max_pool2d(self.conv_in(x), 2))
        return norm_activate(self.norm_out, F.silu, self.conv_out(h))
