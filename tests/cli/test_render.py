"""Sentences for errors and log records."""

import logging

import pytest
import torch

from scoreinv.batch.plan import Plan
from scoreinv.cli.options import Common
from scoreinv.cli.render import Report, describe, emit, show_log
from scoreinv.system.errors import EmptyMaskError, ExistsError, MaskError, SettingError


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


def test_an_exhausted_memory_has_a_remedy() -> None:
    errors = (MemoryError(), torch.OutOfMemoryError("of a GPU"), RuntimeError("DefaultCPUAllocator: not enough memory"))
    assert len({describe(error) for error in errors}) == 1
    assert "out of memory: " in describe(errors[0])
    assert "out of memory" not in describe(RuntimeError("shapes"))


def test_a_record_has_no_value_that_json_has_not(capsys):
    with pytest.raises(ValueError, match="JSON"):
        emit(Common(json=True), {"loss": float("nan")})
    assert capsys.readouterr().out == ""


def test_a_result_on_stdout_is_not_named(capsys):
    for outputs, said in ((["-"], ""), (["a.png", "b.png"], "scoreinv: a.png, b.png (2 s)\n")):
        row = {"input": "photo.jpg", "notes": [], "outputs": outputs, "seconds": 2.0}
        Report(Plan([], batch=False), Common(), 1).add(row)
        assert capsys.readouterr().err == said
