"""Lines on stderr, durations in words, and the signals that end a process."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TextIO

from scoreinv.system.text import printable

ENDING_SIGNALS = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals of this system that end a process: Ctrl-C, termination, loss of the terminal."""


def say(text: str) -> None:
    """Write a printable line to stderr. If stderr fails, discard it, so that the work continues."""
    try:
        sys.stderr.write(f"{printable(text)}\n")
        sys.stderr.flush()
    except OSError:
        give_up(sys.stderr)


def give_up(stream: TextIO) -> None:
    """Discard the buffer of a stream and everything written to it later."""
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
