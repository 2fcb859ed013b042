"""Processes of tests as a terminal starts them."""

from __future__ import annotations

import signal


def default_signals() -> None:
    """For `preexec_fn`: signals that end a process do so again.

    Under nohup, or in the background of a shell, they are ignored, which processes inherit.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
