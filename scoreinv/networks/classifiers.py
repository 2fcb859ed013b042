"""Classifiers of pictures, log p_t(class | x), for class-conditional sampling by their gradients, and for evaluation.

The paper's classifier is a Wide ResNet (Zagoruyko & Komodakis 2016) conditioned on the logarithm of the noise level
(Song et al. 2021, appendix I.1). It uses group instead of batch normalisation, so that the result and its gradient do
not depend on the other pictures of the batch.

The plain one evaluates generated pictures. Pooling after the first convolution of each stage reduces its work to a
quarter of a residual network's of equal accuracy (as in Jordan 2024, arXiv 2404.00498), for training on a CPU. Its
first filters are fixed and whiten the picture, so that training sees faint and fine detail from the start (Jordan uses
measured filters).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.blocks import BatchNorm, FourierEmbedding, conv, group_norm, initialised, norm_activate
from scoreinv.prior import Network
from scoreinv.system.options import CHANNELS, Checked, Number, Whole, check, require

CLASSES = Whole(1, 100_000)
_BASE = 16
_CHANNELS_PER_GROUP = 8
_EMBEDDING = 128


@dataclass(frozen=True)
class WideResNetConfig(Checked):
    """Options of the network; WRN-16-4 by default.

    Attributes:
        channels: channels of the picture.
        classes: number of classes.
        depth: number of convolutions in sequence, 6 n + 4.
        width: factor of the features over 16, 32 and 64.
        dropout: dropout between the two convolutions of a block.
        fourier_scale: scale of the features of the noise level.
    """

    channels: Annotated[int, CHANNELS] = 3
    classes: Annotated[int, CLASSES] = 10
    depth: Annotated[int, Whole(10, 400)] = 16
    width: Annotated[int, Whole(1, 256)] = 4
    dropout: Annotated[float, Number(0, 1)] = 0.1
    fourier_scale: Annotated[float, Number(0, 1e6)] = 1.0

    stride: ClassVar[int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.depth % 6 == 4, f"depth must be 6 n + 4, not {self.depth}")

    def build(self) -> WideResNet:
        return WideResNet(self)


class WideResNet(Network):
    """Logits (B, classes) of pictures (B, C, H, W), sides multiples of `stride`, at noise levels (B,) > 0."""

    noise_conditional = True
    exact = ("embedding", "GroupNorm")

    def __init__(self, config: WideResNetConfig) -> None:
        super().__init__(config)
        self.embedding = FourierEmbedding(_EMBEDDING // 2, config.fourier_scale)
        self.dense_in = initialised(nn.Linear(_EMBEDDING, 2 * _EMBEDDING))
        self.dense_out = initialised(nn.Linear(2 * _EMBEDDING, 2 * _EMBEDDING))
        self.conv_in = conv(config.channels, _BASE, 3)
        blocks, inputs = [], _BASE
        for level, features in enumerate((_BASE, 2 * _BASE, 4 * _BASE)):
            for index in range((config.depth - 4) // 6):
                stride = 2 if level and not index else 1
                blocks.append(_WideBlock(inputs, features * config.width, stride, config.dropout))
                inputs = features * config.width
        self.blocks = nn.ModuleList(blocks)
        self.norm_out = group_norm(inputs, _CHANNELS_PER_GROUP)
        self.head = initialised(nn.Linear(inputs, config.classes))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.head(self.features(x, level))

    def features(self, x: Tensor, level: Tensor) -> Tensor:
        """Return the input of the linear head, (B, 64 width)."""
        embedding = self.dense_in(self.embedding(level).to(self.dense_in.weight.dtype))
        embedding = F.silu(self.dense_out(F.silu(embedding)))
        h = self.conv_in(x)
        for block in self.blocks:
            h = block(h, embedding)
        return norm_activate(self.norm_out, F.silu, h).mean((2, 3))


class _WideBlock(nn.Module):
    """norm, act, convolution, + noise embedding, norm, act, dropout, convolution; + shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.norm_in = group_norm(inputs, _CHANNELS_PER_GROUP)
        self.conv_in = conv(inputs, outputs, 3, stride=stride)
        self.embed = initialised(nn.Linear(2 * _EMBEDDING, outputs))
        self.norm_out = group_norm(outputs, _CHANNELS_PER_GROUP)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = conv(outputs, outputs, 3)
        changes = inputs != outputs or stride != 1
        self.shortcut = conv(inputs, outputs, 1, stride=stride) if changes else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = norm_activate(self.norm_in, F.silu, x)
        if self.shortcut is not None:
            x = self.shortcut(h)
        h = self.conv_in(h) + self.embed(embedding)[:, :, None, None]
        return x + self.conv_out(self.dropout(norm_activate(self.norm_out, F.silu, h)))


@dataclass(frozen=True)
class ConvNetConfig(Checked):
    """Options of the network.

    Attributes:
        channels: channels of the picture.
        classes: number of classes.
        widths: features of each stage; a stage halves the picture.
    """

    channels: Annotated[int, CHANNELS] = 3
    classes: Annotated[int, CLASSES] = 10
    widths: Annotated[tuple[int, ...], Whole(1, 2**16)] = (64, 192, 256)

    def __post_init__(self) -> None:
        super().__post_init__()
        check("the number of widths", len(self.widths), Whole(1, 10))

    @property
    def stride(self) -> int:
        """Divisor of the sides of pictures."""
        return 2 ** len(self.widths)

    def build(self) -> ConvNet:
        return ConvNet(self)


class ConvNet(Network):
    """Logits (B, classes) of pictures (B, C, H, W), sides multiples of `stride`; ignores the noise level."""

    noise_conditional = False
    exact = ("BatchNorm",)

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__(config)
        self.stem = _Whitening(config.channels)
        inputs = (self.stem.outputs, *config.widths)
        self.stages = nn.ModuleList(_ConvStage(*pair) for pair in zip(inputs, config.widths, strict=False))
        self.head = initialised(nn.Linear(inputs[-1], config.classes))

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        return self.head(self.features(x, level))

    def features(self, x: Tensor, level: Tensor) -> Tensor:
        """Return the input of the linear head, (B, last width)."""
        h = self.stem(x.to(self.head.weight.dtype))
        for stage in self.stages:
            h = stage(h)
        return h.amax((2, 3))


class _Whitening(nn.Module):
    """silu(c), silu(-c) of the cosine transform c of each 2x2 pixels and their channels, normalised to unit variance.

    Over three channels the transform's axes are about luma and chroma. It decorrelates pictures nearly as well as
    their principal components, whose deviations differ by a factor of a hundred.
    """

    basis: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.outputs = 8 * channels
        basis = torch.einsum("kc,iy,jx->kijcyx", _cosines(channels), _cosines(2), _cosines(2))
        self.register_buffer("basis", basis.reshape(4 * channels, channels, 2, 2), persistent=False)
        self.norm = BatchNorm(4 * channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(F.conv2d(F.pad(x, (0, 1, 0, 1), "replicate"), self.basis.to(x.dtype)))
        return F.silu(torch.cat([h, -h], 1))


def _cosines(size: int) -> Tensor:
    """Return the orthonormal cosine transform (DCT-II) of `size` values, by rows; on the CPU (see `Network`)."""
    index = torch.arange(size, device="cpu")
    places = (index + 0.5) * torch.pi / size
    rows = torch.cos(index[:, None] * places) * (2 / size) ** 0.5
    return torch.cat([rows[:1] / 2**0.5, rows[1:]])


class _ConvStage(nn.Module):
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
