"""The mean chroma of a grey picture, E[chroma | luma], by regression.

A decoder on the features of an image encoder. From the coarsest map up, each level joins the map of its size. It has
residual blocks (He et al. 2016) and, on the two coarse levels, self-attention, so that the parts of an object agree.
The finest level also gets the luma at twice its size: texture distinguishes leaves from stone. This network learns the
mean from a tenth of the pictures that a score network needs, since its input has no noise.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.blocks import Attention, conv, group_norm, norm_activate
from scoreinv.networks.encoder import FEATURES, Encoder

TUNED_STAGES = 4
"""Number of the encoder's last stages that are trained with the decoder."""

_WIDTHS = (64, 128, 192)
DECODER_FEATURES = _WIDTHS[0]
"""Channels of the decoder's last features."""

_PER_GROUP = 16  # channels of a normalisation group
_HEADS = 4
_LUMA_BLOCK = 4  # side of the block of luma, reduced by two, for each pixel of chroma


class ChromaNetwork(nn.Module):
    """Luma (B, 1, H, W) in [0, 1], sides multiples of 32, to the mean chroma and the encoder's maps.

    `forward` returns the chroma (B, 2, H / 8, W / 8): the last two components of centred pictures on [-1, 1] in the
    colour basis, relative to a grey of the same luma. It also returns the maps of `Encoder.of_gray`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        fine, middle, coarse = _WIDTHS
        self.coarse_in = conv(FEATURES[2], coarse, 1)
        self.coarse = nn.Sequential(_Block(coarse), _attention(coarse), _Block(coarse))
        self.middle_in = conv(coarse + FEATURES[1], middle, 1)
        self.middle = nn.Sequential(_Block(middle), _attention(middle), _Block(middle))
        self.fine_in = conv(middle + FEATURES[0] + _LUMA_BLOCK**2, fine, 1)
        self.fine = nn.Sequential(_Block(fine), _Block(fine))
        self.norm = group_norm(fine, _PER_GROUP)
        self.conv_out = conv(fine, 2, 3, 0.0)

    def forward(self, luma: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        h, maps = self.decoder_features(luma)
        return self.conv_out(h).to(luma.dtype), maps

    def decoder_features(self, luma: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the features from which the last convolution predicts the chroma, and the encoder's maps.

        The features are (B, `DECODER_FEATURES`, H / 8, W / 8).
        """
        maps = self.encoder.of_gray(luma)
        fine, middle, coarse = maps
        h = self.coarse(self.coarse_in(coarse))
        h = self.middle(self.middle_in(torch.cat([_upsample(h), middle.to(h.dtype)], dim=1)))
        luma_blocks = F.pixel_unshuffle(F.avg_pool2d(luma, 2), _LUMA_BLOCK) * 4 - 2
        h = self.fine(self.fine_in(torch.cat([_upsample(h), fine.to(h.dtype), luma_blocks.to(h.dtype)], dim=1)))
        return norm_activate(self.norm, F.silu, h), maps

    def train_last_stages(self) -> None:
        """Enable gradients for the decoder and the last `TUNED_STAGES` stages of the encoder only."""
        self.requires_grad_(True)
        self.encoder.stem.requires_grad_(False)
        self.encoder.stages[:-TUNED_STAGES].requires_grad_(False)


class _Block(nn.Module):
    """Two normalised convolutions, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm_1 = group_norm(channels, _PER_GROUP)
        self.conv_1 = conv(channels, channels, 3)
        self.norm_2 = group_norm(channels, _PER_GROUP)
        self.conv_2 = conv(channels, channels, 3, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv_1(norm_activate(self.norm_1, F.silu, x))
        return x + self.conv_2(norm_activate(self.norm_2, F.silu, h))


def _attention(channels: int) -> Attention:
    return Attention(channels, group_norm(channels, _PER_GROUP), 0.0, 1.0, _HEADS)


def _upsample(h: Tensor) -> Tensor:
    return F.interpolate(h, scale_factor=2, mode="bilinear")
