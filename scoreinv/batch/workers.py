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
from concurrent import futures
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from scoreinv.batch.plan import Job, Row
from scoreinv.batch.work import Work, process
from scoreinv.files.read import stated_pixels
from scoreinv.models.loading import Machine
from scoreinv.system.devices import device_of
from scoreinv.system.errors import ScoreinvError
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
    """Process pictures in `count` processes of this machine; yield their rows as they finish, see `spread`."""
    machine = work.models.machine
    machine = replace(machine.with_precision() if work.roles else machine, threads=machine.threads or 1)
    work = work.on(machine)
    # Not by fork: the copy of a process with threads may wait forever for a lock that one of the threads held.
    context = multiprocessing.get_context("spawn")
    records = context.Queue()
    listener = logging.handlers.QueueListener(records, *logging.getLogger("scoreinv").handlers)
    level = logging.getLogger("scoreinv").getEffectiveLevel()
    make = partial(futures.ProcessPoolExecutor, 1, context, _begin, (machine.threads, records, level))
    pools = []  # of one process each, so that the others continue if one is killed

    def start() -> tuple[ProcessPoolExecutor, Future[Machine]]:
        pools.append(pool := make())
        with _without_signals():
            return pool, pool.submit(replace, machine)

    def submit(pool: ProcessPoolExecutor, job: Job, _: Machine) -> Future[Row]:
        try:
            return pool.submit(process, job, work)
        except BrokenProcessPool as error:  # killed between two pictures
            lost: Future[Row] = Future()
            lost.set_exception(error)
            return lost

    listener.start()
    try:
        yield from spread(jobs, count, start, submit, lambda error: isinstance(error, BrokenProcessPool))
    finally:
        for child in multiprocessing.active_children():  # also those that are still processing a picture
            child.terminate()
        for pool in pools:
            pool.shutdown(cancel_futures=True)
        listener.stop()


def spread(
    jobs: list[Job],
    count: int,
    start: Callable[[], tuple[Any, Future[Machine]]],
    submit: Callable[[Any, Job, Machine], Future[Row]],
    is_lost: Callable[[Exception], bool],
) -> Generator[Row, None, None]:
    """Process pictures in `count` processes; yield their rows as they finish.

    A process that was killed is replaced, and its picture is repeated up to `RETRIES` times.

    Args:
        start: starts a process; returns it, and the machine that it reports when it is ready.
        submit: gives a picture to a process that is ready. All get the machine that the first one reported, so that
            they have one precision.
        is_lost: whether an error means that the process was killed; other errors end the work.

    Raises:
        CheckpointError: a model cannot be used.
        ScoreinvError: the processes end as they start.
    """
    waiting, killed, machine, lost_starts = deque(jobs), Counter[Job](), None, 0
    running: dict[Future[Any], tuple[Any, Job | None]] = {}  # the process, and its job unless it starts

    def add() -> None:
        worker, ready = start()
        running[ready] = worker, None

    for _ in range(count):
        add()
    while waiting or any(job is not None for _, job in running.values()):
        done = futures.wait(running, return_when=futures.FIRST_COMPLETED).done
        future = next(filter(done.__contains__, running))
        worker, job = running.pop(future)
        try:
            answer = future.result()
        except Exception as error:
            if not is_lost(error):
                raise
            add()
            lost_starts += job is None
            if lost_starts > RETRIES * count:  # a lost machine may take many with it
                problem = "processes end as they start: is there memory, and scoreinv on all machines?"
                raise ScoreinvError(f"--workers: {problem} (--debug shows the error)") from error
            if job is not None:
                killed[job] += 1
                if killed[job] <= RETRIES:
                    waiting.append(job)
                else:
                    problem = f"its worker was killed {RETRIES + 1} times: is there enough memory?"
                    yield {"input": job.source, "error": problem}
            continue
        if job is not None:
            yield answer
        else:
            machine, lost_starts = machine or answer, 0
        if waiting and machine is not None:
            job = waiting.popleft()
            running[submit(worker, job, machine)] = worker, job


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
