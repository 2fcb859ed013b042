"""What a deep hole takes no pieces from, though it is known: what would be seen to be out of place.

A fill goes on with what is around it. Colours that nothing beside the hole has belong to other things: words on a card
into a plate, a helmet into a wall. They are left out where they are the most of a place: specks of them are texture.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scoreinv.imaging.regions import means_of_blocks

_BESIDE = 6  # pixels, of the scale at which a hole is drawn first, that are beside it
_ALIKE = 0.1  # distance of colours, RGB in [0, 1], within which they are one
_RARE = 0.01  # share of the pixels beside a hole that may have a colour that counts as not seen there
_PLACE = 5  # side in pixels of a place, half a patch: it is foreign where most of its pixels are


def foreign(rgb: np.ndarray, hole: np.ndarray, halvings: int) -> np.ndarray:
    """What has colours that are not seen beside a hole, HxW bool.

    Args:
        rgb: HxWx3 in [0, 1]; not looked at in the hole.
        hole: HxW bool.
        halvings: how often the picture is halved for the scale at which colours are compared.
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
    unseen = np.zeros(known.shape)
    unseen[known] = apart[:, 0] > _ALIKE
    places = known & (ndimage.uniform_filter(unseen, _PLACE) > 0.5)
    return places.repeat(side, 0).repeat(side, 1)[: hole.shape[0], : hole.shape[1]]
