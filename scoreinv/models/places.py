"""Places of pictures for `conditional.references`, computed by the bundled place embedding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.conditional.colour import ColourPrior
from scoreinv.conditional.references import ColourPlaces, GrayPlaces
from scoreinv.models.catalogue import bundled_network


def gray_places_of(luma: Tensor, prior: ColourPrior) -> GrayPlaces:
    """Return the places of a grey picture (1, 1, H, W) in [0, 1], for a prior with a network of the mean chroma."""
    with torch.no_grad():
        maps = maps_of(luma, prior)
        keys, colour_weights = bundled_network("places")(maps)
    height, width = maps[0].shape[-2:]
    small = F.interpolate(luma.cpu(), (height, width), mode="area").flatten()
    return GrayPlaces(keys, F.normalize(maps[0], dim=1)[0].flatten(1), colour_weights, small, (height, width))


def colour_places_of(rgb: Tensor, luma: Tensor, prior: ColourPrior) -> ColourPlaces:
    """Return the places of a colour photograph (1, 3, H, W) in [0, 1], with its luma (1, 1, H, W)."""
    gray = gray_places_of(luma, prior)
    chroma = F.interpolate(rgb.cpu(), gray.size, mode="area")[0].flatten(1) - gray.luma
    with torch.no_grad():
        components = bundled_network("places").colours.log_densities(chroma).softmax(0)
    return ColourPlaces(gray, chroma, components)


def paleness_of(luma: Tensor, prior: ColourPrior) -> Tensor:
    """Return the `paleness` of the mean colours of a grey picture (1, 1, H, W) in [0, 1], (1, 1, H / 8, W / 8)."""
    assert prior.chroma is not None
    with torch.no_grad():
        features = prior.chroma.decoder_features(luma)[0].float().cpu()
        colours = bundled_network("places").colours
        return colours.paleness(colours(features)).reshape(1, 1, *features.shape[-2:])


def maps_of(luma: Tensor, prior: ColourPrior) -> list[Tensor]:
    """Return the input maps of `PlaceNetwork` for a grey picture (1, 1, H, W) in [0, 1], on the CPU."""
    assert prior.chroma is not None  # as `check_references` checked
    features, maps = prior.chroma.decoder_features(luma)
    original = bundled_network("encoder")  # trained for classification; the prior's was fine-tuned for colours
    large = original.of_gray(F.interpolate(luma.cpu(), scale_factor=2, mode="bilinear"))
    return [value.float().cpu() for value in (features, *maps[1:], *large[1:])]
