"""Sentences of the page for the notes of tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scoreinv.system.options import GRAY_LEVELS
from scoreinv.system.text import percent
from scoreinv.tasks.notes import Note, NoteCode
from scoreinv.tasks.remedies import remedy
from scoreinv.web.forms import BLURS

NOTES: dict[NoteCode, str] = {
    "file_converted": "{change}.",
    "noise_estimated": "Found {kind}, level {level:.2g}.",
    "noise_low": "The noise, of level {level:.2g}, is faint. Enter a higher level to smooth the photograph.",
    "samples_equal": "Another result would be the same.",
    "model_other_task": "The model was trained for another task: expect poor results.",
    "object_selected": "The selection covers {share} of the photograph.",
    "fragments_selected": "Gaps and tips that resemble the object were added, {share} of it.",
    "shadow_none": "No clear shadow of the object was found.",
    "mask_mostly_hole": "The mask covers {share} of the photograph: little is left to continue from.",
    "mask_empty": "No damage was found, so nothing was filled.",
    "damage_found": "Damage was found in {share} of the photograph.",
    "damage_none": "No damage was found. A higher sensitivity finds more.",
    "damage_given": "The mask covers {share} of the photograph.",
    "damage_uncertain": "{share} of the photograph may be damage and was left. Move the sensitivity slider to fill it.",
    "damage_implausible": "{share} of the photograph resembles damage, which is implausible. Nothing was filled.",
    "object_left": "Part of the object seems to be left. Go back to the mask and extend it by about {grow} pixels.",
    "fragments_left": "Small parts of the object seem to be left at {places}. Go back and add them to the mask.",
    "jpeg_rim_redrawn": "Colour fringes around it were cleaned too.",
    "avoid_unused": "The hole is too narrow to copy from elsewhere: “Don't copy” had no effect.",
    "filled": "The damage was filled.",
    "kind_gray": "The photograph is grey and has no tint.",
    "kind_color": "The photograph is in colour.",
    "colors_replaced": "The photograph was in colour: its colours were replaced.",
    "tint_removed": "The tint of the print was removed.",
    "tint_kept": "The tint of the print was kept.",
    "gray_weights_unknown": "The model does not know the grey weights {given}: the method pc was used.",
    "hints_unused": "The colour hints had no effect: no colours were added.",
    "colors_kept": "The colours were kept.",
    "colors_not_drawn": "No colour was added, because the tint was kept.",
    "colors_drawn": "Colour was added.",
    "border_kept": "The paper border was kept.",
    "border_cropped": "The paper border was cut off: {width}x{height} pixels remain.",
    "tone_too_small": "The photograph is too small to detect fading.",
    "tone_not_faded": "No fading was found.",
    "tone_corrected": "Fading was corrected.",
    "noise_none": "The noise, of level {level:.2g}, is faint and was left.",
    "noise_removed": "Removed {kind}, level {level:.2g}.",
    "enlarged": "The result was enlarged {factor} times.",
    "blur_found": "Estimated blur: {kernel}.",
    "shake_found": "Estimated blur: a shaken camera, {size} pixels.",
    "light_found": "Its values are light, without a tone curve.",
    "looks_sharp": "The photograph looks sharp already: bright and dark rings may appear at edges.",
    "kernel_misfit": "Another blur fits the photograph better: {better}.",
}
"""A sentence for each code, with the values of the note."""

UNCHANGED = "Nothing was changed."
"""Sentence for a task that returned the photograph itself."""

ACTIONS: dict[NoteCode, str] = {
    "tone_too_small": "Correct fading anyway",
    "tone_not_faded": "Correct fading anyway",
    "noise_none": "Remove a little noise anyway",
    "colors_kept": "Replace the colours",
    "damage_uncertain": "Fill it anyway",
}
"""Labels of the buttons that do a step anyway, for the codes that have a remedy."""


def sentences(notes: Iterable[Note]) -> list[str]:
    """Return a sentence for each note."""
    return [NOTES[note.code].format_map(_words(note.values)) for note in notes]


def row_text(rows: Iterable[dict[str, Any]]) -> str:
    """Return the sentences for the notes of a row of a batch."""
    return "\n".join(NOTES[row["code"]].format_map(_words(row)) for row in rows)


def actions(notes: Iterable[Note]) -> list[dict[str, Any]]:
    """Return label and settings of a button for each note with a remedy. Settings are those of the route."""
    found = [(note, remedy(note)) for note in notes]
    return [
        {"label": ACTIONS[note.code].format_map(_words(note.values)), "settings": _settings(fields)}
        for note, fields in found
        if fields
    ]


def _settings(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields of a request as the route takes them, with noise in grey levels."""
    levels = {"noise": round(fields["noise_std"] * GRAY_LEVELS, 2)} if "noise_std" in fields else {}
    return {name: value for name, value in fields.items() if name != "noise_std"} | levels


def _words(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values as sentences show them."""
    words = dict(values)
    if "share" in values:
        words["share"] = percent(values["share"])
    for name in {"kernel", "better"} & values.keys():
        words[name] = _blur(values[name])
    return words


def _blur(kernel: str) -> str:
    """Return a kernel, such as `motion:15,30`, in the page's words."""
    kind, _, numbers = kernel.partition(":")
    size, _, angle = numbers.partition(",")
    return f"{BLURS[kind]}, {size} pixels" + (f", {angle}°" if angle else "")
