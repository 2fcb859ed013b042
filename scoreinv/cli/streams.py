"""Standard streams as they may be: closed, full, without a reader, or of an encoding that lacks letters."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from typing import TextIO

from scoreinv.errors import ScoreinvError
from scoreinv.text import printable

_ESCAPED = "scoreinv.escaped"


def open_closed() -> None:
    """Open the null device in the place of each standard stream that is closed.

    The work is done all the same; and a file that is opened does not become the process's stdout or stderr, which
    would write into it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        with contextlib.suppress(OSError):
            _open_null(number)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - no path


def _open_null(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)


def stdout_is_closed() -> bool:
    """Whether the process was started without a stdout."""
    return sys.__stdout__ is None


def escape_unknown() -> None:
    """Let stdout and stderr take any text: undecodable bytes of names pass unchanged, missing letters are escaped."""
    codecs.register_error(_ESCAPED, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPED)


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    byte = ord(letter) - 0xDC00
    text = bytes([byte]) if 0x80 <= byte <= 0xFF else letter.encode("ascii", "backslashreplace")
    return text, error.start + 1


def put(text: str) -> None:
    """Write a line to stdout at once, shown as `printable`; raises what `flush` raises."""
    sys.stdout.write(f"{printable(text)}\n")
    flush()


def flush() -> None:
    """Write out what stdout holds; ScoreinvError where it takes no more, BrokenPipeError where its reader went away."""
    try:
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


def warn(text: str) -> None:
    """A line on stderr about something that was not done as the user may expect."""
    say(f"scoreinv: warning: {text}")


def say_traceback(error: BaseException) -> None:
    """The lines of an error's traceback on stderr."""
    import traceback

    for line in "".join(traceback.format_exception(error)).rstrip("\n").split("\n"):
        say(line)


def give_up(stream: TextIO) -> None:
    """Discard what a stream still holds, and whatever is written to it."""
    with contextlib.suppress(OSError):
        number = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)


def finish() -> None:
    """Write out what the streams hold; what they do not take would be an error when the interpreter ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            give_up(stream)


def show_log(*, verbose: bool = False) -> None:
    """Show what the package logs on stderr: errors; warnings as `warn` does; what was chosen and why if verbose."""
    import logging

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.WARNING:
                warn(record.getMessage())
            else:
                word = "error: " if record.levelno >= logging.ERROR else ""
                say(f"scoreinv: {word}{record.getMessage()}")
            if record.exc_info is not None and record.exc_info[1] is not None:
                say_traceback(record.exc_info[1])

    logger = logging.getLogger("scoreinv")
    logger.handlers = [Lines()]
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
