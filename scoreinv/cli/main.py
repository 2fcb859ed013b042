"""The process of a command: signals, streams, and how every way to end becomes an exit status.

0 done; 1 a failure; 2 usage or bad input, nothing computed; 130 Ctrl-C, 143 terminated, 129 the terminal is gone.

The commands themselves are imported inside, so that a signal that comes meanwhile ends in one line too.
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
"""The signals that end a command, and what they do: each interrupts it, so that what it began is cleaned up."""

_PATHS = {
    getattr(errno, name, None)
    for name in ("ENOENT", "ENOTDIR", "EISDIR", "EACCES", "EPERM", "EROFS", "ELOOP", "ENAMETOOLONG", "ENXIO")
} - {None}
"""What is wrong with a path that was given, and not with the machine."""


def main() -> int:
    """Run the command line on `sys.argv`; returns the exit status."""
    came: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        came.append(number)
        raise _Ended

    # Signals that are ignored stay so: `nohup` ignores SIGHUP, and shells SIGINT in what they run in the background.
    names = _WORDS if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for name in names if (number := getattr(signal, name, None))}
    try:
        for number, handler in before.items():
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, interrupt)
        status = _run(sys.argv[1:], came)
    except KeyboardInterrupt:
        ended = signal.Signals(came[-1] if came else signal.SIGINT)
        status = 128 + ended
        with contextlib.suppress(KeyboardInterrupt):  # once more
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
            except OSError:  # it would be an error when the interpreter ends
                give_up(stream)
    return status


def _run(arguments: list[str], came: list[int]) -> int:
    """Run a command line; returns the exit status. came: the signals so far."""
    _open_streams()
    from scoreinv.cli.report import show_log
    from scoreinv.system.terminal import give_up

    try:
        from scoreinv.cli.app import run

        show_log()
        status = run(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        give_up(sys.stdout)  # its reader went away (`scoreinv ... | head`), and has heard enough
        return 1
    except Exception as error:
        if came:  # it has become another error, in the midst of an import for one
            raise KeyboardInterrupt from error
        return _failed(error, arguments)


def _failed(error: Exception, arguments: list[str]) -> int:
    """Say what went wrong; returns the exit status: 2 for usage and bad input, 1 for any other failure."""
    from scoreinv.cli.report import describe, put, say_traceback
    from scoreinv.system.errors import ScoreinvError
    from scoreinv.system.terminal import say

    common = getattr(error, "common", None)  # None: the options themselves are wrong
    if "--debug" in arguments if common is None else common.debug:
        say_traceback(error)
    usage = hasattr(error, "format_message")  # of Typer's own copy of Click, or of Click itself
    message = _usage(error) if usage else describe(error)
    if "--json" in arguments if common is None else common.json:
        import json

        source = getattr(error, "source", None)
        record = ({"input": source} if source else {}) | {"error": message}
        with contextlib.suppress(OSError, ScoreinvError):
            put(json.dumps(record))
    if message:  # without arguments the help has been shown, and there is nothing to add
        say(f"scoreinv: error: {message}")
    wrong_path = isinstance(error, OSError) and error.filename is not None and error.errno in _PATHS
    return getattr(error, "exit_code", 2 if usage or wrong_path else 1)


def _usage(error: Any) -> str:
    """What Click says of a wrong command line, with what gave the option, and which help tells more."""
    from scoreinv.cli.command import WHERE
    from scoreinv.system.text import printable

    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    message = " ".join(error.format_message().split()).rstrip(".").replace(": Value error, ", ": ")  # Pydantic's
    if not message:
        return ""
    source = None if context is None or parameter is None else context.get_parameter_source(parameter.name)
    where = WHERE.get(getattr(source, "name", ""))
    if context is not None and parameter is not None and where == WHERE["ENVIRONMENT"]:
        names = [*(parameter.envvar or ()), f"{context.auto_envvar_prefix}_{parameter.name}".upper()]
        where = next((name for name in names if os.environ.get(name)), where)
    missing = hasattr(error, "param_type")  # no other usage error has it
    if missing and (words := getattr(parameter, "help", None)):
        message = f"{message}: {words.rstrip('.')}"
    command = "scoreinv" if context is None else context.command_path
    return printable(f"{f'{where}: ' if where else ''}{message} (see {command} --help)")


class _Ended(KeyboardInterrupt):
    """A signal came.

    It is not KeyboardInterrupt itself, of which Python remembers that it has passed code executed from a string, as in
    the midst of imports: in the end it would end the process by SIGINT, whatever its exit status is.
    """


def _open_streams() -> None:
    """Open the null device in the place of each standard stream that is closed, and let stdout take any text.

    The work is done all the same; and a file that is opened does not become the process's stdout or stderr, which
    would write into it. Letters that an encoding lacks are escaped, on stderr by Python itself.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        with contextlib.suppress(OSError):
            try:
                os.fstat(number)
            except OSError:
                null = os.open(os.devnull, os.O_RDWR)
                if null != number:
                    os.dup2(null, number)
                    os.close(null)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - no path
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
