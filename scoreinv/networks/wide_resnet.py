"""A wide residual network that is told the noise level (Zagoruyko & Komodakis 2016; Song et al. 2021, appendix I.1).

The classifier of the paper is a Wide ResNet conditioned on the logarithm of the noise level. Group normalisation takes
the place of batch normalisation, so that the answer for a picture, and its gradient, do not depend on its batch mates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.checks import require, within
from scoreinv.networks.embeddings import FourierEmbedding
from scoreinv.networks.layers import conv, group_norm, linear
from scoreinv.networks.normalization import norm_activate

_BASE = 16
_CHANNELS_PER_GROUP = 8
_EMBEDDING = 128


@dataclass(frozen=True)
class WideResNetConfig:
    """Options of the network; WRN-16-4 by default.

    Attributes:
        channels: of the picture.
        classes: of the answer.
        depth: convolutions on the way through, 6 n + 4.
        width: factor of the features over 16, 32 and 64.
        dropout: between the two convolutions of a block.
        fourier_scale: of the features of the noise level.
    """

    channels: int = 3
    classes: int = 10
    depth: int = 16
    width: int = 4
    dropout: float = 0.1
    fourier_scale: float = 1.0

    def __post_init__(self) -> None:
        within("channels", self.channels, 1, 64)
        within("classes", self.classes, 1, 100_000)
        within("depth", self.depth, 10, 400)
        require(self.depth % 6 == 4, f"depth must be 6 n + 4, not {self.depth}")
        within("width", self.width, 1, 256)
        within("dropout", self.dropout, 0, 1)
        within("fourier_scale", self.fourier_scale, 0, 1e6)

    def build(self) -> WideResNet:
        return WideResNet(self)


class WideResNet(nn.Module):
    """Logits (B, classes) of pictures (B, C, H, W), sides multiples of `stride`, at noise levels (B,) > 0."""

    stride = 4
    noise_conditional = True

    def __init__(self, config: WideResNetConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = config.channels
        self.embedding = FourierEmbedding(_EMBEDDING // 2, config.fourier_scale)
        self.dense_in = linear(_EMBEDDING, 2 * _EMBEDDING)
        self.dense_out = linear(2 * _EMBEDDING, 2 * _EMBEDDING)
        self.conv_in = conv(config.channels, _BASE, 3)
        blocks, inputs = [], _BASE
        for level, features in enumerate((_BASE, 2 * _BASE, 4 * _BASE)):
            for index in range((config.depth - 4) // 6):
                stride = 2 if level and not index else 1
                blocks.append(_Block(inputs, features * config.width, stride, config.dropout))
                inputs = features * config.width
        self.blocks = nn.ModuleList(blocks)
        self.norm_out = group_norm(inputs, _CHANNELS_PER_GROUP)
        self.head = linear(inputs, config.classes)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.head(self.features(x, level))

    def features(self, x: Tensor, level: Tensor) -> Tensor:
        """What the logits are a linear function of, (B, 64 width)."""
        embedding = self.dense_in(self.embedding(level).to(self.dense_in.weight.dtype))
        embedding = F.silu(self.dense_out(F.silu(embedding)))
        h = self.conv_in(x)
        for block in self.blocks:
            h = block(h, embedding)
        return norm_activate(self.norm_out, F.silu, h).mean((2, 3))


class _Block(nn.Module):
    """norm, act, convolution, + noise embedding, norm, act, dropout, convolution; + shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm_in = group_norm(inputs, _CHANNELS_PER_GROUP)
        self.conv_in = conv(inputs, outputs, 3)
        self.conv_in.stride = (stride, stride)
        self.embed = linear(2 * _EMBEDDING, outputs)
        self.norm_out = group_norm(outputs, _CHANNELS_PER_GROUP)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = conv(outputs, outputs, 3)
        self.shortcut: nn.Conv2d | None = None
        if inputs != outputs or stride != 1:
            self.shortcut = conv(inputs, outputs, 1)
            self.shortcut.stride = (stride, stride)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = norm_activate(self.norm_in, F.silu, x)
        if self.shortcut is not None:
            x = self.shortcut(h)
        h = self.conv_in(h) + self.embed(embedding)[:, :, None, None]
        return x + self.conv_out(self.dropout(norm_activate(self.norm_out, F.silu, h)))
