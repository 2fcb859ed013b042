"""The number of torch's CPU threads, and how they wait for each other.

The command imports this module before torch, so it imports torch within its functions.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from threading import Lock, get_ident

from scoreinv.system.memory import container_limits

OPENMP = "OMP_NUM_THREADS"  # the environment variable for the number of threads
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables for waiting threads: of OpenMP, of GNU's runtime, of Intel's and LLVM's."""
SPIN_COUNT = "3000"
"""Iterations, 10 to 50 ns each, before a waiting thread of GNU's runtime sleeps. Beside a process that occupies one of
two cores, jobs take 1.4 times as long, and with 10,000 iterations twice as long."""

_LOAD = Path("/proc/loadavg")
_OWN_THREADS = Path("/proc/self/task")

_log = logging.getLogger(__name__)
_advised = False
_limiting = Lock()
_unlimited: dict[int, int] = {}
"""Torch's number of threads outside `limit_threads`, for each Python thread inside."""


def sleep_when_idle() -> None:
    """Make torch's waiting threads sleep soon, unless the user has set one of `WAITING`; call it before torch's import.

    By default they spin for long and keep processors from other programs: beside other work, the same job took four to
    eight times as long. Sleeping immediately is slower, too: alone on two cores, fills took 1.5 times as long as with
    `SPIN_COUNT`. The variables change the whole process, so only the command sets them; in other programs
    `yield_to_load` helps.
    """
    if _may_spin():
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ["GOMP_SPINCOUNT"] = SPIN_COUNT  # takes precedence in GNU's runtime; others sleep immediately


def _may_spin() -> bool:
    """Return whether torch's waiting threads spin by default, because none of `WAITING` is set."""
    return not any(name in os.environ for name in WAITING)


def limit_blas() -> None:
    """Make NumPy's and SciPy's BLAS use one thread, unless the user chose a number; call it before NumPy's import.

    Its threads spin while they wait, and the products are small: on two busy cores a fill took 1.6 times the processor
    time and 1.5 times as long with two threads.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def set_threads(count: int | None) -> None:
    """Set torch's number of CPU threads in this process: to a count, or (None) to the container's limit.

    Torch counts the machine's processors: 64 threads in a container of two take many times as long. The user's
    OMP_NUM_THREADS takes precedence over the container's limit.
    """
    import torch

    if count is None and OPENMP not in os.environ:
        count = int(min(torch.get_num_threads(), container_limits()[1]))
    if count is not None:
        torch.set_num_threads(count)


def processors() -> int:
    """Return the number of processors available to this process within the machine's and container's limits."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return int(min(here, container_limits()[1]))


@contextmanager
def yield_to_load() -> Iterator[None]:
    """Within the block, leave busy processors to other programs if torch's threads spin.

    Each operation ends with its slowest thread. If two spinning threads share one free processor, one wastes the time
    that the other needs. The first reduction logs a remedy.
    """
    global _advised
    if not _may_spin():
        yield
        return
    import torch

    count = max(1, min(processors(), (os.cpu_count() or 1) - _busy_elsewhere()))
    limited = count < torch.get_num_threads()
    if limited and not _advised:
        _advised = True
        _log.warning(
            "torch's spinning threads slow each other down beside other work: using %d (remedy: set "
            "OMP_WAIT_POLICY=PASSIVE and GOMP_SPINCOUNT=%s before torch is imported)",
            count,
            SPIN_COUNT,
        )
    with limit_threads(count) if limited else nullcontext():
        yield


def _busy_elsewhere() -> int:
    """Return the number of other processes' threads that run or wait for a processor now; 0 if unknown.

    Linux's load averages are means of this number. The current value includes work that has just begun, and excludes
    this process's own past.
    """
    running = own = 0
    with suppress(OSError, ValueError, IndexError):
        running = int(_LOAD.read_text().split()[3].split("/")[0])
        for thread in _OWN_THREADS.iterdir():
            with suppress(OSError):  # the thread has ended
                own += (thread / "stat").read_text().rpartition(")")[2].split()[0] == "R"
    return max(0, running - own)


@contextmanager
def limit_threads(count: int) -> Iterator[None]:
    """Limit torch to at most `count` threads within the block. One makes sums reproducible to the last bit.

    Torch's number belongs to the Python thread that sets it and to those that begin to use torch afterwards. Blocks
    that overlap in several Python threads therefore share the number to restore.
    """
    import torch

    thread = get_ident()
    with _limiting:
        before = torch.get_num_threads()
        is_outermost = thread not in _unlimited
        if is_outermost:
            _unlimited[thread] = next(iter(_unlimited.values()), before)
        torch.set_num_threads(min(count, before))
    try:
        yield
    finally:
        with _limiting:
            torch.set_num_threads(_unlimited.pop(thread) if is_outermost else before)
