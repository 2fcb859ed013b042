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
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from scoreinv.cli.photo_loop import Run
from scoreinv.cli.plan import Job
from scoreinv.cli.record import Outcome
from scoreinv.cli.report import describe, say, say_traceback, show_log
from scoreinv.errors import InputError, ScoreinvError
from scoreinv.machine import ENDING_SIGNALS, wait_briefly

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

    address, results, common = os.environ.get("RAY_ADDRESS", "local"), sys.stdout, run.common
    handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    with redirect_stdout(io.StringIO()):  # what Ray prints is no result
        try:
            try:
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
            except Exception as error:  # Ray has no class of its own for what may happen here
                reason = str(error).strip().partition("\n")[0]
                raise ScoreinvError(f"--workers ray: no cluster at {address}: {reason}") from error
            for number, handler in handlers.items():
                signal.signal(number, handler)  # Ray has its own
            there, processors = ray.cluster_resources(), common.threads or 1
            count = min(len(jobs), int(there.get("CPU", 1) // processors))
            if count == 0:
                raise InputError(f"--threads {processors}: a worker takes so many, and {there['CPU']:g} are there")
            gpus = int(common.device != "cpu" and "GPU" in there)
            limits = {"num_cpus": processors, "num_gpus": gpus, "max_restarts": RETRIES, "max_task_retries": RETRIES}
            light = replace(run, plan=replace(run.plan, jobs=[], own=[], folders=set()))
            packed = ray.cloudpickle.dumps(light)
            worker: Any = ray.remote(Worker).options(**limits)
            pool = ActorPool([worker.remote(packed, str(Path.cwd())) for _ in range(count)])
            for job in jobs:
                pool.submit(lambda actor, job: actor.work.remote(job), job)
            waiting = {job.source for job in jobs}
            lost = ""
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
            with redirect_stdout(results):
                for source in sorted(waiting):
                    told(Outcome(source, error=ScoreinvError(f"its worker was lost, or its machine: {lost}")))
        finally:
            ray.shutdown()


class Worker:
    """A process of the cluster that does one photograph after another; its models are loaded once.

    Args:
        packed: the run, pickled.
        folder: where it was started.
    """

    def __init__(self, packed: bytes, folder: str) -> None:
        wait_briefly()
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
