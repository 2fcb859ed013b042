"""Batches on a Ray cluster: pictures are the rows of a Ray dataset, which Ray distributes to processes.

Each machine needs scoreinv, and the files under the same paths, or URLs of an object store.
"""

from __future__ import annotations

import io
import json
import logging
import os
import platform
import signal
import sys
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from scoreinv.batch.plan import Job
from scoreinv.batch.resume import Row
from scoreinv.batch.work import Work, process
from scoreinv.batch.workers import RETRIES
from scoreinv.system.errors import CheckpointError, InputError, ScoreinvError
from scoreinv.system.terminal import ENDING_SIGNALS


class Attempts:
    """A Ray actor that counts the attempts at each picture, since Ray Data repeats lost work without a limit."""

    def __init__(self) -> None:
        self._counts = Counter[int]()

    def begin(self, number: int) -> int:
        """Return the number of the attempt, from 1."""
        self._counts[number] += 1
        return self._counts[number]


class Processor:
    """Processes pictures in one process of the cluster, which loads its models once.

    Args:
        jobs: all jobs of the run; a row has the index of its job.
        folder: working folder of the run.
        attempts: handle of the `Attempts` actor.
    """

    def __init__(self, jobs: list[Job], work: Work, folder: str, attempts: Any) -> None:
        if not Path(folder).is_dir():
            raise InputError(f"{folder}: is not on {platform.node()}: --workers ray needs shared files")
        os.chdir(folder)
        self._jobs, self._work, self._attempts = jobs, work, attempts

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Add to a Ray row the picture's row as JSON, or the message about an unusable model."""
        import ray

        job = self._jobs[row["id"]]
        if ray.get(self._attempts.begin.remote(row["id"])) > RETRIES + 1:
            error = f"its worker was lost {RETRIES + 1} times: is there enough memory?"
            return row | {"row": json.dumps({"input": job.source, "error": error}), "unusable": ""}
        try:
            return row | {"row": json.dumps(process(job, self._work)), "unusable": ""}
        except CheckpointError as error:
            return row | {"row": "{}", "unusable": str(error)}


def process_on_ray(jobs: list[Job], work: Work) -> Generator[Row, None, None]:
    """Process pictures on the cluster at RAY_ADDRESS, else on this machine; yield their rows as they finish.

    Raises:
        CheckpointError: a model cannot be used.
        InputError: no machine has enough processors for a process.
        ScoreinvError: no cluster can be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no reports, unless the user wants them
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # rows report lost workers
    import ray

    machine = work.models.machine
    threads = machine.threads or 1
    work = replace(work, models=replace(work.models, machine=replace(machine, threads=threads)))
    with ExitStack() as stack:
        stack.callback(_disconnect, ray)
        stack.enter_context(redirect_stdout(_FilteredStdout(sys.stdout, _connect(ray))))  # type: ignore[type-var]
        gpus = int(machine.device != "cpu" and _capacity(ray, "GPU", 1) > 0)
        capacity = _capacity(ray, "GPU", 1) if gpus else _capacity(ray, "CPU", threads)
        if not capacity:
            raise InputError(f"--threads {threads}: no machine of the cluster has as many processors")
        attempts = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Attempts).remote()
        left = dict(enumerate(jobs))
        rows = ray.data.from_items([{"id": number} for number in range(len(jobs))], override_num_blocks=len(jobs)).map(
            Processor,  # type: ignore[arg-type]
            fn_constructor_args=(jobs, work, str(Path.cwd()), attempts),
            concurrency=min(len(jobs), capacity),
            num_cpus=threads,
            num_gpus=gpus,
        )
        for answer in rows.iter_rows():
            if answer["unusable"]:
                raise CheckpointError(answer["unusable"])
            del left[answer["id"]]
            yield json.loads(answer["row"])
        for job in left.values():
            yield {"input": job.source, "error": "was lost by Ray: repeat the command, which continues"}


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
    try:
        with redirect_stdout(io.StringIO()), _without_stderr():  # stdout is for results
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except Exception as error:  # Ray raises errors of many classes
        reason = str(error).strip().partition("\n")[0]
        raise ScoreinvError(f"--workers ray: no cluster at {address}: {reason}") from error
    for number, handler in handlers.items():
        signal.signal(number, handler)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.max_errored_blocks = -1  # a picture whose worker is lost does not end the others
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
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


def _capacity(ray: Any, resource: str, each: int) -> int:
    """Return the number of processes that fit on the machines if each needs this amount of a resource."""
    machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
    return sum(int(machine.get(resource, 0) // each) for machine in machines)
