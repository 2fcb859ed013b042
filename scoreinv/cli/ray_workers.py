"""`--workers ray`: the photographs of a run are done by the processes of a Ray cluster, and reported here.

The cluster is that of `RAY_ADDRESS`, else one of this machine's processors which ends with the run. Its machines must
have scoreinv, and see the same files under the same names.
"""

from __future__ import annotations

import io
import logging
import os
import pickle
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from scoreinv.cli.photo_loop import Run
from scoreinv.cli.plan import Job
from scoreinv.cli.record import Outcome
from scoreinv.cli.report import describe, say, say_traceback, show_log
from scoreinv.errors import InputError, ScoreinvError
from scoreinv.machine import ENDING_SIGNALS, wait_briefly

RETRIES = 3
"""How often a picture is done again whose worker was killed."""
STARTS = 3
"""How often a cluster of this machine is started until it is there: Ray waits 30 s, a busy machine takes longer."""


def work_by_ray(run: Run[Any], jobs: list[Job], told: Callable[[Outcome], None]) -> None:
    """Do the photographs, and tell what becomes of each as it ends; what ends the run (an unusable model) is raised.

    A picture fails where its worker was killed more than `RETRIES` times.

    Raises:
        InputError: this machine has fewer processors than a worker is to take.
        ScoreinvError: there is no cluster.
    """
    if not jobs:
        return
    for model in run.models:
        model.check()  # before minutes of a cluster's start
    with _cluster() as ray:
        there, processors = ray.cluster_resources(), run.common.threads or 1
        if "RAY_ADDRESS" not in os.environ and processors > there["CPU"]:
            raise InputError(
                f"--threads {processors}: there are {there['CPU']:g} processors, of which a worker takes so many"
            )
        gpus = int(run.common.device != "cpu" and "GPU" in there)
        task = ray.remote(_do).options(num_cpus=processors, num_gpus=gpus, max_retries=RETRIES)
        light = replace(run, plan=replace(run.plan, jobs=[], own=[], folders=set()))
        packed = ray.put(ray.cloudpickle.dumps((str(Path.cwd()), light)))
        waiting = iter(jobs)
        running: dict[Any, Job] = {}
        while True:
            for job in waiting:
                running[task.remote([packed], job)] = job
                if len(running) >= 2 * ray.cluster_resources().get("CPU", 1):
                    break  # as much again as the cluster does at once: it is never idle, and may grow
            if not running:
                return
            (ended,), _ = ray.wait(list(running))
            job = running.pop(ended)
            try:
                lines, outcome, ends = ray.get(ended)
            except ray.exceptions.RayError as error:
                reason = str(error).strip().partition("\n")[0]
                lost = ScoreinvError(f"its worker was lost {RETRIES + 1} times, or its machine: {reason}")
                lines, outcome, ends = [], Outcome(job.source, error=lost), False
            for line in lines:
                say(line)
            if ends:
                raise outcome.error
            told(outcome)


def _do(packed: list[Any], job: Job) -> tuple[list[str], Outcome, bool]:
    """Do a picture, in a worker; returns what was said on stderr, what has become of it, and whether that ends the run.

    packed: holds the reference to the pickled run, which Ray would resolve for each picture if it stood alone.
    """
    debug = ends = False
    with redirect_stderr(io.StringIO()) as said:
        try:
            run = _unpacked(packed[0])
            debug = run.common.debug
            outcome = run.one(job)
        except Exception as error:
            outcome, ends = Outcome(job.source, error=error), True
        if (cause := outcome.error) is not None:
            if debug:
                say_traceback(cause)
            # Others cannot all be pickled: an error comes back as the same words.
            portable = cause if isinstance(cause, ScoreinvError) else ScoreinvError(describe(cause))
            outcome = replace(outcome, error=portable)
    return said.getvalue().splitlines(), outcome, ends


@lru_cache(maxsize=1)
def _unpacked(packed: Any) -> Run[Any]:
    """The run in a worker: once a process, so that its models are loaded once."""
    import ray

    wait_briefly()
    folder, run = pickle.loads(ray.get(packed))
    try:
        os.chdir(folder)
    except OSError as error:
        raise InputError(f"{folder}: is not on {platform.node()}: --workers ray needs files that all share") from error
    show_log(verbose=run.common.verbose)
    return run


@contextmanager
def _cluster() -> Iterator[Any]:
    """Ray, connected to its cluster, and silent; what this process does on signals stays as it was."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no reports to anybody, unless the user wants that
    import ray

    address = os.environ.get("RAY_ADDRESS", "local")
    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    with redirect_stdout(_OwnOutput(sys.stdout)):
        try:
            for left in reversed(range(STARTS if address == "local" else 1)):
                try:
                    ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
                    break
                except Exception as error:  # Ray has no class of its own for what may happen here
                    if not left:
                        reason = str(error).strip().partition("\n")[0]
                        raise ScoreinvError(f"--workers ray: no cluster at {address}: {reason}") from error
                    ray.shutdown()
            if threading.current_thread() is threading.main_thread():
                for number, handler in handlers.items():
                    signal.signal(number, handler)
            yield ray
        finally:
            ray.shutdown()


class _OwnOutput(io.TextIOBase):
    """A stream that this thread alone writes to: what Ray's own threads print would be taken for results."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.owner = threading.get_ident()

    def write(self, text: str) -> int:
        return self.stream.write(text) if threading.get_ident() == self.owner else len(text)

    def flush(self) -> None:
        self.stream.flush()
