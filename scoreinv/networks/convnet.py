"""A small convolutional network that classifies clean pictures: the judge of generated ones.

Pooling right after the first convolution of each stage leaves it a quarter of the work of a residual network of its
accuracy (the shape of Jordan 2024, arXiv 2404.00498), which is what counts in training on a CPU. Its first filters are
given, and whiten the picture, so that training sees faint and fine detail from the start (there by measured ones).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.checks import each_within, within
from scoreinv.networks.layers import BatchNorm, conv, linear


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
    widths: tuple[int, ...] = (64, 192, 256)

    def __post_init__(self) -> None:
        within("channels", self.channels, 1, 64)
        within("classes", self.classes, 1, 100_000)
        within("the number of widths", len(self.widths), 1, 10)
        each_within("widths", self.widths, 1, 2**16)

    def build(self) -> ConvNet:
        return ConvNet(self)


class ConvNet(nn.Module):
    """Logits (B, classes) of pictures (B, C, H, W), sides multiples of `stride`; the noise level is not looked at."""

    noise_conditional = False

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = config.channels
        self.stride = 2 ** len(config.widths)
        self.stem = _Whitening(config.channels)
        inputs = (self.stem.outputs, *config.widths)
        self.stages = nn.ModuleList(_Stage(*pair) for pair in zip(inputs, config.widths, strict=False))
        self.head = linear(inputs[-1], config.classes)

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.head(self.features(x, level))

    def features(self, x: Tensor, level: Tensor) -> Tensor:
        """What the logits are a linear function of, (B, the last width)."""
        h = self.stem(x)
        for stage in self.stages:
            h = stage(h)
        return h.amax((2, 3))


class _Whitening(nn.Module):
    """silu(c), silu(-c) of the cosine transform c of each 2x2 pixels and their channels, each brought to unit variance.

    Over three channels the transform's axes are about luma and chroma. It decorrelates pictures nearly as well as
    their principal components, which differ in deviation by a factor of a hundred.
    """

    basis: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.outputs = 8 * channels
        basis = torch.einsum("kc,iy,jx->kijcyx", _cosines(channels), _cosines(2), _cosines(2))
        self.register_buffer("basis", basis.reshape(4 * channels, channels, 2, 2), persistent=False)
        self.norm = BatchNorm(4 * channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(F.conv2d(F.pad(x, (0, 1, 0, 1), "replicate"), self.basis))
        return F.silu(torch.cat([h, -h], 1))


def _cosines(size: int) -> Tensor:
    """The orthonormal cosine transform (DCT-II) of so many values, by rows; a constant, so on the CPU (`Network`)."""
    index = torch.arange(size, device="cpu")
    places = (index + 0.5) * torch.pi / size
    rows = torch.cos(index[:, None] * places) * (2 / size) ** 0.5
    return torch.cat([rows[:1] / 2**0.5, rows[1:]])


class _Stage(nn.Module):
    """convolution, max-pooling, norm, act, convolution, norm, act."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_in = conv(inputs, outputs, 3)
        self.norm_in = BatchNorm(outputs)
        self.conv_out = conv(outputs, outputs, 3)
        self.norm_out = BatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        h = F.silu(self.norm_in(F.max_pool2d(self.conv_in(x), 2)))
        return F.silu(self.norm_out(self.conv_out(h)))
