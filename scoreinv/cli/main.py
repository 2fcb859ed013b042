"""The `scoreinv` command: how every way to end becomes an exit status.

0 done; 1 a failure; 2 usage or bad input, nothing computed; 130 Ctrl-C, 143 terminated, 129 the terminal is gone.

The commands themselves are imported inside, so that a signal that comes meanwhile ends in one line too.
"""

from __future__ import annotations

import contextlib
import sys

from scoreinv.cli.signals import Signals, noted_signals
from scoreinv.cli.streams import escape_unknown, flush, give_up, open_closed, put, say, show_log
from scoreinv.errors import ScoreinvError


def main() -> int:
    """Run the command line on `sys.argv`; returns the exit status."""
    with noted_signals() as signals:
        open_closed()  # before any file is opened, which would take the place of a closed stream
        escape_unknown()
        try:
            status = _run(sys.argv[1:], signals)
        except KeyboardInterrupt:  # once more, while the first was being told
            status = signals.status
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                give_up(stream)
        return status


def _run(arguments: list[str], signals: Signals) -> int:
    try:
        from scoreinv.cli.app import run
        from scoreinv.cli.runtime import wait_passively

        wait_passively()
        show_log(quiet="--quiet" in arguments)
        status = run(arguments)
        flush()
        return status
    except BrokenPipeError:
        give_up(sys.stdout)  # its reader went away (`scoreinv ... | head`), and has heard enough
        return 1
    except BaseException as error:
        # A signal may have become another error on its way: in the midst of an import, for one.
        if signals.came is not None or isinstance(error, KeyboardInterrupt):
            say(f"scoreinv: {signals.word}")
            return signals.status
        if not isinstance(error, Exception):
            raise
        return _failed(error, arguments)


def _failed(error: Exception, arguments: list[str]) -> int:
    """Say what went wrong; returns the exit status."""
    from scoreinv.cli.failures import describe, exit_status

    if "--debug" in arguments:
        import traceback

        say("".join(traceback.format_exception(error)).rstrip("\n"))
    message = describe(error)
    if "--json" in arguments:
        import json

        source = getattr(error, "source", None)
        record = ({"input": source} if source else {}) | {"error": message}
        with contextlib.suppress(OSError, ScoreinvError):
            put(json.dumps(record))
    if message:  # without arguments the help has been shown, and there is nothing to add
        say(f"scoreinv: error: {message}")
    return exit_status(error)
