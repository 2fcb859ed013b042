"""Signals that end a process, between steps instead of inside one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from scoreinv.machine import ENDING_SIGNALS


class Interrupts:
    """Which signal has come, if any did."""

    def __init__(self) -> None:
        self.came: signal.Signals | None = None


@contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """Ctrl-C, SIGTERM and SIGHUP inside the block are noted, and handed on at its end to what handled them before.

    A second one is handed on at once. Those that are ignored stay so: `nohup` ignores SIGHUP, and shells ignore SIGINT
    in what they run in the background. In the main thread only.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    # A handler that is not Python's own is unknown here (None) and cannot be put back: it stays.
    taken = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    def put_back() -> None:
        for number in taken:
            signal.signal(number, before[number])

    def note(number: int, frame: FrameType | None) -> None:
        interrupts.came = signal.Signals(number)
        put_back()

    for number in taken:
        signal.signal(number, note)
    try:
        yield interrupts
    finally:
        put_back()
        if interrupts.came is not None:
            signal.raise_signal(interrupts.came)
