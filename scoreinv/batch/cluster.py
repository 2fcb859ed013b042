"""Batches on a Ray cluster: actors, one a process, get pictures one after another.

Each machine needs scoreinv, and access to the files: under the same paths, or in an object store.
"""

from __future__ import annotations

import io
import logging
import os
import platform
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from scoreinv.batch.plan import Job, Row
from scoreinv.batch.work import Work, process
from scoreinv.batch.workers import spread
from scoreinv.models.loading import Machine
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.system.terminal import ENDING_SIGNALS


class Processor:
    """A Ray actor: one process of the cluster, which processes pictures and loads its models once.

    Args:
        folder: working folder of the run.
    """

    def __init__(self, work: Work, folder: str) -> None:
        self._work, self._folder = work, folder

    def start(self) -> Machine:
        """Enter the folder; return the machine with the precision that `auto` chooses in this process.

        Raises InputError if the folder is not on this machine.
        """
        if not Path(self._folder).is_dir():
            raise InputError(f"{self._folder}: is not on {platform.node()}: --workers ray needs shared files")
        os.chdir(self._folder)
        machine = self._work.models.machine
        return machine.with_precision() if self._work.roles else machine

    def process(self, job: Job, machine: Machine) -> Row:
        """Process a picture; return its row. Raises CheckpointError if a model cannot be used."""
        return process(job, self._work.on(machine))


def process_on_ray(jobs: list[Job], work: Work) -> Generator[Row, None, None]:
    """Process pictures on the cluster at RAY_ADDRESS, else on this machine; yield their rows as they finish.

    Raises:
        CheckpointError: a model cannot be used.
        InputError: a process needs more processors than a machine has, or files are not shared.
        ScoreinvError: no cluster can be reached, or its processes cannot be started.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no reports, unless the user wants them
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # rows report lost workers
    import ray

    machine = work.models.machine
    threads = machine.threads or 1
    with ExitStack() as stack:
        stack.callback(_disconnect, ray)
        stack.enter_context(redirect_stdout(_FilteredStdout(sys.stdout, _connect(ray))))  # type: ignore[type-var]
        gpus = int(machine.device != "cpu" and _capacity(ray, GPU=1) > 0)
        capacity = _capacity(ray, CPU=threads, GPU=gpus)
        if not capacity:
            which = "machine of the cluster with a GPU" if gpus else "machine of the cluster"
            raise InputError(f"--threads {threads}: no {which} has as many processors")
        kind: Any = ray.remote(num_cpus=threads, num_gpus=gpus)(Processor)
        work = work.on(replace(machine, threads=threads))
        task_error, any_error = ray.exceptions.RayTaskError, ray.exceptions.RayError

        def start() -> tuple[Any, Future[Machine]]:
            actor = kind.remote(work, str(Path.cwd()))
            return actor, actor.start.remote().future()

        # Not by Ray Data: its threads go on after an interrupt, and end this process silently once Ray is shut down.
        try:
            yield from spread(
                jobs,
                min(len(jobs), capacity),
                start,
                lambda actor, job, machine: actor.process.remote(job, machine).future(),
                lambda error: isinstance(error, any_error) and not isinstance(error, task_error),
            )
        except task_error as error:
            raise error.cause from None


@dataclass(frozen=True)
class _FilteredStdout:
    """Standard output without the text of some threads: one of Ray's would print about lost workers among the results.

    Attributes:
        stream: the standard output.
        dropped: threads whose text is discarded.
    """

    stream: TextIO
    dropped: frozenset[threading.Thread]

    def write(self, text: str) -> int:
        return len(text) if threading.current_thread() in self.dropped else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _connect(ray: Any) -> frozenset[threading.Thread]:
    """Connect to the cluster without messages; keep the signal handlers. Return the threads that Ray has started."""
    address = os.environ.get("RAY_ADDRESS", "local")
    others = frozenset(threading.enumerate())
    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    terminated = False
    try:
        with redirect_stdout(io.StringIO()), _without_stderr():  # stdout is for results
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except Exception as error:  # Ray raises errors of many classes
        reason = str(error).strip().partition("\n")[0]
        raise ScoreinvError(f"--workers ray: no cluster at {address}: {reason}") from error
    except SystemExit:  # of Ray's handler
        terminated = True
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if terminated:
        signal.raise_signal(signal.SIGTERM)
    return frozenset(threading.enumerate()) - others


def _disconnect(ray: Any) -> None:
    """Disconnect from the cluster, silently: messages may be left to print."""
    with redirect_stdout(io.StringIO()):
        ray.shutdown()


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Hide the first messages of Ray's C++ code, for which it has no setting."""
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


def _capacity(ray: Any, **needs: int) -> int:
    """Return the number of processes that fit on the machines if each needs these amounts of resources."""
    machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
    return sum(min(int(machine.get(name, 0) // each) for name, each in needs.items() if each) for machine in machines)
