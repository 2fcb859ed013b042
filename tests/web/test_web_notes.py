"""Sentences of the page for notes."""

from typing import get_args

from scoreinv.tasks.notes import Note, NoteCode, info, warning
from scoreinv.tasks.remedies import remedy
from scoreinv.web.notes import ACTIONS, NOTES, actions, row_text, sentences


def test_every_code_has_a_sentence() -> None:
    assert set(NOTES) == set(get_args(NoteCode))


def test_sentences_name_no_command_line_options() -> None:
    for sentence in NOTES.values():
        assert "--" not in sentence
        assert sentence[-1] == "."


def test_values_are_shown_in_the_pages_units() -> None:
    notes = [
        warning("damage_uncertain", share=0.00012),
        info("damage_given", share=0.256),
        info("blur_found", kernel="disk:3.04", kind="disk", size=3.04, angle=0.0),
        warning("kernel_misfit", better="motion:15,30"),
    ]
    assert sentences(notes) == [
        "0.012 % of the photograph may be damage and was left. Move the sensitivity slider to fill it.",
        "The mask covers 26 % of the photograph.",
        "Estimated blur: out of focus, 3.04 pixels.",
        "Another blur fits the photograph better: motion, 15 pixels, 30°.",
    ]
    assert sentences([]) == []


def test_every_remedy_has_a_button() -> None:
    codes = get_args(NoteCode)
    assert {code for code in codes if remedy(Note(code, "info", {"level": 4.0}))} == set(ACTIONS)


def test_the_button_of_a_note_has_the_settings_of_its_route() -> None:
    notes = [info("colors_kept"), info("noise_none", level=3.2), info("tone_not_faded"), info("filled")]
    assert [action["settings"] for action in actions(notes)] == [{"recolor": True}, {"noise": 5}, {"tone": 1.0}]


def test_rows_of_a_batch_have_the_same_sentences() -> None:
    notes = [warning("damage_uncertain", share=0.00012), info("noise_low", level=1.234)]
    assert row_text([note.row() for note in notes]).splitlines() == sentences(notes)
