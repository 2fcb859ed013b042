"""Lines and a progress bar on stderr, for the command line and for Python calls with `progress=True`."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

from scoreinv.system.text import printable
from scoreinv.system.time_left import ETA

if TYPE_CHECKING:
    from rich.progress import Progress

ENDING_SIGNALS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end a process on this system: Ctrl-C, termination, loss of the terminal."""

SHOW_AFTER_SECONDS = 1.0
LINE_EVERY_SECONDS = 30.0
LONG_SECONDS = 60.0


def say(text: str) -> None:
    """Write a `printable` line to stderr; if that fails, discard all further output: the work matters more."""
    try:
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()
    except OSError:
        give_up(sys.stderr)


def give_up(stream: TextIO) -> None:
    """Discard a stream's buffer and all further output to it."""
    with contextlib.suppress(OSError):
        number = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)


def duration(seconds: float) -> str:
    """Format seconds as `42 s`, `3:07` or `2:03:00`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def progress_bar(title: str, *, quiet: bool) -> Iterator[Callable[..., None]]:
    """Show progress: a bar on a terminal, a line now and then elsewhere, nothing if quiet.

    rich draws the bar. The lines (the first comes at once if the work will be long) and the estimate of the time left
    are implemented here, since rich has neither. The percentage is rounded down: 100 % appears only at the end.

    Args:
        title: name of the work.
        quiet: show nothing.

    Yields:
        A function to call with the completed fraction, in (0, 1], as often as desired; optionally with the seconds
        left, if they are known better, and a note.
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
                # rich redirects stdout to print above the bar on stderr; leave pipes and files alone.
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
