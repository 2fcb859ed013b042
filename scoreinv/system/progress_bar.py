"""A progress bar on stderr with the time left, for the command line and for Python calls with `progress=True`."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scoreinv.system.terminal import duration, say
from scoreinv.system.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress

SHOW_AFTER_SECONDS = 1.0
LINE_EVERY_SECONDS = 30.0
LONG_SECONDS = 60.0
_MINIMUM = 0.02  # minimum fraction of the work for an estimate of its pace
_APART = 0.002  # minimum fraction of the work between stored reports, so at most 500 are stored


@dataclass
class ETA:
    """Estimates the time left by the slower of two paces: that of all completed work, and that of its later half.

    So the estimate rises when the work slows down, and is never below what the completed work implies. The time before
    the first report (loading, and the slower first evaluation) does not count. The class reads no clock.
    """

    _reports: list[tuple[float, float]] = field(default_factory=list)

    def left(self, now: float, done: float) -> float | None:
        """Record a report, and return the seconds left; None if too little work was completed since the first report.

        Args:
            now: time of the report, in seconds of any clock.
            done: completed fraction of the work, in [0, 1].
        """
        if not 0 < done < 1:
            return None if done <= 0 else 0.0
        reports = self._reports
        while reports and done < reports[-1][1]:
            reports.pop()  # the fraction falls if failed work is repeated
        if not reports or done >= reports[-1][1] + _APART:
            reports.append((now, done))
        half = (reports[0][1] + done) / 2
        halfway = next(report for report in reversed(reports) if report[1] <= half)
        if done - halfway[1] < _MINIMUM:
            return None
        return max((1 - done) * (now - begun) / (done - before) for begun, before in (reports[0], halfway))


@contextlib.contextmanager
def progress_bar(title: str, *, quiet: bool) -> Iterator[Callable[..., None]]:
    """Show the progress of work: a bar by rich on a terminal, else a line every `LINE_EVERY_SECONDS`.

    The lines and the estimate of the time left (`ETA`) are not rich's. Percentages are rounded down: 100 % is the end.

    Args:
        title: name of the work.
        quiet: show nothing.

    Yields:
        A callback that takes the finished fraction of the work, in (0, 1], and optionally the seconds left and a note.
    """
    if quiet:
        yield lambda *_: None
        return
    eta, started = ETA(), time.monotonic()
    last_line = -math.inf
    bar: Progress | None = None

    def show(done: float, left: float | None = None, beside: str = "") -> None:
        nonlocal bar, last_line
        now = time.monotonic()
        if left is None:
            left = eta.left(now, done)
            if left is not None and now - started + left < LONG_SECONDS:
                last_line = max(last_line, started)
        if now - started < SHOW_AFTER_SECONDS:
            return
        if sys.stderr.isatty():
            if bar is None:
                from rich.console import Console
                from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

                words = TextColumn("{task.fields[left]} left"), TextColumn("{task.fields[note]}", markup=False)
                columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), *words
                # rich redirects stdout to stderr to write above the bar, which must not happen to a file or a pipe
                above, console = sys.stdout.isatty(), Console(stderr=True)
                bar = Progress(*columns, console=console, transient=True, redirect_stdout=above)
                bar.add_task(printable(title), total=100, left="?", note="")
                bar.start()
            remaining = "?" if left is None else duration(left)
            bar.update(bar.task_ids[0], completed=math.floor(100 * done), left=remaining, note=printable(beside))
        elif left is not None and now - last_line >= LINE_EVERY_SECONDS:
            last_line = now
            say(", ".join(filter(None, [f"{title}: {math.floor(100 * done)} %, {duration(left)} left", beside])))

    try:
        yield show
    finally:
        if bar is not None:
            bar.stop()
