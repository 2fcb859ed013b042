"""Texture synthesis for deep holes: fills that are put together of patches of the picture around them."""

from scoreinv.texture.nearest_neighbour_field import NearestNeighbourField
from scoreinv.texture.patch_prior import PatchPrior

__all__ = ["NearestNeighbourField", "PatchPrior"]
