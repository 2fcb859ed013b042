"""Notes about a user's mask. Imports no torch."""

from __future__ import annotations

import numpy as np

from scoreinv.analysis.leftovers import find_leftover
from scoreinv.imaging.picture import Picture
from scoreinv.tasks.notes import Note, warning

_MOSTLY_HOLE = 0.6
"""Share of a photograph above which a mask is probably inverted, or a copy of the photograph with painted marks."""


def mask_notes(hole: np.ndarray) -> list[Note]:
    """Return the notes about a user's mask, HxW bool."""
    if not hole.any():
        return [warning("mask_empty")]
    share = float(hole.mean())
    return [warning("mask_mostly_hole", share=share)] if share > _MOSTLY_HOLE else []


def object_notes(picture: Picture, hole: np.ndarray) -> list[Note]:
    """Return a note if part of the object seems to be left beside its mask, HxW bool."""
    leftover = find_leftover(picture, hole)
    return [] if leftover is None else [warning("object_left", grow=leftover.grow, share=leftover.share)]
