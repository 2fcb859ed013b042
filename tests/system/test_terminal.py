"""Lines on stderr."""

import os

import pytest

from scoreinv.system.terminal import duration, say


def test_a_stderr_that_nobody_reads_does_not_end_the_work(monkeypatch):
    here, there = os.pipe()
    os.close(here)
    with os.fdopen(there, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        for _ in range(2):
            say("a line")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1:00"),
        (61, "1:01"),
        (3599.4, "59:59"),
        (3600, "1:00:00"),
        (3 * 3600 + 2 * 60 + 1, "3:02:01"),
    ],
)
def test_durations(seconds, words):
    assert duration(seconds) == words
