"""Sentences for notes, errors and log records."""

import logging
from typing import get_args

import pytest
import torch

from scoreinv.batch.plan import Plan
from scoreinv.cli.options import Common
from scoreinv.cli.render import NOTES, Report, describe, note_text, show_log
from scoreinv.system.errors import EmptyMaskError, ExistsError, MaskError, SettingError
from scoreinv.tasks.notes import NoteCode, info

VALUES = {
    **dict.fromkeys(("level", "share", "sensitivity", "contrast"), 0.25),
    **dict.fromkeys(("width", "height", "grow", "corners", "pixels"), 3),
    **{"kernel": "disk:3", "kind": "disk", "size": "large", "better": "mirrored", "given": "average"},
    **{"places": "3,4 5,6", "count": 2, "change": "CMYK becomes sRGB", "factor": 2},
    **{"task": "fill", "cast": "blue", "whiten": True, "shadow": True, "estimated": True, "angle": 0},
}
"""The values that notes may have."""


@pytest.mark.parametrize("code", get_args(NoteCode))
def test_every_note_has_a_sentence(code):
    text = note_text(info(code, **VALUES).row())
    assert text
    assert "{" not in text


def test_missing_values_of_a_note_are_left_out():
    bare, full = (
        note_text(info("tone_corrected", contrast=contrast, cast=cast).row())
        for contrast, cast in ((0.0, ""), (0.25, "blue"))
    )
    assert [word in full for word in ("+25%", "blue cast")] == [True, True]
    assert [word in bare for word in ("contrast", "cast removed", ",")] == [False] * 3
    alone, whole = (
        note_text(info("object_selected", share=0.5, shadow=shadow, size=size).row())
        for shadow, size in ((False, ""), (True, "small"))
    )
    assert [word in whole for word in ("50 %", "shadow", "smallest")] == [True] * 3
    assert [word in alone for word in ("50 %", "shadow", "possible")] == [True, False, False]
    assert "motion:15,30" in note_text(info("kernel_misfit", better="motion:15,30").row())


def test_there_are_no_sentences_for_other_codes():
    assert set(NOTES) == set(get_args(NoteCode))


@pytest.mark.parametrize(
    ("error", "option"),
    [
        (SettingError("noise_std", "is too high"), "--noise"),
        (SettingError("mask_threshold", "is too high"), "--mask-threshold"),
        (SettingError("not_at", "is outside"), "--not"),
        (ExistsError("a.png: exists"), "--overwrite"),
        (MaskError("no known pixel", "invert_mask"), "--invert-mask"),
        (EmptyMaskError("no hole", "mask_threshold 0"), "--mask-threshold 0"),
    ],
)
def test_errors_name_options(error, option):
    assert option in describe(error)


def test_errors_behind_a_page_are_logged_with_their_traceback(capsys):
    show_log()
    try:
        raise ZeroDivisionError("by the job")
    except ZeroDivisionError:
        logging.getLogger("scoreinv.web.jobs").exception("a job failed")
    said = capsys.readouterr().err
    assert said.startswith("scoreinv: error: a job failed\nTraceback")
    assert said.endswith("ZeroDivisionError: by the job\n")


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_the_name_of_a_file_forges_no_line_of_the_log(capsys, level):
    show_log(verbose=True)
    logging.getLogger("scoreinv.training.data.pictures").log(
        level, "%s is left out", "a\nscoreinv: error: all lost.png"
    )
    assert len(capsys.readouterr().err.splitlines()) == 1
    show_log()


def test_debug_records_are_printed_only_if_asked_for(capsys):
    for debug, said in ((False, ""), (True, "scoreinv: invalid request\n")):
        show_log(debug=debug)
        logging.getLogger("scoreinv.web.app").debug("invalid request")
        assert capsys.readouterr().err == said
    show_log()


def test_an_exhausted_memory_has_a_remedy() -> None:
    errors = (MemoryError(), torch.OutOfMemoryError("of a GPU"), RuntimeError("DefaultCPUAllocator: not enough memory"))
    assert len({describe(error) for error in errors}) == 1
    assert "out of memory: " in describe(errors[0])
    assert "out of memory" not in describe(RuntimeError("shapes"))


def test_a_result_on_stdout_is_not_named(capsys):
    for outputs, said in ((["-"], ""), (["a.png", "b.png"], "scoreinv: a.png, b.png (2 s)\n")):
        row = {"input": "photo.jpg", "notes": [], "outputs": outputs, "seconds": 2.0}
        Report(Plan([], batch=False), Common(), 1).add(row)
        assert capsys.readouterr().err == said
