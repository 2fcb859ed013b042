"""Faces: people that a fill must not copy, and facial features that look like damage.

An eye is a dark spot like a stain, and a mouth a dark line. A ceiling continued above people must not contain heads.

Upright frontal faces are found by scikit-image's cascade of local binary patterns (Liao et al. 2007, "Learning
multi-scale block local binary patterns for face recognition"), which does not identify persons.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from scoreinv.imaging.resizing import resized, scaled
from scoreinv.system.options import FOUND_GROW
from scoreinv.windows.boxes import Box

if TYPE_CHECKING:
    from skimage.feature import Cascade

_SIDE = 768  # maximum longer side of the picture for the detection, in pixels
_LEAST = 30  # side of the smallest faces, in pixels of that picture
_LARGER = 1.2  # ratio of consecutive sizes of faces
_NEIGHBOURS = 6
"""Minimum number of overlapping detections. With 6, four of 55 photographs have a false face, with the usual 4 nine;
the six real ones in four scratched prints and a portrait are found up to 6."""

_PARTS = ((0.22, 0.52, 0.05, 0.97), (0.5, 0.7, 0.33, 0.67), (0.7, 0.92, 0.22, 0.8))
"""Eyes with brows, nostrils, and mouth: top, bottom, left and right, as fractions of a face's box."""
_HEAD, _SHOULDERS = (0.35, 0.9, 0.85), (1.9, 1.0, 1.5)
"""Ellipses of a head with hair, and of shoulders: centre below the top of a face's box, half height and half width, in
sides of the box."""
_DAMAGED = 0.05  # minimum share of a head or shoulders within a hole if they are to be filled
_EIGHT = np.ones((3, 3), bool)


def facial_features(marked: np.ndarray, gray: np.ndarray, boxes: list[Box]) -> np.ndarray:
    """Return the marks that are an eye, a brow, a nostril or a mouth, HxW bool.

    Such a mark is inside that part of a face, and darker than the face. Brighter marks are dust or lost emulsion, and
    longer ones scratches. Pieces that touch after dilation by `FOUND_GROW` pixels, as of a broken crease, are one mark.

    Args:
        marked: HxW bool, detected damage.
        gray: HxW in [0, 1].
        boxes: the boxes of `faces`.
    """
    features = np.zeros_like(marked)
    labels, _ = ndimage.label(ndimage.binary_dilation(marked, _EIGHT, FOUND_GROW), _EIGHT)
    labels[~marked] = 0
    marks = ndimage.find_objects(labels)
    for top, left, height, width in boxes:
        skin = np.median(gray[top : top + height, left : left + width])
        for first_row, last_row, first_column, last_column in _PARTS:
            rows = top + first_row * height, top + last_row * height
            columns = left + first_column * width, left + last_column * width
            for number, (down, across) in enumerate(marks, 1):
                place = down, across
                limits = (down.start >= rows[0], down.stop <= rows[1], across.start >= columns[0])
                if all(limits) and across.stop <= columns[1]:
                    mark = labels[place] == number
                    features[place] |= mark & (gray[place][mark].mean() < skin)
    return features


def people_beside(hole: np.ndarray, gray: np.ndarray) -> np.ndarray:
    """Return heads and shoulders that a fill of the hole should not copy, HxW bool.

    This excludes faces that the hole touches, and heads and shoulders that it covers in part, since they are to be
    filled. A hole too narrow for the smallest face, such as a crack, cannot copy any.

    Args:
        hole: HxW bool.
        gray: HxW in [0, 1], including the hole's content.
    """
    people = np.zeros_like(hole)
    if not ndimage.minimum_filter(hole, math.ceil(_LEAST / _shrunk(gray))).any():
        return people
    down, across = np.ogrid[: hole.shape[0], : hole.shape[1]]
    for top, left, height, width in faces(gray):
        if hole[top : top + height, left : left + width].any():
            continue
        for middle, high, wide in (_HEAD, _SHOULDERS):
            away = ((down - top) / height - middle) ** 2 / high**2 + ((across - left) / width - 0.5) ** 2 / wide**2
            part = away <= 1
            if hole[part].mean() <= _DAMAGED:
                people |= part
    return people


def faces(gray: np.ndarray) -> list[Box]:
    """Return the boxes of the faces in a grey picture (HxW in [0, 1])."""
    scale = _shrunk(gray)
    levels = np.rint(255 * gray.clip(0, 1)).astype(np.uint8)
    small = resized(levels, scaled(gray.shape, scale), Image.Resampling.BOX)
    most = min(small.shape)
    found = _cascade().detect_multi_scale(
        small,
        scale_factor=_LARGER,
        step_ratio=1,
        min_size=(_LEAST, _LEAST),
        max_size=(most, most),
        min_neighbor_number=_NEIGHBOURS,
    )
    sides = ("r", "c", "height", "width")
    return [tuple(round(face[side] / scale) for side in sides) for face in found]


def _shrunk(gray: np.ndarray) -> float:
    """Return the scale of the picture for the detection."""
    return min(1.0, _SIDE / max(gray.shape))


@cache
def _cascade() -> Cascade:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())
