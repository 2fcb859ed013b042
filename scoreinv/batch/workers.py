"""Worker processes on this machine. Each gets jobs and the `Work`, loads its models once, and returns rows.

By default each worker uses one thread, since networks on small windows gain little from several, and there are as many
workers as processors, if the batch is large enough to repay their start and the memory suffices. `auto` chooses the
precision once, for all workers.
"""

from __future__ import annotations

import logging
import logging.handlers
import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from scoreinv.batch.plan import Job, Row
from scoreinv.batch.work import Work, process
from scoreinv.files.read import stated_pixels
from scoreinv.system.devices import device_of
from scoreinv.system.memory import available_bytes
from scoreinv.system.terminal import ENDING_SIGNALS
from scoreinv.system.threads import OPENMP, processors

RETRIES = 3
"""Maximum number of repetitions of a picture whose worker was killed."""
_WORTH_A_WORKER = 8
"""Minimum number of pictures per worker: with fewer, starting a worker takes longer than it saves."""
_PROCESS_BYTES, _PIXEL_BYTES = 600_000_000, 250
"""Memory of a worker with its models, and per pixel of a picture. Measured at 2 megapixels with 4 % scratched:
`inpaint` 0.98 GB, `restore` 0.91, `denoise` 0.62 and `colorize` 0.46."""
_SAMPLED = 5
"""Number of the largest files whose headers are read to find the largest picture."""
_THREAD_VARIABLES = (OPENMP, "OPENCV_FOR_THREADS_NUM")


def choose_workers(jobs: list[Job], work: Work) -> int | str:
    """Return the number of processes, or `ray`: as requested, or on a CPU by the number of pictures and the memory.

    1 means this process alone, for example with a GPU, with --threads, or for tasks without models.
    """
    requested = work.options.workers
    if requested == "ray":
        return requested
    if requested is not None:
        return min(int(requested), len(jobs))
    machine = work.models.machine
    count = min(processors(), len(jobs) // _WORTH_A_WORKER)
    if count < 2 or machine.threads is not None or OPENMP in os.environ or not work.roles:
        return 1
    if (free := available_bytes()) is not None:
        largest = sorted(jobs, key=lambda job: _file_bytes(job.source))[-_SAMPLED:]
        count = min(count, free // (_PROCESS_BYTES + _PIXEL_BYTES * max(stated_pixels(job.source) for job in largest)))
    return count if count > 1 and device_of(machine.device) == "cpu" else 1


def process_in_workers(jobs: list[Job], work: Work, count: int) -> Generator[Row, None, None]:
    """Process pictures in `count` processes; yield their rows as they finish.

    Each process has its own pool, so that the others continue if one is killed.

    Raises ScoreinvError if a model cannot be used.
    """
    machine = work.models.machine
    machine = replace(machine.with_precision() if work.roles else machine, threads=machine.threads or 1)
    # Not by fork: the copy of a process with threads may wait forever for a lock that one of the threads held.
    context = multiprocessing.get_context("spawn")
    records = context.Queue()
    listener = logging.handlers.QueueListener(records, *logging.getLogger("scoreinv").handlers)
    level = logging.getLogger("scoreinv").getEffectiveLevel()

    start = partial(ProcessPoolExecutor, 1, context, _begin, (machine.threads, records, level))
    pools = _Pools(jobs, work.on(machine), count, start)
    listener.start()
    try:
        yield from pools.rows()
    finally:
        pools.close()
        listener.stop()


class PendingJobs:
    """Jobs that no process has. One whose process was killed is repeated up to `RETRIES` times."""

    def __init__(self, jobs: list[Job]) -> None:
        self._waiting, self._killed = deque(jobs), Counter[Job]()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self) -> Job:
        """Remove the next job."""
        return self._waiting.popleft()

    def repeat(self, job: Job) -> Row | None:
        """Add a job whose process was killed; if that was too often, return its row instead."""
        self._killed[job] += 1
        if self._killed[job] > RETRIES:
            return {"input": job.source, "error": f"its worker was killed {RETRIES + 1} times: is there enough memory?"}
        self._waiting.append(job)
        return None


class _Pools:
    """Pools of one process each, which process pictures. A pool whose process was killed is started again.

    Args:
        count: number of pools.
        start: starts a pool.
    """

    def __init__(self, jobs: list[Job], work: Work, count: int, start: Callable[[], ProcessPoolExecutor]) -> None:
        self._work, self._start, self._pending = work, start, PendingJobs(jobs)
        self._running: dict[Future[Row], tuple[int, Job]] = {}
        self._pools = [start() for _ in range(count)]

    def rows(self) -> Iterator[Row]:
        """Process all pictures; yield their rows as they finish.

        A picture whose process was killed is repeated up to `RETRIES` times.
        """
        for number in range(len(self._pools)):
            self._submit(number)
        while self._running:
            for future in wait(self._running, return_when=FIRST_COMPLETED).done:
                number, job = self._running.pop(future)
                try:
                    row: Row | None = future.result()
                except BrokenProcessPool:
                    row = self._pending.repeat(job)
                if row is not None:
                    yield row
                self._submit(number)

    def close(self) -> None:
        """End the processes, also those that are still processing a picture."""
        if self._running:
            for child in multiprocessing.active_children():
                child.terminate()
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def _submit(self, number: int) -> None:
        """Give the next picture to a pool, if any is left."""
        if not self._pending:
            return
        job = self._pending.take()
        with _without_signals():
            try:
                future = self._pools[number].submit(process, job, self._work)
            except BrokenProcessPool:  # killed between two pictures
                self._pools[number] = self._start()
                future = self._pools[number].submit(process, job, self._work)
        self._running[future] = number, job


def _file_bytes(path: str) -> int:
    with suppress(OSError):
        return Path(path).stat().st_size
    return 0


@contextmanager
def _without_signals() -> Iterator[None]:
    """Start processes in this block that ignore Ctrl-C on the terminal, since this process ends them in order."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set(ENDING_SIGNALS) - {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(threads: int, records: Any, level: int) -> None:
    """Initialise a worker: it ends with its parent, and sends its log to it."""
    for name in _THREAD_VARIABLES:
        os.environ.setdefault(name, str(threads))
    logger = logging.getLogger("scoreinv")
    logger.handlers, logger.propagate = [logging.handlers.QueueHandler(records)], False
    logger.setLevel(level)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
