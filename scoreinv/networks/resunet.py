"""A U-Net of plain residual blocks, without normalisation or attention: a denoiser for pictures of any size.

The shape of DRUNet (Zhang et al. 2021, "Plug-and-play image restoration with deep denoiser prior"): residual blocks of
two convolutions at each level, steps between levels by strided 2x2 convolutions, skips added. What differs: the noise
level reaches each block as a scale and an offset of its features (Perez et al. 2018, FiLM) instead of as a map beside
the picture, so that one network serves all noise levels of an SDE. Group normalisation would take statistics over all
that it sees, which ties a network to the size of picture it was trained at, and spoils what is left at weak noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.checks import each_within, require, within
from scoreinv.networks.base import Network
from scoreinv.networks.embeddings import FourierEmbedding
from scoreinv.networks.layers import Layers, conv, inner_dtype, linear


@dataclass(frozen=True)
class ResUNetConfig:
    """Options of the network.

    Attributes:
        channels: of the picture.
        widths: features of each level, the finest first; a level halves the picture.
        blocks: residual blocks of each level, on the way down and again on the way up; at the bottom once.
        embedding: features of the noise level.
        fourier_scale: deviation of the frequencies that ln sigma is embedded with.
        patch: pixel-unshuffle factor of the stem.
    """

    channels: int = 3
    widths: tuple[int, ...] = (32, 64, 128, 192)
    blocks: tuple[int, ...] = (1, 2, 3, 4)
    embedding: int = 128
    fourier_scale: float = 1.0
    patch: int = 1

    condition_channels: ClassVar[int] = 0
    feature_channels: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        within("channels", self.channels, 1, 64)
        within("the number of widths", len(self.widths), 2, 10)
        each_within("widths", self.widths, 1, 8192)
        each_within("blocks", self.blocks, 1, 32)
        require(len(self.blocks) == len(self.widths), "blocks must be as many numbers as widths")
        within("embedding", self.embedding, 2, 8192)
        require(self.embedding % 2 == 0, "embedding must be an even number")
        within("fourier_scale", self.fourier_scale, 0, 1e6)
        within("patch", self.patch, 1, 64)

    @property
    def stride(self) -> int:
        """Sides of pictures are multiples of it."""
        return self.patch * 2 ** (len(self.widths) - 1)

    def build(self) -> ResUNet:
        return ResUNet(self)


class FiLMBlock(nn.Module):
    """x + convolution(silu((1 + a) convolution(x) + b)), with a and b linear in the embedded noise level."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.conv_in = conv(width, width, 3)
        self.film = linear(embedding, 2 * width)
        nn.init.zeros_(self.film.weight)
        self.conv_out = conv(width, width, 3, 0.0)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, offset = self.film(embedding)[:, :, None, None].to(x.dtype).chunk(2, 1)
        h = self.conv_in(x)
        return x + self.conv_out(F.silu(torch.addcmul(offset, h, 1 + scale)))


class ResUNet(Network):
    """F(x, label): pictures (B, C, H, W) and noise levels (B,) to (B, C, H, W). It takes no condition."""

    config: ResUNetConfig

    def __init__(self, config: ResUNetConfig) -> None:
        super().__init__()
        self.config = config
        self.channels = config.channels
        self.stride = config.stride
        features = config.channels * config.patch**2
        self.embedding = FourierEmbedding(config.embedding // 2, config.fourier_scale)
        self.dense_in = linear(config.embedding, config.embedding)
        self.dense_out = linear(config.embedding, config.embedding)
        self.conv_in = conv(features, config.widths[0], 3)

        def level(width: int, blocks: int) -> Layers[FiLMBlock]:
            return Layers(FiLMBlock(width, config.embedding) for _ in range(blocks))

        pairs = list(zip(config.widths, config.widths[1:], strict=False))
        self.down = Layers(level(*shape) for shape in zip(config.widths, config.blocks, strict=True))
        self.reduce = Layers(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.enlarge = Layers(conv(coarse, 4 * fine, 1) for fine, coarse in pairs)
        self.up = Layers(level(*shape) for shape in zip(config.widths[:-1], config.blocks[:-1], strict=True))
        self.conv_out = conv(config.widths[0], features, 3, 0.0)

    def forward(self, x: Tensor, label: Tensor, condition: Tensor | None = None) -> Tensor:
        precision = inner_dtype(x, self.enlarge[0])
        patch = self.config.patch
        # Autocasting, as `set_precision`, leaves the first and last layers alone.
        with torch.autocast(x.device.type, enabled=False):
            embedding = F.silu(self.dense_in(self.embedding(label).to(self.dense_in.weight.dtype)))
            embedding = F.silu(self.dense_out(embedding)).to(precision)
            h = F.pixel_unshuffle(x, patch) if patch > 1 else x
            h = self.conv_in(h.to(self.conv_in.weight.dtype))
        h = h.to(precision)
        skips = []
        for level, blocks in enumerate(self.down):
            for block in blocks:
                h = block(h, embedding)
            if level < len(self.reduce):
                skips.append(h)
                h = self.reduce[level](h)
        for level in reversed(range(len(self.up))):
            h = F.pixel_shuffle(self.enlarge[level](h), 2) + skips[level]
            for block in self.up[level]:
                h = block(h, embedding)
        with torch.autocast(x.device.type, enabled=False):
            h = self.conv_out(h.to(self.conv_out.weight.dtype)).to(x.dtype)
        return F.pixel_shuffle(h, patch) if patch > 1 else h

    def exact_parts(self) -> list[nn.Module]:
        """The embedding, and the first and last convolutions."""
        return [self.embedding, self.dense_in, self.dense_out, self.conv_in, self.conv_out]
