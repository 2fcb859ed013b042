"""What a command says: JSON lines on stdout for programs; lines and errors on stderr for people."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scoreinv.system.errors import ExistsError, InputError, ScoreinvError, SettingError
from scoreinv.system.memory import is_out_of_memory
from scoreinv.system.terminal import say
from scoreinv.system.text import printable

if TYPE_CHECKING:
    from scoreinv.cli.options import Common

_OPTIONS = {"count": "-n", "label": "--class", "noise_std": "--noise", "not_at": "--not"}
"""Options that are named otherwise than the settings of Python."""


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
    """Return one line about an error. That of an unexpected error names its type and --debug."""
    if isinstance(error, SettingError):
        option = _OPTIONS.get(error.setting, f"--{error.setting.replace('_', '-')}")
        return printable(f"{option} {error.problem}")
    if isinstance(error, ScoreinvError):
        return _one_line(error) + (" by --overwrite" if isinstance(error, ExistsError) else "")
    if is_out_of_memory(error):
        return "out of memory: end other programs, or use a smaller picture, batch or model"
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return f"{type(error).__name__}: {_one_line(error)} (--debug shows where)"


def _one_line(error: BaseException) -> str:
    return printable(" ".join(str(error).split()))


@contextlib.contextmanager
def naming(source: str) -> Iterator[None]:
    """Have an InputError of the block begin with the file that it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


@contextlib.contextmanager
def naming_what_is_logged(source: str) -> Iterator[None]:
    """Have what tasks, which know of no files, log in the block begin with the photograph that it is about."""

    def name(record: logging.LogRecord) -> bool:
        if record.name.startswith(("scoreinv.tasks.", "scoreinv.imaging.")):
            record.msg, record.args = f"{source}: {record.getMessage()}", None
        return True

    handlers = logging.getLogger("scoreinv").handlers
    for handler in handlers:
        handler.addFilter(name)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(name)
