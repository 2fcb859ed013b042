"""What a command says: JSON lines on stdout for programs; lines, errors and a progress bar on stderr for people."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from scoreinv.errors import ExistsError, InputError, ScoreinvError, SettingError
from scoreinv.text import printable
from scoreinv.time_left import Countdown

if TYPE_CHECKING:
    from rich.progress import Progress

    from scoreinv.cli.options import Common

_OPTIONS = {"count": "-n", "label": "--class", "noise_std": "--noise", "not_at": "--not"}
"""Options that are named otherwise than the settings of Python."""
SHOW_AFTER_SECONDS = 1.0
LINE_EVERY_SECONDS = 30.0
LONG_SECONDS = 60.0


def put(text: str) -> None:
    """Write a line to stdout at once, shown as `printable`.

    Raises ScoreinvError where stdout takes no more, and BrokenPipeError where its reader went away.
    """
    try:
        sys.stdout.write(f"{printable(text)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ScoreinvError(f"stdout: {error.strerror}") from error


def say(text: str) -> None:
    """Write a line to stderr, shown as `printable`; a stderr that cannot take it is given up: the work matters more."""
    try:
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()
    except OSError:
        give_up(sys.stderr)


def give_up(stream: TextIO) -> None:
    """Discard what a stream still holds, and whatever is written to it."""
    with contextlib.suppress(OSError):
        number = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)


def warn(text: str) -> None:
    """A line on stderr about something that was not done as the user may expect."""
    say(f"scoreinv: warning: {text}")


def notice(common: Common, text: str) -> None:
    """A line for a person on stderr, unless quiet or machine-read."""
    if not common.quiet and not common.json:
        say(f"scoreinv: {text}")


def advise(common: Common, text: str) -> None:
    """A line on stderr that says how to go on, unless quiet; with `--json` too, where a notice is left out."""
    if not common.quiet:
        say(f"scoreinv: {text}")


def emit(common: Common, record: dict[str, Any]) -> None:
    """One JSON object on a line of stdout, at once, when `--json` asks for it."""
    if common.json:
        put(json.dumps(record, allow_nan=False))


def rehearse(common: Common, record: dict[str, Any], text: str) -> None:
    """What `--dry-run` says on stdout of a piece of work: a line for people, or for programs."""
    if common.json:
        emit(common, record | {"dry_run": True})
    else:
        put(text)


class Lines(logging.Handler):
    """Shows what is logged on stderr: errors, warnings as `warn` does, and what was chosen and why."""

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record."""
        words = {logging.WARNING: "warning: ", logging.ERROR: "error: "}
        say(f"scoreinv: {words.get(record.levelno, '')}{record.getMessage()}")
        if record.exc_info is not None and record.exc_info[1] is not None:
            say_traceback(record.exc_info[1])


def show_log(*, verbose: bool = False) -> None:
    """Show what the package logs: errors and warnings, and if verbose all else."""
    logger = logging.getLogger("scoreinv")
    logger.handlers = [Lines()]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)


def say_traceback(error: BaseException) -> None:
    """The lines of an error's traceback on stderr."""
    import traceback

    for line in "".join(traceback.format_exception(error)).rstrip("\n").split("\n"):
        say(line)


def describe(error: BaseException) -> str:
    """What went wrong, on one line; an unexpected error with its type and the option that shows its traceback."""
    if isinstance(error, SettingError):
        option = _OPTIONS.get(error.setting, f"--{error.setting.replace('_', '-')}")
        return printable(f"{option} {error.problem}")
    if isinstance(error, ScoreinvError):
        return _one_line(error) + (" by --overwrite" if isinstance(error, ExistsError) else "")
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return f"{type(error).__name__}: {_one_line(error)} (--debug shows where)"


def _one_line(error: BaseException) -> str:
    return printable(" ".join(str(error).split()))


@contextlib.contextmanager
def naming(source: str) -> Any:
    """Have an InputError of the block begin with the file that it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def duration(seconds: float) -> str:
    """Seconds as `42 s`, `3:07` or `2:03:00`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextlib.contextmanager
def progress_bar(
    title: str, *, quiet: bool, note: Callable[[float, float], str] | None = None
) -> Iterator[Callable[..., None]]:
    """Show how far a piece of work is: a bar on a terminal, elsewhere a line now and then, nothing when quiet.

    rich draws the bar; the lines of logs, the first of which comes at once where the work is going to be long, and the
    pace of the later half of the work are what it lacks.

    Args:
        title: what is done.
        note: gives what is shown beside, by the time and the share of the work that is done then.

    Yields:
        What is called with the share of the work that is done, in (0, 1], as often as one likes; and, where they are
        known better, with the seconds left and what is shown beside.
    """
    eta, started, title = Countdown(), time.monotonic(), printable(title)
    last_line = -math.inf
    bar: Progress | None = None

    def show(done: float, left: float | None = None, beside: str = "") -> None:
        nonlocal bar, last_line
        now = time.monotonic()
        if left is None:
            left = eta.left(now, done)
            beside = "" if note is None else note(now, done)
            if left is not None and now - started + left < LONG_SECONDS:
                last_line = max(last_line, started)
        if quiet or now - started < SHOW_AFTER_SECONDS:
            return
        if sys.stderr.isatty():
            if bar is None:
                from rich.console import Console
                from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

                words = TextColumn("{task.fields[left]} left"), TextColumn("{task.fields[note]}", markup=False)
                columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), *words
                bar = Progress(*columns, console=Console(stderr=True), transient=True)
                bar.add_task(title, total=1.0, left="?", note="")
                bar.start()
            bar.update(bar.task_ids[0], completed=done, left="?" if left is None else duration(left), note=beside)
        elif left is not None and now - last_line >= LINE_EVERY_SECONDS:
            last_line = now
            say(", ".join(filter(None, [f"{title}: {100 * done:.0f} %, {duration(left)} left", beside])))

    try:
        yield show
    finally:
        if bar is not None:
            bar.stop()
