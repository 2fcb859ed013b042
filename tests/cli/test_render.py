"""What is logged, and shown."""

from __future__ import annotations

import logging

import torch

from scoreinv.cli.render import describe, show_log


def test_what_went_wrong_behind_a_page_is_told_with_its_traceback(capsys):
    show_log()
    try:
        raise ZeroDivisionError("by the job")
    except ZeroDivisionError:
        logging.getLogger("scoreinv.web.jobs").exception("a job failed")
    said = capsys.readouterr().err
    assert said.startswith("scoreinv: error: a job failed\nTraceback")
    assert said.endswith("ZeroDivisionError: by the job\n")


def test_an_exhausted_memory_has_a_remedy() -> None:
    errors = (MemoryError(), torch.OutOfMemoryError("of a GPU"), RuntimeError("DefaultCPUAllocator: not enough memory"))
    assert len({describe(error) for error in errors}) == 1
    assert "out of memory: " in describe(errors[0])
    assert "out of memory" not in describe(RuntimeError("shapes"))
