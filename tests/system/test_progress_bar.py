"""Lines and the bar of progress on stderr."""

import io
import re
import sys
import time

import pytest

from scoreinv.system.progress_bar import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [Terminal(), io.StringIO()])
def test_a_hundred_per_cent_is_told_when_nothing_is_left(terminal, monkeypatch) -> None:
    """It was rounded, and stood beside four seconds that were left."""
    now = 0.0
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress_bar("filling", quiet=False) as show:
        for done in (0.25, 0.5, 0.75, 0.997):
            now = 1000 * done
            show(done)
        for _ in range(100 * terminal.isatty()):  # the bar is drawn by a thread of its own
            if "99" not in terminal.getvalue():
                time.sleep(0.1)
    told = re.findall(r"(\d+) ?%.*?(\d+|\?) s? ?left", terminal.getvalue())
    assert ("99", "3") in told
    assert "100" not in dict(told)


def test_output_to_a_program_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of --json of a folder went to stderr, wrapped, where that was a terminal."""
    stdout = io.StringIO()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(sys, "stdout", stdout)
    clock = iter((0.0, 2.0))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock, 2.0))
    with progress_bar("filling", quiet=False) as show:
        show(0.5)
        print("{}")
    assert stdout.getvalue() == "{}\n"


@pytest.mark.parametrize(
    ("seconds", "left", "quiet", "shown"),
    [
        ([0.5, 1.5], 100, False, [1.5]),  # from a second on
        ([0.5, 1.5], 100, True, []),
        ([2, 20, 33, 50, 64], 100, False, [2, 33, 64]),  # every half minute
        (range(1, 51), None, False, [30]),  # of less than a minute of work, not at once
        (range(7, 295, 7), None, False, range(14, 295, 35)),
    ],
)
def test_lines_come_from_a_second_on_and_every_half_minute(monkeypatch, seconds, left, quiet, shown) -> None:
    now, times, stderr = 0.0, [], io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress_bar("filling", quiet=quiet) as show:
        for now in seconds:
            before = stderr.tell()
            show(now / (seconds[-1] + 0.1), left)
            times += [now] * (stderr.tell() > before)
    assert times == list(shown)
