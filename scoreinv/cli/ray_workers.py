"""`--workers ray`: the pictures of a run are done by the processes of a Ray cluster, and reported here.

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
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TextIO

from scoreinv.cli.batch import Doing, Ledger, Outcome
from scoreinv.cli.command import Settings
from scoreinv.cli.failures import describe
from scoreinv.cli.outputs import Job
from scoreinv.cli.runtime import wait_briefly
from scoreinv.cli.streams import say, say_traceback, show_log
from scoreinv.errors import InputError, ScoreinvError
from scoreinv.machine import ENDING_SIGNALS

_log = logging.getLogger(__name__)

RETRIES = 3
"""How often a picture is done again whose worker was killed."""

STARTS = 3
"""How often a cluster of this machine is started until it is there: Ray waits 30 s, a busy machine takes longer."""


def check_ray() -> None:
    """Raise InputError where Ray is not installed."""
    if find_spec("ray") is None:
        raise InputError("--workers ray: Ray is not installed: pip install 'scoreinv[ray]'")


def outcomes_by_ray(doings: Sequence[Doing[Any]]) -> Generator[Outcome]:
    """What becomes of the pictures, as their work ends; what is settled without work, before.

    A picture fails where its worker was killed more than `RETRIES` times. What ends a run (an unusable model) is raised
    when it is noted.
    """
    todo: list[Job] = []
    for doing in doings:
        if settled := doing.settled():
            yield settled
        else:
            todo.append(doing.job)
    if not todo:
        return
    any_of_them = doings[0]
    for session in any_of_them.sessions:
        session.check()  # before minutes of a cluster's start
    with _cluster() as ray:
        task = ray.remote(_do).options(**_resources(ray, any_of_them.settings), max_retries=RETRIES)
        yield from _worked_off(ray, partial(task.remote, [ray.put(_packed(any_of_them))]), todo)


def _resources(ray: Any, settings: Settings) -> dict[str, int]:
    """What a worker has; InputError where this machine has not so much."""
    there = ray.cluster_resources()
    processors = settings.threads or 1
    if "RAY_ADDRESS" not in os.environ and processors > there["CPU"]:
        raise InputError(
            f"--threads {processors}: there are {there['CPU']:g} processors, of which a worker takes so many"
        )
    return {"num_cpus": processors, "num_gpus": int(settings.device != "cpu" and "GPU" in there)}


def _worked_off(ray: Any, submit: Callable[[Job], Any], todo: list[Job]) -> Iterator[Outcome]:
    """What becomes of jobs, in the order in which they end; what workers said is said first."""
    waiting = iter(todo)
    running: dict[Any, Job] = {}
    while True:
        for job in waiting:
            running[submit(job)] = job
            if len(running) >= 2 * ray.cluster_resources().get("CPU", 1):
                break  # as much again as the cluster does at once: it is never idle, and may grow
        if not running:
            return
        (ended,), _ = ray.wait(list(running))
        job = running.pop(ended)
        try:
            lines, outcome = ray.get(ended)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().partition("\n")[0]
            lost = ScoreinvError(f"its worker was lost {RETRIES + 1} times, or its machine: {reason}")
            yield partial(Ledger.failed, job=job, error=lost)
        else:
            for line in lines:
                say(line)
            yield outcome


@contextmanager
def _cluster() -> Iterator[Any]:
    """Ray, connected to its cluster, and silent; what this process does on signals stays as it was."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no reports to anybody, unless the user wants that
    import ray

    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    with redirect_stdout(_OwnOutput(sys.stdout)):
        try:
            _connect(ray)
            if threading.current_thread() is threading.main_thread():
                for number, handler in before.items():
                    signal.signal(number, handler)
            yield ray
        finally:
            ray.shutdown()


class _OwnOutput(io.TextIOBase):
    """A stream for this thread: what Ray's own threads print is logged, as it would be taken for results."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.owner = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() == self.owner:
            return self.stream.write(text)
        if text.strip():
            _log.info("%s", text.strip())
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


def _connect(ray: Any) -> None:
    """Start Ray; ScoreinvError where that fails."""
    address = os.environ.get("RAY_ADDRESS", "local")
    for left in reversed(range(STARTS if address == "local" else 1)):
        try:
            ray.init(address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        except Exception as error:  # Ray has no class of its own for what may happen here
            if not left:
                reason = str(error).strip().partition("\n")[0]
                raise ScoreinvError(f"--workers ray: no cluster at {address}: {reason}") from error
            ray.shutdown()
        else:
            return


def _packed(doing: Doing[Any]) -> bytes:
    """What is the same for all pictures, and the folder that their names begin at."""
    from ray import cloudpickle

    common = replace(doing, title="", plan=replace(doing.plan, jobs=[]))
    return cloudpickle.dumps((str(Path.cwd()), common))


@lru_cache(maxsize=1)
def _unpacked(kit: Any) -> Doing[Any]:
    """The same in a worker: once a process, so that its models are loaded once."""
    import ray

    wait_briefly()
    folder, common = pickle.loads(ray.get(kit))
    try:
        os.chdir(folder)
    except OSError as error:
        raise InputError(f"{folder}: is not on {platform.node()}: --workers ray needs files that all share") from error
    show_log(verbose=common.settings.verbose)
    return common


def _do(kit: list[Any], job: Job) -> tuple[list[str], Outcome]:
    """Do a picture, in a worker; returns what was said on stderr meanwhile, and what has become of it.

    Arguments:
        kit: holds the reference to the `_packed`, which Ray would resolve for each picture if it stood alone.
    """
    debug = False
    with redirect_stderr(io.StringIO()) as said:
        try:
            common = _unpacked(kit[0])
            debug = common.settings.debug
            outcome = replace(common, job=job).done()
        except Exception as error:
            outcome = partial(_end, error=error)
        cause = outcome.keywords.get("error")
        if cause is not None:
            if debug:
                say_traceback(cause)
            outcome = partial(outcome.func, **(outcome.keywords | {"error": _portable(cause)}))
    return said.getvalue().splitlines(), outcome


def _end(ledger: Ledger, error: Exception) -> None:
    """End the run by an error."""
    raise error


def _portable(error: Exception) -> Exception:
    """An error that can be pickled, with the same words."""
    return error if isinstance(error, ScoreinvError) else ScoreinvError(describe(error))
