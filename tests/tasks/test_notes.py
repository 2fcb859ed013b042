"""Notes: what people read on the command line and on the page."""

import pytest

from scoreinv.tasks.notes import NOTES, command_line_text, info, page_text, warning

VALUES = {
    **dict.fromkeys(("level", "share", "sensitivity", "contrast"), 0.25),
    **dict.fromkeys(("width", "height", "grow", "corners", "pixels"), 3),
    **{"kernel": "disk:3", "kind": "disk", "size": "large", "better": "mirrored", "given": "average"},
    **{"places": "3,4 5,6", "count": 2, "change": "CMYK becomes sRGB", "factor": 2},
    **{"task": "fill", "cast": "blue", "whiten": True, "shadow": True, "estimated": True, "angle": 0, "seconds": 2},
}
"""The values that notes may have."""


@pytest.mark.parametrize("code", NOTES)
def test_every_note_has_a_sentence(code):
    row = info(code, **VALUES).row()
    typed, shown = command_line_text(row), page_text(row)
    assert typed
    assert not {"{", "}"} & {*typed, *shown}
    assert "--" not in shown
    assert shown[-1] == "."
    assert shown[0] == shown[0].upper()


@pytest.mark.parametrize(
    ("note", "typed", "shown"),
    [
        (warning("damage_uncertain", share=0.00012), "0.012 %", "0.012 %"),
        (
            info("blur_found", kernel="disk:3.04", kind="disk", size=3.04, angle=0.0),
            "--kernel disk:3.04",
            "3.04 pixels",
        ),
        (warning("kernel_misfit", better="motion:15,30"), "--kernel motion:15,30", "15 pixels, 30°"),
        (warning("kernel_misfit", better="mirrored"), "(--kernel)", "mirror"),
    ],
)
def test_values_are_in_the_units_of_each_front_end(note, typed, shown):
    assert typed in command_line_text(note.row())
    assert shown in page_text(note.row())
