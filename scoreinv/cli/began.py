"""When the command began: `train --minutes` counts from there, loading Python's modules included."""

from __future__ import annotations

import time
from contextvars import ContextVar

_BEGAN: ContextVar[float] = ContextVar("began")


def begin() -> None:
    """The command begins now."""
    _BEGAN.set(time.monotonic())


def seconds() -> float:
    """Seconds since the command began."""
    return time.monotonic() - _BEGAN.get()
