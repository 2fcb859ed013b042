"""Similarity of places in pictures, and their plausible colours.

The metric embeds feature maps as unit vectors: places on the same kind of object (two dresses, two dogs) have a large
cosine, whatever their size, light and colour. The density of chroma is a mixture of Gaussians (Bishop 1994, "Mixture
density networks") whose weights depend on the features: a petal may be red, a leaf hardly.
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
"""Channels of the inputs: the finest features of the chroma network, its encoder's two coarser maps, and the same maps
of the original encoder for the picture at twice the size."""

_WIDTH, _KEYS = 128, 64

_COLOURS = 48
"""Number of Gaussians."""
_ANY = 0.01
"""Weight of the uniform mixture, whatever the features."""

LIKENESS_FILE = PRETRAINED / "scene" / "likeness.safetensors"


class Colours(nn.Module):
    """Mixture weights (`_COLOURS`, h w) of the chroma, from the features (1, `SEEN`, h, w) of a picture."""

    def __init__(self) -> None:
        super().__init__()
        self.shares = nn.Conv2d(SEEN, _COLOURS, 1)
        self.centres = nn.Parameter(torch.zeros(3, _COLOURS))
        self.log_width = nn.Parameter(torch.zeros(_COLOURS, 1))

    def forward(self, seen: Tensor) -> Tensor:
        return torch.lerp(self.shares(seen)[0].flatten(1).softmax(0), torch.tensor(1 / _COLOURS), _ANY)

    def log_densities(self, chroma: Tensor) -> Tensor:
        """Return log densities of the 2-D Gaussians up to a constant, (`_COLOURS`, N), at chroma (3, N), RGB - luma."""
        far = torch.cdist(self.centres.T, chroma.T) / self.log_width.exp()
        return -far.square() / 2 - 2 * self.log_width


class PlaceNetwork(nn.Module):
    """Embedding of places from feature maps (1, C, h, w) of a picture; the first map is HxW.

    `forward` returns unit vectors (`_KEYS`, H W), and the mixture weights of `Colours` (`_COLOURS`, H W).
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


def load_place_network() -> PlaceNetwork:
    """Load the trained network: float32, on the CPU, in evaluation mode."""
    return with_weights(PlaceNetwork(), LIKENESS_FILE, "likeness")
