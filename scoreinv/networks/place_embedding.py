"""The embedding of places in pictures: a metric of similarity, and a density of colour.

A place is a pixel of the finest feature map, 8x8 pixels of the picture. The metric maps its features to a vector of
unit length. Places of one kind of thing (two dresses, two dogs) have a large cosine, whatever their size, light and
colour; places of other things have a small one. The density of chroma is a mixture of Gaussians with weights predicted
from the features (Bishop 1994, "Mixture density networks"): a petal may be red, a leaf hardly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.blocks import conv
from scoreinv.networks.chroma import DECODER_FEATURES
from scoreinv.networks.encoder import FEATURES

_MAPS = (DECODER_FEATURES, *FEATURES[1:], *FEATURES[1:])
"""Channels of the compared maps: the last features of the chroma network, the two coarser maps of its encoder, and
those of the original encoder at twice the size."""

_WIDTH, _KEYS = 128, 64
"""Features of each map in the sum, and dimension of the keys."""

_COLOURS = 48
"""Components of the mixture."""
_UNIFORM_SHARE = 0.01
"""Share of the uniform weights in the mixture."""


class Colours(nn.Module):
    """Features (1, `DECODER_FEATURES`, h, w) of places to the mixture weights of their colours, (`_COLOURS`, h w)."""

    def __init__(self) -> None:
        super().__init__()
        self.shares = nn.Conv2d(DECODER_FEATURES, _COLOURS, 1)
        self.centres = nn.Parameter(torch.zeros(3, _COLOURS))
        self.log_width = nn.Parameter(torch.zeros(_COLOURS, 1))

    def forward(self, features: Tensor) -> Tensor:
        weights = self.shares(features)[0].flatten(1).softmax(0)
        return torch.lerp(weights, weights.new_tensor(1 / _COLOURS), _UNIFORM_SHARE)

    def log_densities(self, chroma: Tensor) -> Tensor:
        """Return each component's log density, up to a constant, at chroma (3, N), RGB less luma: (`_COLOURS`, N)."""
        distance = torch.cdist(self.centres.T, chroma.T) / self.log_width.exp()
        return -distance.square() / 2 - 2 * self.log_width

    def paleness(self, weights: Tensor) -> Tensor:
        """Return how much paler the mean colour is than the colours, (N,), for weights w (`_COLOURS`, N).

        It is sum_k w_k sqrt(E_k |c|^2) / |E c|, where E_k is the expectation over component k.


        It is near 1 if one hue is likely, as of skin, and large for clothes, whose hues cancel in the mean.
        """
        rms = (self.centres.square().sum(0) + 2 * (2 * self.log_width[:, 0]).exp()).sqrt()
        return rms @ weights / (self.centres @ weights).norm(dim=0).clamp_min(1e-6)


class PlaceNetwork(nn.Module):
    """Maps (1, C, h, w) of a picture to the embedding of its places; the first map is HxW.

    `forward` returns keys (`_KEYS`, H W), of unit length, and the weights of `Colours` (`_COLOURS`, H W).
    """

    def __init__(self) -> None:
        super().__init__()
        self.colours = Colours()
        self.maps = nn.ModuleList(conv(channels, _WIDTH, 1) for channels in _MAPS)
        self.keys = nn.Conv2d(_WIDTH, _KEYS, 1, bias=False)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        size = maps[0].shape[-2:]
        mixed = [mix(value) for mix, value in zip(self.maps, maps, strict=True)]  # before upsampling, to save time
        h = torch.stack([F.interpolate(value, size, mode="bilinear") for value in mixed]).sum(0)
        return F.normalize(self.keys(F.silu(h)), dim=1)[0].flatten(1), self.colours(maps[0])
