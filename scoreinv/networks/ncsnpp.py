"""NCSN++ and DDPM++ (Song et al. 2021, section 4.1 and appendix H), and with other options the U-Net of DDPM.

A U-Net of residual blocks. Downwards each level has `blocks` residual blocks, optional attention, and a resampling.
Upwards it has `blocks + 1`, each with a skip connection. The picture may pass alongside the features as a pyramid, into
the network (`progressive_input`) and out of it (`progressive_output`).

Differences from the reference: attention is set by level, so every picture size divisible by `stride` works. A
pixel-unshuffle stem (`patch`) reduces the resolution of the whole network, 2 to 3 times cheaper at equal width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.blocks import (
    Attention,
    FourierEmbedding,
    Layers,
    PositionalEmbedding,
    conv,
    group_norm,
    initialised,
    inner_dtype,
    norm_activate,
)
from scoreinv.networks.resampling import Downsample, Upsample, downsample, upsample
from scoreinv.prior import Network
from scoreinv.system.options import CHANNELS, Checked, Number, Whole, check, require

Activation = Literal["swish", "elu", "relu", "lrelu"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "swish": F.silu,
    "elu": F.elu,
    "relu": F.relu,
    "lrelu": lambda x: F.leaky_relu(x, 0.2),
}


@dataclass(frozen=True)
class NCSNppConfig(Checked):
    """Options of the network; the defaults are those of NCSN++ (continuous) on CIFAR-10.

    Of the reference's options, its DDPM models resample by convolutions, and those of 256 pixels or more have
    `input_skip` and `output_skip`. No published model has a residual output, `cat`, or another activation than swish.

    Attributes:
        channels: channels of the picture.
        condition_channels: channels of the condition.
        feature_channels: channels of the feature maps, one map for each level from the finest, added to the level's
            input. Empty: no feature maps.
        width: features of the first level (nf).
        multipliers: width of each level relative to `width`.
        blocks: residual blocks of a level.
        attention_levels: levels with attention, 0 the finest; the bottom always has it.
        up_attention: upwards, `once` per level after its last block, or after `each` block (as Ho et al. 2020).
        attention_head: features of an attention head; None for one head.
        block: `biggan` resamples within the residual block, `ddpm` by separate layers.
        fir_kernel: taps of the anti-aliasing filter; None for plain resampling.
        learned_resampling: with `ddpm` blocks, resample by convolutions.
        skip_rescale: divide the sum of residual and shortcut by sqrt 2.
        progressive_input, progressive_output, combine: the picture's pyramids, and the merging of the input's.
        embedding, fourier_scale: features of the noise label.
        noise_conditional: whether the noise label is an input.
        dropout: dropout within residual blocks.
        init_scale: scale of the last layer of each branch (0: identity at first).
        channels_per_group: minimum number of channels of a normalisation group (1 for DDPM).
        groups: numbers of groups of all normalisations, in the order of definition; None: at most 32 each.
        norm_epsilon: added to the variance by normalisations.
        activation: the nonlinearity.
        patch: pixel-unshuffle factor of the stem.
    """

    channels: Annotated[int, CHANNELS] = 3
    condition_channels: Annotated[int, Whole(0, 4096)] = 0
    feature_channels: Annotated[tuple[int, ...], Whole(1, 2**14)] = ()
    width: Annotated[int, Whole(1, 8192)] = 128
    multipliers: Annotated[tuple[int, ...], Whole(1, 256)] = (1, 2, 2, 2)
    blocks: Annotated[int, Whole(1, 32)] = 4
    attention_levels: tuple[int, ...] = (1,)
    up_attention: Literal["once", "each"] = "once"
    attention_head: Annotated[int | None, Whole(1, 2**20)] = None
    block: Literal["biggan", "ddpm"] = "biggan"
    fir_kernel: tuple[int, ...] | None = (1, 3, 3, 1)
    learned_resampling: bool = True
    skip_rescale: bool = True
    progressive_input: Literal["none", "input_skip", "residual"] = "residual"
    progressive_output: Literal["none", "output_skip", "residual"] = "none"
    combine: Literal["sum", "cat"] = "sum"
    embedding: Literal["fourier", "positional"] = "fourier"
    fourier_scale: Annotated[float, Number(0, 1e6)] = 16.0
    noise_conditional: bool = True
    dropout: Annotated[float, Number(0, 1)] = 0.1
    init_scale: Annotated[float, Number(0, 1e6)] = 0.0
    channels_per_group: Annotated[int, Whole(1, 2**20)] = 4
    groups: tuple[int, ...] | None = None
    norm_epsilon: Annotated[float, Number(0, 1)] = 1e-6
    activation: Activation = "swish"
    patch: Annotated[int, Whole(1, 64)] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = len(self.multipliers)
        check("the number of multipliers", levels, Whole(1, 10))
        check("the number of feature_channels", len(self.feature_channels), Whole(0, levels))
        check("blocks of all levels", self.blocks * levels, Whole(1, 160))
        if self.fir_kernel is not None:
            check("the number of taps of fir_kernel", len(self.fir_kernel), Whole(2, 16))
            require(sum(self.fir_kernel) != 0, "the taps of fir_kernel must not add up to 0")

    @property
    def stride(self) -> int:
        """Divisor of the sides of pictures."""
        return self.patch * 2 ** (len(self.multipliers) - 1)

    def build(self) -> NCSNpp:
        return NCSNpp(self)


DDPM_UNET = NCSNppConfig(
    blocks=2,
    block="ddpm",
    fir_kernel=None,
    skip_rescale=False,
    progressive_input="none",
    embedding="positional",
    channels_per_group=1,
)
"""The U-Net of DDPM (Ho et al. 2020) on CIFAR-10: plain resampling, 32 normalisation groups, positional embedding, no
pyramids, no rescaling."""


class ResidualBlock(nn.Module):
    """norm, act, [resample], convolution, + noise embedding, norm, act, dropout, convolution; + shortcut."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        config: NCSNppConfig,
        resample: Callable[[Tensor, tuple[int, ...] | None], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.activation = _ACTIVATIONS[config.activation]
        self.resample = resample
        self.kernel = config.fir_kernel
        self.rescale = math.sqrt(0.5) if config.skip_rescale else 1.0
        self.norm_in = group_norm(inputs, config.channels_per_group)
        self.conv_in = conv(inputs, outputs, 3)
        self.embed = initialised(nn.Linear(4 * config.width, outputs)) if config.noise_conditional else None
        self.norm_out = group_norm(outputs, config.channels_per_group)
        self.dropout = nn.Dropout(config.dropout)
        self.conv_out = conv(outputs, outputs, 3, config.init_scale)
        shortcut_scale = 1.0 if config.block == "biggan" else 0.1
        changes = inputs != outputs or resample is not None
        self.shortcut = conv(inputs, outputs, 1, shortcut_scale) if changes else None

    def forward(self, x: Tensor, embedding: Tensor | None) -> Tensor:
        h = norm_activate(self.norm_in, self.activation, x)
        if self.resample is not None:
            h, x = (self.resample(value, self.kernel) for value in (h, x))
        h = self.conv_in(h)
        if self.embed is not None and embedding is not None:
            h = h + self.embed(embedding.to(self.embed.weight.dtype))[:, :, None, None]
        h = self.conv_out(self.dropout(norm_activate(self.norm_out, self.activation, h)))
        if self.shortcut is not None:
            x = self.shortcut(x)
        h = x + h
        return h.mul_(self.rescale) if self.rescale != 1 else h  # in place: a new tensor costs more than the product


class DownLevel(nn.Module):
    """The blocks of one resolution on the way down, then, except at the bottom, the step to the next."""

    def __init__(self, inputs: int, level: int, pyramid: int, config: NCSNppConfig) -> None:
        super().__init__()
        outputs = config.width * config.multipliers[level]
        self.config = config
        self.features: nn.Module | None = None
        if level < len(config.feature_channels):
            self.features = nn.Conv2d(config.feature_channels[level], inputs, 1, bias=False)  # maps 0 to 0
        self.blocks = Layers(ResidualBlock(outputs if i else inputs, outputs, config) for i in range(config.blocks))
        attends = level in config.attention_levels
        self.attention = Layers(_attention(outputs, config) for _ in self.blocks if attends)
        self.down: Downsample | ResidualBlock | None = None
        self.pyramid: nn.Module | None = None
        self.skips = [outputs] * config.blocks
        self.outputs = outputs
        self.pyramid_outputs = pyramid
        if level == len(config.multipliers) - 1:
            return
        if config.block == "ddpm":
            self.down = Downsample(outputs, outputs, config.learned_resampling, config.fir_kernel)
        else:
            self.down = ResidualBlock(outputs, outputs, config, downsample)
        if config.progressive_input == "input_skip":
            self.pyramid = conv(pyramid, outputs, 1)
            self.outputs = 2 * outputs if config.combine == "cat" else outputs
        elif config.progressive_input == "residual":
            self.pyramid = Downsample(pyramid, outputs, True, config.fir_kernel)
            self.pyramid_outputs = outputs
        self.skips.append(self.outputs)

    def forward(
        self, h: Tensor, pyramid: Tensor, embedding: Tensor | None, skips: list[Tensor], features: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if self.features is not None and features is not None:
            projected = self.features(features.to(h.dtype))
            if projected.shape[-2:] != h.shape[-2:]:
                projected = F.interpolate(projected, h.shape[-2:], mode="bilinear", align_corners=False)
            h = h + projected
        for i, block in enumerate(self.blocks):
            h = block(h, embedding)
            if self.attention:
                h = self.attention[i](h)
            skips.append(h)
        if self.down is None:
            return h, pyramid
        h = self.down(h) if isinstance(self.down, Downsample) else self.down(h, embedding)
        if self.pyramid is not None and self.config.progressive_input == "input_skip":
            pyramid = downsample(pyramid, self.config.fir_kernel)
            merged = self.pyramid(pyramid)
            h = torch.cat([merged, h], dim=1) if self.config.combine == "cat" else merged + h
        elif self.pyramid is not None:
            h = pyramid = (self.pyramid(pyramid) + h) * self.blocks[0].rescale
        skips.append(h)
        return h, pyramid


class UpLevel(nn.Module):
    """The blocks of one resolution on the way up, its part of the output pyramid, then the step to the next."""

    def __init__(self, inputs: int, skips: list[int], level: int, pyramid: int, config: NCSNppConfig) -> None:
        super().__init__()
        outputs = config.width * config.multipliers[level]
        image_channels = config.channels * config.patch**2
        bottom = level == len(config.multipliers) - 1
        self.config, mode = config, config.progressive_output
        self.outputs = outputs
        self.blocks = Layers(
            ResidualBlock((outputs if i else inputs) + skips.pop(), outputs, config) for i in range(config.blocks + 1)
        )
        attends, each = level in config.attention_levels, config.up_attention == "each"
        self.attention = _attention(outputs, config) if attends and not each else None
        self.block_attention = Layers(_attention(outputs, config) for _ in self.blocks if attends and each)
        self.norm: nn.GroupNorm | None = None
        self.pyramid: nn.Module | None = None
        self.pyramid_outputs = outputs if mode == "residual" else image_channels
        if mode == "output_skip" or (mode == "residual" and bottom):
            self.norm = group_norm(outputs, config.channels_per_group)
            scale = config.init_scale if mode == "output_skip" else 1.0
            self.pyramid = conv(outputs, self.pyramid_outputs, 3, scale)
        elif mode == "residual":
            self.pyramid = Upsample(pyramid, outputs, True, config.fir_kernel)
        self.up: Upsample | ResidualBlock | None = None
        if level:
            if config.block == "ddpm":
                self.up = Upsample(outputs, outputs, config.learned_resampling, config.fir_kernel)
            else:
                self.up = ResidualBlock(outputs, outputs, config, upsample)

    def forward(
        self, h: Tensor, pyramid: Tensor | None, embedding: Tensor | None, skips: list[Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        for i, block in enumerate(self.blocks):
            h = block(torch.cat([h, skips.pop()], dim=1), embedding)
            if self.block_attention:
                h = self.block_attention[i](h)
        if self.attention is not None:
            h = self.attention(h)
        if pyramid is not None:
            pyramid = pyramid.to(h.dtype)
        if self.pyramid is not None and self.norm is not None:
            step = self.pyramid(norm_activate(self.norm, _ACTIVATIONS[self.config.activation], h))
            pyramid = step if pyramid is None else upsample(pyramid, self.config.fir_kernel) + step
        elif self.pyramid is not None:
            h = pyramid = (self.pyramid(pyramid) + h) * self.blocks[0].rescale
        if self.up is not None:
            h = self.up(h) if isinstance(self.up, Upsample) else self.up(h, embedding)
        return h, pyramid


class NCSNpp(Network):
    """The network F(x, label, condition, features).

    It maps pictures (B, C, H, W), noise labels (B,), conditions (B, D, H, W) and feature maps (B or 1, D', h, w), each
    covering the whole picture, to (B, C, H, W). Sides are multiples of `stride`. No condition and no features are
    equivalent to zeros.
    """

    config: NCSNppConfig
    exact = ("embedding", "dense_in", "dense_out", "conv_in", "conv_out")

    def __init__(self, config: NCSNppConfig) -> None:
        super().__init__(config)
        self.activation = _ACTIVATIONS[config.activation]
        width, image_channels = config.width, config.channels * config.patch**2
        input_channels = image_channels + config.condition_channels * config.patch**2
        self.embedding: FourierEmbedding | PositionalEmbedding
        if config.embedding == "fourier":
            self.embedding = FourierEmbedding(width, config.fourier_scale)
        else:
            self.embedding = PositionalEmbedding(width)
        if config.noise_conditional:
            self.dense_in = initialised(nn.Linear(self.embedding.features, 4 * width))
            self.dense_out = initialised(nn.Linear(4 * width, 4 * width))
        self.conv_in = conv(input_channels, width, 3)

        features, pyramid, skips = width, input_channels, [width]
        self.down: Layers[DownLevel] = Layers()
        for level in range(len(config.multipliers)):
            down = DownLevel(features, level, pyramid, config)
            self.down.append(down)
            features, pyramid, skips = down.outputs, down.pyramid_outputs, skips + down.skips

        self.middle_in = ResidualBlock(features, features, config)
        self.middle_attention = _attention(features, config)
        self.middle_out = ResidualBlock(features, features, config)

        self.up: Layers[UpLevel] = Layers()
        pyramid = 0
        for level in reversed(range(len(config.multipliers))):
            up = UpLevel(features, skips, level, pyramid, config)
            self.up.append(up)
            features, pyramid = up.outputs, up.pyramid_outputs

        if config.progressive_output != "output_skip":
            self.norm_out = group_norm(features, config.channels_per_group)
            self.conv_out = conv(features, image_channels, 3, config.init_scale)
        norms = [module for module in self.modules() if isinstance(module, nn.GroupNorm)]
        groups = config.groups or [norm.num_groups for norm in norms]
        require(len(groups) == len(norms), f"groups must be {len(norms)} numbers for this network, not {len(groups)}")
        for norm, count in zip(norms, groups, strict=True):
            fits = count >= 1 and norm.num_channels % count == 0
            require(fits, f"groups: {norm.num_channels} channels do not make {count} groups")
            norm.num_groups, norm.eps = count, config.norm_epsilon

    def forward(
        self,
        x: Tensor,
        label: Tensor,
        condition: Tensor | None = None,
        features: tuple[Tensor, ...] | None = None,
    ) -> Tensor:
        config = self.config
        if config.condition_channels:
            if condition is None:
                condition = x.new_zeros(x.shape[0], config.condition_channels, *x.shape[2:])
            x = torch.cat([x, condition], dim=1)
        precision = inner_dtype(x, self.middle_in.conv_in)
        embedding = None
        x = F.pixel_unshuffle(x, config.patch) if config.patch > 1 else x
        # The first and last layers are not autocast, as with `set_precision`.
        with torch.autocast(x.device.type, enabled=False):
            if config.noise_conditional:
                dense = self.dense_in.weight.dtype
                embedding = self.dense_in(self.embedding(label).to(dense))
                embedding = self.activation(self.dense_out(self.activation(embedding))).to(precision)
            h = self.conv_in(x.to(self.conv_in.weight.dtype))
        h = h.to(precision)
        skips, pyramid = [h], x.to(precision)
        for down, projected in zip_longest(self.down, features or ()):
            h, pyramid = down(h, pyramid, embedding, skips, projected)

        h = self.middle_out(self.middle_attention(self.middle_in(h, embedding)), embedding)

        output: Tensor | None = None  # the output pyramid
        for up in self.up:
            h, output = up(h, output, embedding, skips)
        if config.progressive_output == "output_skip":
            h = output
        else:
            h = norm_activate(self.norm_out, self.activation, h)
            with torch.autocast(x.device.type, enabled=False):
                h = self.conv_out(h.to(self.conv_out.weight.dtype))
        h = h.to(x.dtype)
        return F.pixel_shuffle(h, config.patch) if config.patch > 1 else h


def _attention(channels: int, config: NCSNppConfig) -> Attention:
    norm = group_norm(channels, config.channels_per_group)
    heads = 1 if config.attention_head is None else max(1, channels // config.attention_head)
    return Attention(channels, norm, config.init_scale, math.sqrt(0.5) if config.skip_rescale else 1.0, heads)
