"""The task `inpaint` on a photograph: the holes of a mask, with notes about it, or detected damage. Imports no torch.

A classical method or a model fills them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scoreinv.analysis.fragments import find_fragments
from scoreinv.analysis.leftovers import find_leftover
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.masks import dilate
from scoreinv.models.loading import Models
from scoreinv.system.progress import parts
from scoreinv.tasks.notes import Note, warning
from scoreinv.tasks.outcome import InpaintOutcome
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


def inpaint_picture(inputs: Inputs, request: InpaintRequest, models: Models) -> InpaintOutcome[Picture]:
    """Fill the holes of a photograph, or the damage that is detected if it has no mask.

    A fill is grey if all known pixels are, whatever the file's mode.

    Raises InputError if `avoid` leaves too little to copy from, or if all of the photograph is damage.
    """
    searching, filling = parts([int(inputs.hole is None), 3])
    damage = None
    if inputs.hole is not None:
        notes = mask_notes(inputs.hole, inputs.picture)
    else:
        from scoreinv.tasks.damage import detect  # needs torch

        with searching:
            damage, notes = detect(inputs.picture, request, models)
        inputs = replace(inputs, hole=damage)
    if request.classical is not None:
        from scoreinv.tasks.classical import fill_classically

        with filling:
            outcome = fill_classically(inputs, request, notes)
    else:
        from scoreinv.tasks.inpaint import PreparedFill  # needs torch

        prepared = PreparedFill(inputs, request, models, notes)
        with filling:
            outcome = prepared.draw(request)
    return replace(outcome, damage=damage)
