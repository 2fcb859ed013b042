"""How alike places of pictures are, and which colours they may have.

A metric on maps of features, as vectors of unit length: places of one kind of thing (two dresses, two dogs) are to have
a large cosine, whatever their size, light and colour, and those of other things a small one. And a density of chroma,
a mixture of Gaussians (Bishop 1994, "Mixture density networks") whose shares what is seen tells: a petal may be red, a
leaf hardly.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.base import with_weights
from scoreinv.networks.blocks import conv
from scoreinv.networks.chroma import SEEN
from scoreinv.networks.encoder import FEATURES
from scoreinv.system.files import PRETRAINED

_MAPS = (SEEN, *FEATURES[1:], *FEATURES[1:])
"""Channels of what is compared: what the network of the mean chroma sees and its encoder's two coarser maps, and those
of the encoder as it was trained first, of the picture at twice the size."""

_WIDTH, _KEYS = 128, 64

_COLOURS = 48
"""Gaussians of chroma."""
_ANY = 0.01
"""Share of all of them alike in the mixture, whatever is seen."""

LIKENESS_FILE = PRETRAINED / "scene" / "likeness.safetensors"


class Colours(nn.Module):
    """What is seen of a picture, (1, `SEEN`, h, w), to which colours its places may have: shares (`_COLOURS`, h w)."""

    def __init__(self) -> None:
        super().__init__()
        self.shares = nn.Conv2d(SEEN, _COLOURS, 1)
        self.centres = nn.Parameter(torch.zeros(3, _COLOURS))
        self.log_width = nn.Parameter(torch.zeros(_COLOURS, 1))

    def forward(self, seen: Tensor) -> Tensor:
        return torch.lerp(self.shares(seen)[0].flatten(1).softmax(0), torch.tensor(1 / _COLOURS), _ANY)

    def log_densities(self, chroma: Tensor) -> Tensor:
        """Of each Gaussian, in two dimensions, up to a constant: (`_COLOURS`, N) at chroma (3, N), RGB less luma."""
        far = torch.cdist(self.centres.T, chroma.T) / self.log_width.exp()
        return -far.square() / 2 - 2 * self.log_width


class PlaceNetwork(nn.Module):
    """Maps (1, C, h, w) of a picture to what its places are compared by; the first map is HxW.

    `forward` gives their keys (`_KEYS`, H W), of unit length, and their shares of `Colours` (`_COLOURS`, H W).
    """

    def __init__(self) -> None:
        super().__init__()
        self.colours = Colours()
        self.maps = nn.ModuleList(conv(channels, _WIDTH, 1) for channels in _MAPS)
        self.keys = nn.Conv2d(_WIDTH, _KEYS, 1, bias=False)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        size = maps[0].shape[-2:]
        mixed = [mix(value) for mix, value in zip(self.maps, maps, strict=True)]  # first, since they are smaller then
        h = torch.stack([F.interpolate(value, size, mode="bilinear") for value in mixed]).sum(0)
        return F.normalize(self.keys(F.silu(h)), dim=1)[0].flatten(1), self.colours(maps[0])


def load_place_network() -> PlaceNetwork:
    """The trained network: float32, on the CPU, in evaluation mode."""
    return with_weights(PlaceNetwork(), LIKENESS_FILE, "likeness")
