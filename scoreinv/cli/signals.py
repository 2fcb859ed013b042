"""The signals that end a command: each interrupts it, so that what it began is cleaned up, and is named in one line."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from scoreinv.machine import ENDING_SIGNALS

_WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "ended with its terminal"}
"""What each of the signals in `ENDING_SIGNALS` does to a command."""


class Ended(KeyboardInterrupt):
    """A signal came.

    It is not KeyboardInterrupt itself, of which Python remembers that it has passed code executed from a string, as in
    the midst of imports: in the end it would end the process by SIGINT, whatever its exit status is.
    """


class Signals:
    """Which signal came, if any did."""

    def __init__(self) -> None:
        self.came: signal.Signals | None = None

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Note a signal, and interrupt what is being done."""
        self.came = signal.Signals(number)
        raise Ended

    @property
    def word(self) -> str:
        """What has happened."""
        return _WORDS[self._name]

    @property
    def status(self) -> int:
        """The exit status of shells for it."""
        return 128 + signal.Signals[self._name]

    @property
    def _name(self) -> str:
        return "SIGINT" if self.came is None else self.came.name


@contextmanager
def noted_signals() -> Iterator[Signals]:
    """Note the signals that end a command inside the block; in the main thread only.

    An ignored one stays ignored: `nohup` ignores SIGHUP, and shells ignore SIGINT in what they run in the background.
    """
    signals = Signals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    try:
        for number, handler in before.items():
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, signals.interrupt)
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
