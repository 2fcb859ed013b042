"""Processes and threads of tests: started as by a terminal, waited for, and what they have computed."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def default_signals() -> None:
    """For `preexec_fn`: signals that end a process do so again.

    Under nohup, or in the background of a shell, they are ignored, which processes inherit.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def wait_for(found: Callable[[], Any], seconds: float = 300) -> Any:
    """What is found, once there is something."""
    end = time.perf_counter() + seconds
    while not (value := found()):
        assert time.perf_counter() < end, "waited in vain"
        time.sleep(0.02)
    return value


def cpu_seconds(pid: int) -> float:
    """What a process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
