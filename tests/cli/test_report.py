"""What is logged, and shown."""

from __future__ import annotations

import logging

from scoreinv.cli.report import show_log


def test_what_went_wrong_behind_a_page_is_told_with_its_traceback(capsys):
    show_log()
    try:
        raise ZeroDivisionError("by the job")
    except ZeroDivisionError:
        logging.getLogger("scoreinv.web.jobs").exception("a job failed")
    said = capsys.readouterr().err
    assert said.startswith("scoreinv: error: a job failed\nTraceback")
    assert said.endswith("ZeroDivisionError: by the job\n")
