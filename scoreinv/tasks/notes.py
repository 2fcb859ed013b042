"""Notes of tasks about a picture, as codes with values. Front ends have a sentence for each code.

Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

NoteCode = Literal[
    "file_converted",  # change: the change of mode or the choice of a frame, in words
    "noise_estimated",  # level: standard deviation in grey levels; kind: the noise in words
    "noise_low",  # level: faint; the picture is unchanged
    "samples_equal",  # nothing was drawn, so all samples are the same picture
    "model_other_task",  # model task: "fill" or "colour"
    # masks and fills
    "object_selected",  # share; size: of the object at a single point, else ""; shadow: whether it is included
    "fragments_selected",  # share of the object in gaps and tips that were added to it
    "shadow_none",  # no cast shadow is clear enough
    "mask_mostly_hole",  # share of the picture in the mask
    "mask_empty",  # a detected mask without damage
    "damage_found",  # share; corners: how many corners of the picture are marked; sensitivity, but not in `restore`
    "damage_none",  # sensitivity, but not in `restore`
    "damage_given",  # share
    "damage_uncertain",  # share: left unless a sensitivity is given
    "damage_implausible",  # share: more than half of the picture
    "object_left",  # grow: pixels by which to grow the mask; share of the hole's rim
    "fragments_left",  # count, places: up to five points "x,y" in small parts of the object outside the mask
    "jpeg_rim_redrawn",  # pixels beside the mask redrawn, since the JPEG had smeared the object over them
    "avoid_unused",  # no hole is deep enough to copy from elsewhere
    "filled",
    # kind and colour
    "kind_gray",
    "kind_color",
    "colors_replaced",
    "tint_removed",  # whiten: whether the lightest tone became white; in `restore` it always does, without this value
    "tint_kept",
    "gray_weights_unknown",  # given, known: names of grey weights; the method is pc
    "hints_unused",  # no colours were added
    "colors_kept",
    "colors_not_drawn",  # since the tint is kept
    "colors_drawn",
    # steps of a restoration
    "border_kept",  # width, height inside it
    "border_cropped",  # width, height that are left
    "tone_too_small",
    "tone_not_faded",
    "tone_corrected",  # contrast: its relative change; cast: hue of the removed colour cast, or ""
    "noise_none",  # level: faint, and left
    "noise_removed",  # level, kind as in noise_estimated
    "enlarged",  # factor
    # blur
    "blur_found",  # kernel, kind, size, angle
    "shake_found",  # size: side of its kernel in pixels
    "light_found",  # its values are light, without a tone curve
    "looks_sharp",  # a given kernel may ring
    "kernel_misfit",  # better: the kernel that fits the spectrum better, or "mirrored"
]
"""Codes of all notes; the comments name their values."""


@dataclass(frozen=True)
class Note:
    """A finding or event of a task.

    Attributes:
        code: the kind of note.
        level: `warning` if the result may differ from the user's expectation.
        values: figures and names, listed in the comment beside the code.
    """

    code: NoteCode
    level: Literal["info", "warning"] = "info"
    values: dict[str, str | float | int | bool] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Return the note as JSON lines and manifests have it."""
        return {"code": self.code, "severity": self.level, **self.values}


def info(code: NoteCode, **values: str | float | int | bool) -> Note:
    """Return a note for information."""
    return Note(code, "info", values)


def warning(code: NoteCode, **values: str | float | int | bool) -> Note:
    """Return a note that warns."""
    return Note(code, "warning", values)
