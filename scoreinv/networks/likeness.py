"""How alike places of pictures are: a metric on maps of features, as vectors of unit length.

Places of one kind of thing (two dresses, two dogs) are to have a large cosine, whatever their size, light and colour,
and those of other things a small one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.files import PRETRAINED
from scoreinv.networks.base import with_weights
from scoreinv.networks.blocks import conv
from scoreinv.networks.chroma import SEEN
from scoreinv.networks.encoder import FEATURES

_MAPS = (SEEN, *FEATURES[1:], *FEATURES[1:])
"""Channels of what is compared: what the network of the mean chroma sees and its encoder's two coarser maps, and those
of the encoder as it was trained first, of the picture at twice the size."""

_WIDTH, _KEYS = 128, 64

LIKENESS_FILE = PRETRAINED / "scene" / "likeness.safetensors"


class Likeness(nn.Module):
    """Maps (1, C, h, w) of a picture to the keys of its places (`_KEYS`, H W), of unit length; the first map is HxW."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.ModuleList(conv(channels, _WIDTH, 1) for channels in _MAPS)
        self.keys = nn.Conv2d(_WIDTH, _KEYS, 1, bias=False)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        size = maps[0].shape[-2:]
        mixed = [mix(value) for mix, value in zip(self.maps, maps, strict=True)]  # first, since they are smaller then
        h = torch.stack([F.interpolate(value, size, mode="bilinear") for value in mixed]).sum(0)
        return F.normalize(self.keys(F.silu(h)), dim=1)[0].flatten(1)


def load_likeness() -> Likeness:
    """The trained metric: float32, on the CPU, in evaluation mode."""
    likeness = Likeness()
    with_weights(likeness, LIKENESS_FILE, "likeness")
    return likeness
