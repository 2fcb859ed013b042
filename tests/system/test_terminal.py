"""Lines on stderr, and names that have moved."""

import os

import pytest

from scoreinv.system.moved import moved
from scoreinv.system.terminal import duration, say


def test_a_stderr_that_nobody_reads_does_not_end_the_work(monkeypatch):
    here, there = os.pipe()
    os.close(here)
    with os.fdopen(there, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        for _ in range(2):
            say("a line")


def test_lines_are_written_at_once_and_do_not_act_on_the_terminal(monkeypatch):
    here, there = os.pipe()
    with os.fdopen(here, "rb") as reader, os.fdopen(there, "w", encoding="utf-8") as stream:
        monkeypatch.setattr("sys.stderr", stream)
        say("two\nlines")
        assert os.read(reader.fileno(), 100) == b"two\\nlines\n"


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


def test_a_name_that_has_moved_is_found_with_a_warning_and_others_as_before():
    find = moved("here", {"old": "math.pi"}, {"other": 2}.__getitem__)
    with pytest.warns(DeprecationWarning, match=r"here\.old is math\.pi"):
        assert 3.14 < find("old") < 3.15
    assert find("other") == 2
    with pytest.raises(AttributeError, match=r"here.*other"):
        moved("here", {"old": "math.pi"})("other")
