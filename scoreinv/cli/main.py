"""The `scoreinv` command: how every way to end becomes an exit status.

0 done; 1 a failure; 2 usage or bad input, nothing computed; 130 Ctrl-C, 143 terminated, 129 the terminal is gone.

The commands themselves are imported inside, so that a signal that comes meanwhile ends in one line too.
"""

from __future__ import annotations

import contextlib
import sys

from scoreinv.cli import began
from scoreinv.cli.signals import Signals, noted_signals


def main() -> int:
    """Run the command line on `sys.argv`; returns the exit status."""
    began.begin()
    with noted_signals() as signals:
        try:
            return _run(sys.argv[1:], signals)
        except KeyboardInterrupt:
            from scoreinv.cli.streams import finish, say

            with contextlib.suppress(KeyboardInterrupt):  # once more
                say(f"scoreinv: {signals.word}")
                finish()
            return signals.status


def _run(arguments: list[str], signals: Signals) -> int:
    from scoreinv.cli.streams import escape_unknown, finish, flush, give_up, open_closed, show_log

    open_closed()  # before any file is opened, which would take the place of a closed stream
    escape_unknown()
    try:
        from scoreinv.cli.app import run
        from scoreinv.cli.runtime import wait_briefly

        wait_briefly()
        show_log()
        status = run(arguments)
        flush()
    except BrokenPipeError:
        give_up(sys.stdout)  # its reader went away (`scoreinv ... | head`), and has heard enough
        status = 1
    except Exception as error:
        if signals.came is not None:  # it has become another error, in the midst of an import for one
            raise KeyboardInterrupt from error
        status = _failed(error, arguments)
    finish()
    return status


def _failed(error: Exception, arguments: list[str]) -> int:
    """Say what went wrong; returns the exit status."""
    from scoreinv.cli.failures import describe, exit_status
    from scoreinv.cli.streams import put, say, say_traceback
    from scoreinv.errors import ScoreinvError

    settings = getattr(error, "settings", None)  # None: the options themselves are wrong
    if "--debug" in arguments if settings is None else settings.debug:
        say_traceback(error)
    message = describe(error)
    if "--json" in arguments if settings is None else settings.json:
        import json

        source = getattr(error, "source", None)
        record = ({"input": source} if source else {}) | {"error": message}
        with contextlib.suppress(OSError, ScoreinvError):
            put(json.dumps(record))
    if message:  # without arguments the help has been shown, and there is nothing to add
        say(f"scoreinv: error: {message}")
    return exit_status(error)
