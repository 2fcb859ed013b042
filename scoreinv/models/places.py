"""The places of pictures as colour references compare them, by the bundled place embedding."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.conditional.references import Looks, Places
from scoreinv.models.weights import load_encoder, read_network
from scoreinv.networks.place_embedding import PlaceNetwork
from scoreinv.system.files import PRETRAINED

LIKENESS_FILE = PRETRAINED / "scene" / "likeness.safetensors"

_encoder = cache(load_encoder)
"""Encoder trained for classification; a prior's encoder was fine-tuned for colours."""


@cache
def load_place_network() -> PlaceNetwork:
    """Load the bundled place embedding, once per process."""
    return read_network(LIKENESS_FILE, PlaceNetwork)


def looks_of(luma: Tensor, prior: ConditionalPrior) -> Looks:
    """Return the places of a grey picture (1, 1, H, W) in [0, 1], for a prior with a network of the mean chroma."""
    with torch.no_grad():
        maps = maps_of(luma, prior)
        keys, colours = load_place_network()(maps)
    height, width = maps[0].shape[-2:]
    small = F.interpolate(luma.cpu(), (height, width), mode="area")
    return Looks(keys, F.normalize(maps[0], dim=1)[0].flatten(1), colours, small.flatten(), (height, width))


def places_of(rgb: Tensor, luma: Tensor, prior: ConditionalPrior) -> Places:
    """Return the places of a colour photograph (1, 3, H, W) in [0, 1], with its luma (1, 1, H, W)."""
    looks = looks_of(luma, prior)
    chroma = F.interpolate(rgb.cpu(), looks.size, mode="area")[0].flatten(1) - looks.luma
    with torch.no_grad():
        components = load_place_network().colours.log_densities(chroma).softmax(0)
    return Places(looks, chroma, components)


def paleness_of(luma: Tensor, prior: ConditionalPrior) -> Tensor:
    """Return the `paleness` of the mean colours of a grey picture (1, 1, H, W) in [0, 1], (1, 1, H / 8, W / 8)."""
    assert prior.chroma is not None
    with torch.no_grad():
        seen = prior.chroma.seen(luma)[0].float().cpu()
        colours = load_place_network().colours
        return colours.paleness(colours(seen)).reshape(1, 1, *seen.shape[-2:])


def maps_of(luma: Tensor, prior: ConditionalPrior) -> list[Tensor]:
    """Return the maps for `PlaceNetwork`, on the CPU."""
    assert prior.chroma is not None  # as `check_references` checked
    seen, maps = prior.chroma.seen(luma)
    large = _encoder().of_gray(F.interpolate(luma.cpu(), scale_factor=2, mode="bilinear"))
    return [value.float().cpu() for value in (seen, *maps[1:], *large[1:])]
