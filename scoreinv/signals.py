"""The signals that end a process: Ctrl-C, termination, and the loss of its terminal."""

from __future__ import annotations

import signal

ENDING = [signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Those that this system has."""
