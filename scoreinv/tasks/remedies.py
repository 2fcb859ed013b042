"""Settings of `restore` that do a step anyway, for notes that it found nothing to do."""

from __future__ import annotations

from typing import Any

from scoreinv.system.options import GRAY_LEVELS, USUAL_SENSITIVITY
from scoreinv.tasks.notes import Note

_LITTLE = 5 / GRAY_LEVELS
"""Noise to remove from a photograph in which little was found, in [0, 1]."""


def remedy(note: Note) -> dict[str, Any] | None:
    """Return fields of `RestoreRequest` that do the step of a note anyway; None if nothing was left undone."""
    match note.code:
        case "tone_too_small" | "tone_not_faded":
            return {"tone": 1.0}
        case "noise_none":
            return {"noise_std": _LITTLE}
        case "colors_kept":
            return {"recolor": True}
        case "damage_uncertain":
            return {"sensitivity": USUAL_SENSITIVITY}
    return None
