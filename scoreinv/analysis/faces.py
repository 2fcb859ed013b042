"""Faces: the people whom no fill may copy from, and the marks that are no damage though they look like it.

An eye is a dark spot as a stain is, and a mouth a dark line. A ceiling that goes on above people is not made of heads.

Faces are upright and seen from in front, and are found by scikit-image's cascade of local binary patterns (Liao et al.
2007, "Learning multi-scale block local binary patterns for face recognition"), which knows nothing of who they are.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from scoreinv.windows.boxes import Box

if TYPE_CHECKING:
    from skimage.feature import Cascade

_SIDE = 768  # longer side, in pixels, of the picture in which faces are looked for at most
_LEAST = 30  # side of the smallest faces, in pixels of that picture
_LARGER = 1.2  # between one size of faces that are looked for and the next
_NEIGHBOURS = 6
"""Places near each other that must look like a face. Of 55 photographs four have a face that is none, with the usual 4
nine; of six real ones in four scratched prints and a portrait none is lost before 7."""

_PARTS = ((0.22, 0.52, 0.05, 0.97), (0.5, 0.7, 0.33, 0.67), (0.7, 0.92, 0.22, 0.8))
"""Eyes with their brows, nostrils, and mouth: top, bottom, left and right as shares of a face's box."""
_HEAD, _SHOULDERS = (0.35, 0.9, 0.85), (1.9, 1.0, 1.5)
"""A head with its hair, and shoulders with what is worn around the neck, as ellipses: their middles below the top of a
face's box, half of their height and half of their width, in sides of that box."""
_DAMAGED = 0.05  # share of a head, or of shoulders, that a hole takes where they are what is to be filled
_EIGHT = np.ones((3, 3), bool)


def facial_features(marked: np.ndarray, gray: np.ndarray, boxes: list[Box]) -> np.ndarray:
    """The marks that are an eye, a brow, a nostril or a mouth, HxW bool.

    Such a mark lies within that part of a face, and is darker than the face. What is brighter is dust or lost emulsion,
    and what goes on beyond is a scratch.

    Args:
        marked: HxW bool, what is taken for damage.
        gray: HxW in [0, 1].
        boxes: where it shows `faces`.
    """
    features = np.zeros_like(marked)
    labels, _ = ndimage.label(marked, _EIGHT)
    marks = ndimage.find_objects(labels)
    for top, left, height, width in boxes:
        skin = np.median(gray[top : top + height, left : left + width])
        for first_row, last_row, first_column, last_column in _PARTS:
            rows = top + first_row * height, top + last_row * height
            columns = left + first_column * width, left + last_column * width
            for number, place in enumerate(marks, 1):
                if _within(place[0], rows) and _within(place[1], columns):
                    mark = labels[place] == number
                    features[place] |= mark & (gray[place][mark].mean() < skin)
    return features


def people_beside(hole: np.ndarray, gray: np.ndarray) -> np.ndarray:
    """Heads and shoulders that a fill of the hole should not repeat, HxW bool.

    A face that the hole touches is what is to be mended, and goes on out of itself; so do a head and shoulders of which
    the hole takes a part. A hole in which no face that is looked for has room, as a crack's, repeats none.

    Args:
        hole: HxW bool.
        gray: HxW in [0, 1], of what is to be removed too.
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
            if part.any() and hole[part].mean() <= _DAMAGED:
                people |= part
    return people


def faces(gray: np.ndarray) -> list[Box]:
    """Where a grey picture (HxW in [0, 1]) shows faces."""
    height, width = gray.shape
    scale = _shrunk(gray)
    small = Image.fromarray(np.rint(255 * gray.clip(0, 1)).astype(np.uint8))
    small = small.resize((max(1, round(scale * width)), max(1, round(scale * height))), Image.Resampling.BOX)
    most = min(small.size)
    if most < _LEAST:
        return []
    found = _cascade().detect_multi_scale(
        np.asarray(small),
        scale_factor=_LARGER,
        step_ratio=1,
        min_size=(_LEAST, _LEAST),
        max_size=(most, most),
        min_neighbor_number=_NEIGHBOURS,
    )
    sides = ("r", "c", "height", "width")
    return [tuple(round(face[side] / scale) for side in sides) for face in found]


def _shrunk(gray: np.ndarray) -> float:
    """What a picture is scaled by where faces are looked for."""
    return min(1.0, _SIDE / max(gray.shape))


def _within(place: slice, limits: tuple[float, float]) -> bool:
    return limits[0] <= place.start and place.stop <= limits[1]


@cache
def _cascade() -> Cascade:
    from skimage.data import lbp_frontal_face_cascade_filename
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())
