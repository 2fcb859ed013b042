"""A progress bar on stderr with the time left, for work that takes over a second."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from scoreinv.cli.streams import say
from scoreinv.eta import ETA
from scoreinv.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SHOW_AFTER_SECONDS = 1.0
LINE_EVERY_SECONDS = 30.0
LONG_SECONDS = 60.0


class RunProgress:
    """How far a run over many pictures is, each of which counts alike.

    Arguments:
        count: of the pictures to do.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.finished = 0
        self.pace = ETA()

    def finish(self) -> None:
        """A picture is through, done or failed."""
        self.finished += 1

    def note(self, now: float, done: float) -> str:
        """The time left for all pictures, when so many of the current ones are done; empty where nothing tells it."""
        left = self.pace.left(now, min(1.0, (self.finished + done) / max(1, self.count)))
        return "" if left is None or self.count < 2 else f"{duration(left)} for all"


class ProgressBar:
    """Shows how far a piece of work is: a bar on a terminal, elsewhere a line now and then, nothing when quiet.

    Elsewhere the first line comes as soon as the first part of the work shows that it is going to be long.

    A context manager; its progress may be reported as often as one likes.

    Arguments:
        title: what is done.
        run: of which this work is a part; the time left for all of it is shown beside.
        pictures: of the run that this work is.
    """

    def __init__(self, title: str, *, quiet: bool, run: RunProgress | None = None, pictures: int = 1) -> None:
        self.title = printable(title)
        self.quiet = quiet
        self.run = run
        self.pictures = pictures
        self.started = time.monotonic()
        self.pace = ETA()
        self.last_line = -math.inf
        self.bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar[0].stop()

    def fraction(self, done: float) -> None:
        """This share of the work is done, in (0, 1]."""
        now = time.monotonic()
        left = self.pace.left(now, done)
        note = "" if self.run is None else self.run.note(now, done * self.pictures)
        if left is None:
            if sys.stderr.isatty():
                self.show(done, "?", note)
            return
        if now - self.started + left < LONG_SECONDS:
            self.last_line = max(self.last_line, self.started)
        self.show(done, duration(left), note)

    def show(self, done: float, left: str, note: str = "") -> None:
        """This share is done, so much time is left; `note` is shown beside."""
        now = time.monotonic()
        if self.quiet or now - self.started < SHOW_AFTER_SECONDS:
            return
        if sys.stderr.isatty():
            self.bar = self.bar or self._start()
            bar, task = self.bar
            bar.update(task, completed=done, left=left, note=note)
        elif now - self.last_line >= LINE_EVERY_SECONDS:
            self.last_line = now
            line = f"{self.title}: {100 * done:.0f} %, {left} left"
            say(f"{line}, {note}" if note else line)

    def _start(self) -> tuple[Progress, TaskID]:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]} left"),
            TextColumn("{task.fields[note]}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        task = bar.add_task(self.title, total=1.0, note="", left="?")
        bar.start()
        return bar, task


def duration(seconds: float) -> str:
    """Seconds as `42 s`, `3:07` or `2:03:00`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
