"""Texture synthesis for deep holes: fills composed of patches of the surrounding picture."""

from scoreinv.texture.nearest_neighbour_field import NearestNeighbourField
from scoreinv.texture.patch_prior import PatchPrior

__all__ = ["NearestNeighbourField", "PatchPrior"]
