"""The process of a command: signals, streams, and exit statuses.

Exit status: 0 success; 1 failure; 2 wrong usage or input, nothing computed; 130 Ctrl-C; 143 terminated; 129 the
terminal was closed.

Commands are imported inside functions, so a signal during an import is also reported in one line.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

_WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "ended with its terminal"}
"""Signals that end a command, with the message for each. They raise an exception, which removes unfinished files."""

_PATHS = {
    getattr(errno, name, None)
    for name in ("ENOENT", "ENOTDIR", "EISDIR", "EACCES", "EPERM", "EROFS", "ELOOP", "ENAMETOOLONG", "ENXIO")
} - {None}
"""Error numbers that mean a wrong path from the user rather than a failure of the machine."""


def main() -> int:
    """Run the command line on `sys.argv`, and return the exit status."""
    received: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise _Ended

    # Signals that the parent made this process ignore stay ignored: `nohup` does so with SIGHUP, and shells with SIGINT
    # for background jobs.
    names = _WORDS if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for name in names if (number := getattr(signal, name, None))}
    try:
        for number, handler in before.items():
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, interrupt)
        status = _run(sys.argv[1:], received)
    except KeyboardInterrupt:
        ended = signal.Signals(received[-1] if received else signal.SIGINT)
        status = 128 + ended
        with contextlib.suppress(KeyboardInterrupt):  # a second signal
            from scoreinv.system.terminal import say

            say(f"scoreinv: {_WORDS[ended.name]}")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    with contextlib.suppress(KeyboardInterrupt):
        from scoreinv.system.terminal import give_up

        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:  # the interpreter would report it at its end
                give_up(stream)
    return status


def _run(arguments: list[str], received: list[int]) -> int:
    """Run a command line, and return the exit status.

    Args:
        received: numbers of the signals received so far.
    """
    _open_streams()
    from scoreinv.cli.render import show_log
    from scoreinv.system.terminal import give_up

    try:
        from scoreinv.cli.app import run

        show_log()
        status = run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        give_up(sys.stdout)  # its reader has ended (`scoreinv ... | head`)
        return 1
    except Exception as error:
        if received:  # other code, such as an import, replaced the signal's exception with its own
            raise KeyboardInterrupt from error
        return _failed(error, arguments)


def _failed(error: Exception, arguments: list[str]) -> int:
    """Print an error, and return the exit status: 2 for usage and bad input, 1 for other failures."""
    from scoreinv.cli.render import describe, print_traceback, put, say_error
    from scoreinv.system.errors import ScoreinvError

    common = getattr(error, "common", None)  # None: the options themselves are wrong
    if "--debug" in arguments if common is None else common.debug:
        print_traceback(error)
    usage = hasattr(error, "format_message")  # of Typer's own copy of Click, or of Click itself
    source = getattr(error, "source", None)
    message = _usage(error) if usage else describe(error)
    if "--json" in arguments if common is None else common.json:
        import json

        record = ({"input": source} if source else {}) | {"error": message}
        with contextlib.suppress(OSError, ScoreinvError):
            put(json.dumps(record))
    if message:  # else the help was shown
        say_error(message, source)
    wrong_path = isinstance(error, OSError) and error.filename is not None and error.errno in _PATHS
    return getattr(error, "exit_code", 2 if usage or wrong_path else 1)


def _usage(error: Any) -> str:
    """Return Click's message about a wrong command line, with scoreinv.toml or the variable that set it."""
    from scoreinv.cli.command import source_of
    from scoreinv.system.text import printable

    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    message = " ".join(error.format_message().split()).rstrip(".").replace(": Value error, ", ": ")  # Pydantic's
    if not message:
        return ""
    where = None if context is None or parameter is None else source_of(context, parameter.name)
    missing = hasattr(error, "param_type")  # no other usage error has it
    if missing and (words := getattr(parameter, "help", None)):
        message = f"{message}: {words.rstrip('.')}"
    command = "scoreinv" if context is None else context.command_path
    return printable(f"{f'{where}: ' if where else ''}{message} (see {command} --help)")


class _Ended(KeyboardInterrupt):
    """A signal has been received.

    If KeyboardInterrupt itself has passed through code executed from a string, as during imports, Python ends the
    process by SIGINT, whatever its exit status. A subclass does not have this effect.
    """


def _open_streams() -> None:
    """Open the null device in place of each closed standard stream, and let stdout accept any text.

    Without it the next opened file would become the process's stdout or stderr. Letters that the encoding lacks are
    escaped, as Python does on stderr.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest free number
        pass
    os.close(number)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
