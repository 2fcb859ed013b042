"""Known areas that a fill of a deep hole should not copy, since they would look out of place.

A fill continues its surroundings. Colours that do not occur beside the hole belong to other objects: writing on a card
must not continue into a plate. Areas in which most pixels have such colours are excluded; single specks are texture.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scoreinv.imaging.resizing import means_of_blocks

_BESIDE = 6  # pixels beside a hole, at its coarsest scale
_SAME_COLOUR = 0.1  # maximum distance of equal colours, RGB in [0, 1]
_RARE = 0.01  # minimum share of pixels beside a hole with the same colour, for a colour that occurs there
_PLACE = 5  # side in pixels of a square, half a patch, that is foreign if most of its pixels are


def foreign(rgb: np.ndarray, hole: np.ndarray, halvings: int) -> np.ndarray:
    """Return the areas with colours that do not occur beside a hole, HxW bool.

    Args:
        rgb: HxWx3 in [0, 1]; ignored in the hole.
        hole: HxW bool.
        halvings: colours are compared in the picture reduced by 2^halvings.
    """
    from scipy.spatial import cKDTree

    side = 2**halvings
    to_blocks = [(0, -length % side) for length in hole.shape]
    filled = np.pad(np.where(hole[..., None], 0.0, rgb), [*to_blocks, (0, 0)], mode="edge")
    unknown = np.pad(hole, to_blocks, mode="edge")
    colours = means_of_blocks(filled, side)
    known = means_of_blocks(unknown, side) == 0
    beside = colours[known & (ndimage.distance_transform_edt(known) <= _BESIDE)]
    if not len(beside):
        return np.zeros_like(hole)
    apart, _ = cKDTree(beside).query(colours[known], k=[max(1, int(_RARE * len(beside)))])
    absent = np.zeros(known.shape)  # 1: a colour that does not occur beside the hole
    absent[known] = apart[:, 0] > _SAME_COLOUR
    places = known & (ndimage.uniform_filter(absent, _PLACE) > 0.5)
    return places.repeat(side, 0).repeat(side, 1)[: hole.shape[0], : hole.shape[1]]
