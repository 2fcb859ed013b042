"""Known areas that a fill of a deep hole should not copy, since they would look out of place.

A fill continues its surroundings. Colours that do not occur beside the hole belong to other objects: writing on a card
must not continue into a plate. Areas in which most pixels have such colours are excluded; single specks are texture.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from scoreinv.imaging.resizing import means_of_blocks

_BESIDE = 6  # pixels beside a hole, at its coarsest scale
SAME_COLOUR = 0.1  # maximum distance of equal colours, RGB in [0, 1]
_RARE = 0.01  # minimum share of pixels beside a hole with the same colour, for a colour that occurs there
_AT_ONCE = 2**18  # pairs of colours compared at once
_PLACE = 5  # side in pixels of a square, half a patch, that is foreign if most of its pixels are


def foreign(rgb: np.ndarray, hole: np.ndarray, halvings: int) -> np.ndarray:
    """Return the areas with colours that do not occur beside a hole, HxW bool.

    Args:
        rgb: HxWx3 in [0, 1]; ignored in the hole.
        hole: HxW bool.
        halvings: colours are compared in the picture reduced by 2^halvings.
    """
    side = 2**halvings
    to_blocks = [(0, -length % side) for length in hole.shape]
    filled = np.pad(np.where(hole[..., None], 0.0, rgb), [*to_blocks, (0, 0)], mode="edge")
    unknown = np.pad(hole, to_blocks, mode="edge")
    colours = means_of_blocks(filled, side)
    known = means_of_blocks(unknown, side) == 0
    beside = colours[known & (ndimage.distance_transform_edt(known) <= _BESIDE)]
    if not len(beside):
        return np.zeros_like(hole)
    absent = np.zeros(known.shape)  # 1: a colour that does not occur beside the hole
    absent[known] = count_alike(colours[known], beside) < max(1, int(_RARE * len(beside)))
    places = known & (ndimage.uniform_filter(absent, _PLACE) > 0.5)
    return places.repeat(side, 0).repeat(side, 1)[: hole.shape[0], : hole.shape[1]]


def count_alike(colours: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the number of equal colours among Mx3 for each of Nx3, N; RGB in [0, 1]."""
    # |c - a|^2 - SAME_COLOUR^2 as one product: faster than a search tree, and than the import of SciPy's.
    one, other = (np.ones(len(each), each.dtype) for each in (colours, among))
    lifted = np.column_stack([-2 * colours, np.square(colours).sum(1), one])
    excess = np.column_stack([among, other, np.square(among).sum(1) - SAME_COLOUR**2]).T
    parts = np.array_split(lifted, 1 + len(colours) * len(among) // _AT_ONCE)
    return np.concatenate([np.count_nonzero(part @ excess <= 0, axis=1) for part in parts])
