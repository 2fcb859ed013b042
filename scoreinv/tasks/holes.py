"""The holes of a photograph to fill: those of a mask, with notes about it, or detected damage. Imports no torch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scoreinv.analysis.fragments import find_fragments
from scoreinv.analysis.leftovers import find_leftover
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.masks import dilate
from scoreinv.models.loading import Models
from scoreinv.tasks.callbacks import Callback
from scoreinv.tasks.notes import Note, warning
from scoreinv.tasks.requests import InpaintRequest, Inputs

MOSTLY_HOLE = 0.6
"""Share of a photograph above which a mask is probably inverted, or a copy of the photograph with painted marks."""
_MOST_PLACES = 5
"""Maximum number of places that a note names."""


def mask_notes(hole: np.ndarray, picture: Picture | None = None) -> list[Note]:
    """Return the notes about a user's mask, HxW bool.

    picture: add warnings about parts of an object that the mask misses in it.
    """
    if not hole.any():
        return [warning("mask_empty")]
    share = float(hole.mean())
    notes = [warning("mask_mostly_hole", share=share)] if share > MOSTLY_HOLE else []
    if picture is None:
        return notes
    if (leftover := find_leftover(picture, hole)) is not None:
        notes.append(warning("object_left", grow=leftover.grow, share=leftover.share))
        hole = dilate(hole, leftover.grow)
    if places := find_fragments(picture, hole):
        shown = " ".join(f"{x},{y}" for x, y in places[:_MOST_PLACES])
        notes.append(warning("fragments_left", count=len(places), places=shown))
    return notes


def with_hole(
    inputs: Inputs, request: InpaintRequest, models: Models, callback: Callback | None
) -> tuple[Inputs, np.ndarray | None, list[Note]]:
    """Return the inputs with a hole, the damage (HxW bool) that was detected if there was no mask, and the notes.

    Raises InputError if the inputs do not fit the request, or if all of the photograph is damage.
    """
    request.check_given(inputs.given)
    if inputs.hole is not None:
        return inputs, None, mask_notes(inputs.hole, inputs.picture)
    from scoreinv.tasks.damage import detect  # needs torch

    damage, notes = detect(inputs.picture, request, models, callback)
    return replace(inputs, hole=damage), damage, notes
