"""`--workers ray`: the photographs of a run are done by the processes of a Ray cluster, and reported here.

The cluster is that of `RAY_ADDRESS`, else one of this machine's processors which ends with the run. Its machines must
have scoreinv, and see the same files under the same names.
"""

from __future__ import annotations

import io
import logging
import math
import os
import pickle
import platform
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from scoreinv.cli.photo_loop import Run
from scoreinv.cli.plan import Job
from scoreinv.cli.record import Outcome
from scoreinv.cli.report import describe, say_traceback, show_log
from scoreinv.errors import InputError, ScoreinvError
from scoreinv.machine import ENDING_SIGNALS
from scoreinv.terminal import say

RETRIES = 3
"""How often a worker that was killed is started again."""


def work_by_ray(run: Run[Any], jobs: list[Job], told: Callable[[Outcome], None]) -> None:
    """Do the photographs, and tell what becomes of each as it ends; what ends the run (an unusable model) is raised.

    Raises:
        InputError: this machine has fewer processors than a worker is to take.
        ScoreinvError: there is no cluster.
    """
    if not jobs:
        return
    for model in run.models:
        model.check()  # before minutes of a cluster's start
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no reports to anybody, unless the user wants that
    import ray
    from ray.util import ActorPool

    results, waiting, lost = sys.stdout, {job.source for job in jobs}, ""
    with redirect_stdout(io.StringIO()):  # what Ray prints is no result
        try:
            _connect(ray)
            pool = ActorPool(_workers(ray, run, len(jobs)))
            for job in jobs:
                pool.submit(lambda worker, job: worker.work.remote(job), job)
            while pool.has_next():
                try:
                    lines, outcome, ends = pool.get_next_unordered()
                except ray.exceptions.RayError as error:
                    lost = str(error).strip().partition("\n")[0]
                    continue
                waiting.remove(outcome.source)
                for line in lines:
                    say(line)
                if ends:
                    raise outcome.error
                with redirect_stdout(results):
                    told(outcome)
        finally:
            ray.shutdown()
    for source in sorted(waiting):
        told(Outcome(source, error=ScoreinvError(f"its worker was lost, or its machine: {lost}")))


def _connect(ray: Any) -> None:
    """Connect to the cluster; what this process does on signals stays as it was."""
    address = os.environ.get("RAY_ADDRESS", "local")
    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    except Exception as error:  # Ray has no class of its own for what may happen here
        reason = str(error).strip().partition("\n")[0]
        raise ScoreinvError(f"--workers ray: no cluster at {address}: {reason}") from error
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _workers(ray: Any, run: Run[Any], most: int) -> list[Any]:
    """As many workers as the cluster's machines have room for, each with its processors and maybe a GPU."""
    machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
    processors = run.common.threads or 1
    gpus = int(run.common.device != "cpu" and any("GPU" in there for there in machines))
    room = [min(there.get("CPU", 0) // processors, there.get("GPU", 0) if gpus else math.inf) for there in machines]
    if not any(room):
        largest = max(there.get("CPU", 0) for there in machines)
        raise InputError(f"--threads {processors}: a worker takes so many, and the largest machine has {largest:g}")
    limits = {"num_cpus": processors, "num_gpus": gpus, "max_restarts": RETRIES, "max_task_retries": RETRIES}
    packed = ray.cloudpickle.dumps(replace(run, plan=replace(run.plan, jobs=[], own=[], folders=set())))
    worker: Any = ray.remote(Worker).options(**limits)
    return [worker.remote(packed, str(Path.cwd())) for _ in range(min(most, int(sum(room))))]


class Worker:
    """A process of the cluster that does one photograph after another; its models are loaded once.

    Args:
        packed: the run, pickled.
        folder: where it was started.
    """

    def __init__(self, packed: bytes, folder: str) -> None:
        self.packed, self.folder = packed, folder
        self.run: Run[Any] | None = None

    def work(self, job: Job) -> tuple[list[str], Outcome, bool]:
        """Do a photograph; returns what was said on stderr, what has become of it, and whether that ends the run."""
        debug = ends = False
        with redirect_stderr(io.StringIO()) as said:
            try:
                if self.run is None:
                    if not Path(self.folder).is_dir():
                        where = f"{self.folder}: is not on {platform.node()}"
                        raise InputError(f"{where}: --workers ray needs files that all share")
                    os.chdir(self.folder)
                    self.run = pickle.loads(self.packed)
                    show_log(verbose=self.run.common.verbose)
                debug = self.run.common.debug
                outcome = self.run.one(job)
            except Exception as error:
                outcome, ends = Outcome(job.source, error=error), True
            if (cause := outcome.error) is not None:
                if debug:
                    say_traceback(cause)
                # Others cannot all be pickled: an error comes back as the same words.
                portable = cause if isinstance(cause, ScoreinvError) else ScoreinvError(describe(cause))
                outcome = replace(outcome, error=portable)
        return said.getvalue().splitlines(), outcome, ends
