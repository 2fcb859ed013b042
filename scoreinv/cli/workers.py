"""`--workers`: the photographs of a run are done by several processes, and reported here.

A number of processes are of this machine, by Python's own pools. `ray`: they are those of a Ray cluster, of
`RAY_ADDRESS`, else one of this machine's processors which ends with the run; its machines must have scoreinv, and see
the same files under the same names. Either way a worker is given the words of the command line, makes the same run of
them, and is then given one photograph after another. One that is killed is started again.
"""

from __future__ import annotations

import io
import logging
import math
import multiprocessing
import os
import platform
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import astuple, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from scoreinv.cli.options import PREFIX
from scoreinv.cli.photo_loop import Run
from scoreinv.cli.plan import Job
from scoreinv.cli.report import describe, say_traceback
from scoreinv.files.read import decode
from scoreinv.system.devices import device_of
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.system.memory import available_bytes
from scoreinv.system.terminal import ENDING_SIGNALS, say
from scoreinv.system.threads import OPENMP, processors

_WORTH_A_WORKER = 8  # photographs that a further process has to do for its start to pay
_PROCESS_BYTES, _PIXEL_BYTES = 600_000_000, 250
"""Memory of a process and its models, and for each pixel of a photograph, at most. Of 2 megapixels of which 4 % are
scratched `inpaint` took 0.98 GB, `restore` 0.91, of others `denoise` 0.62 and `colorize` 0.46."""
_LOOKED_AT = 5  # the largest files, among which the largest photograph is looked for
RETRIES = 3  # how often a photograph is given out again whose worker was killed
_THREADS = (OPENMP, "OPENCV_FOR_THREADS_NUM")  # variables by which libraries take the number of their threads
Answer = tuple[list[str], dict[str, Any], ScoreinvError | None]
"""Lines for stderr, the row of a photograph, and the error that ends the run."""


def workers_for(run: Run[Any], jobs: list[Job]) -> int | Literal["ray"]:
    """How many processes of this machine do the photographs of a batch, 1: this one; or those of Ray.

    A processor is best used by one thread of its own: networks on small windows make little of several. So where none
    is asked for there are as many as processors, as far as there is memory for photographs of the largest size, and
    each has some to do, as it loads Python and the models first. A GPU is used by one.
    """
    asked, common = run.plan.output.workers, run.plan.common
    if asked == "ray":
        return "ray"
    if asked is not None:
        return min(int(asked), len(jobs))
    count = min(processors(), len(jobs) // _WORTH_A_WORKER)
    if count < 2 or common.threads is not None or OPENMP in os.environ or not run.models:
        return 1
    if (free := available_bytes()) is not None:
        largest = sorted(jobs, key=lambda job: _file_bytes(job.source))[-_LOOKED_AT:]
        count = min(count, free // (_PROCESS_BYTES + _PIXEL_BYTES * max(_pixels(job.source) for job in largest)))
    return count if count > 1 and device_of(common.device) == "cpu" else 1


def _file_bytes(path: str) -> int:
    with suppress(OSError):
        return Path(path).stat().st_size
    return 0


def _pixels(path: str) -> int:
    """How many pixels a photograph has, which is not decoded; 0 where it cannot be read."""
    found = 0

    def look(width: int, height: int, needed: int) -> None:
        nonlocal found
        found = width * height
        raise InputError("this is all")

    with suppress(InputError):
        decode(path, 0, look=look)
    return found


def work_by(workers: int | Literal["ray"], run: Run[Any], jobs: list[Job]) -> Generator[dict[str, Any], None, None]:
    """Do the photographs; gives the row of each as it ends, and raises what ends the run (an unusable model).

    Raises:
        InputError: this machine has fewer processors than a worker of Ray is to take.
        ScoreinvError: there is no cluster.
    """
    common = run.plan.common
    settings = {name: value for name, value in os.environ.items() if name.startswith(f"{PREFIX}_")}
    worker = Worker(sys.argv[1:], str(Path.cwd()), common.threads or 1, settings)
    answers = _by_ray(worker, jobs, common.device) if workers == "ray" else _by_pools(worker, jobs, workers)
    with closing(answers):
        for lines, row, error in answers:
            for line in lines:
                say(line)
            if error is not None:
                raise error
            yield row


@dataclass
class Worker:
    """Does one photograph after another in a process of its own; its models are loaded once.

    Attributes:
        words: the command line.
        folder: where it was started.
        threads: processors that it takes.
        settings: variables of the environment that give options.
    """

    words: list[str]
    folder: str
    threads: int
    settings: dict[str, str]

    @cached_property
    def run(self) -> Run[Any]:
        """The run that the command line asks for, of which this does a part."""
        from scoreinv.cli.app import run

        if not Path(self.folder).is_dir():
            raise InputError(f"{self.folder}: is not on {platform.node()}: --workers ray needs files that all share")
        os.chdir(self.folder)
        os.environ.update(self.settings)
        kept: list[Run[Any]] = []
        with redirect_stderr(io.StringIO()):  # what there is to say of its plan was said
            # In front, as what follows a `--` is no option.
            run([self.words[0], "--threads", str(self.threads), *self.words[1:]], kept.append)
        return kept[0]

    def work(self, job: Job) -> Answer:
        """Do a photograph."""
        row, ending = {"input": job.source}, None
        with redirect_stderr(io.StringIO()) as said:
            try:
                row = self.run.one(job)
            except Exception as error:
                if "run" in vars(self) and self.run.plan.common.debug:
                    say_traceback(error)
                # Others cannot all be pickled: an error comes back as the same words.
                ending = error if isinstance(error, ScoreinvError) else ScoreinvError(describe(error))
        return said.getvalue().splitlines(), row, ending


def _lost(job: Job, why: str) -> Answer:
    return [], {"input": job.source, "error": f"its worker was lost, or its machine: {why}"}, None


# Processes of this machine


def _by_pools(worker: Worker, jobs: list[Job], count: int) -> Generator[Answer, None, None]:
    """Do the photographs by so many processes, each a pool of its own: where one is killed, the others go on."""

    def start() -> ProcessPoolExecutor:
        # Not by a fork: a copy of a process whose libraries have threads may wait for one of them for ever.
        return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (worker,))

    waiting, killed, doing = deque(jobs), Counter[Job](), dict[Future[Answer], tuple[int, Job]]()
    pools = [start() for _ in range(count)]

    def give_out(number: int) -> None:
        if waiting:
            job = waiting.popleft()
            with _signals_are_ours():
                try:
                    future = pools[number].submit(_work, job)
                except BrokenProcessPool:  # killed between two photographs
                    pools[number] = start()
                    future = pools[number].submit(_work, job)
            doing[future] = number, job

    try:
        for number in range(count):
            give_out(number)
        while doing:
            for future in wait(doing, return_when=FIRST_COMPLETED).done:
                number, job = doing.pop(future)
                try:
                    answer = future.result()
                except BrokenProcessPool:
                    killed[job] += 1
                    if killed[job] <= RETRIES:
                        waiting.append(job)
                        give_out(number)
                        continue
                    answer = _lost(job, f"killed {RETRIES + 1} times: is there memory for {count} at once?")
                yield answer
                give_out(number)
    finally:
        if doing:  # this ends before them
            for process in multiprocessing.active_children():
                process.terminate()
        for pool in pools:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _signals_are_ours() -> Iterator[None]:
    """Start processes that a Ctrl-C in their terminal does not reach: this one ends them, in order."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, set(ENDING_SIGNALS) - {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worker: Worker | None = None
"""That of this process."""


def _begin(worker: Worker) -> None:
    """Make this process a worker, which ends with the one that has started it, and removes what it has begun."""
    global _worker
    _worker = worker
    for name in _THREADS:
        os.environ.setdefault(name, str(worker.threads))
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _work(job: Job) -> Answer:
    assert _worker is not None
    return _worker.work(job)


# A Ray cluster


def _by_ray(worker: Worker, jobs: list[Job], device: str) -> Generator[Answer, None, None]:
    """Do the photographs by as many workers as a cluster has room for."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no reports to anybody, unless the user wants that
    import ray
    from ray.util import ActorPool

    left, why = {job.source: job for job in jobs}, ""
    try:
        with redirect_stdout(io.StringIO()):  # what Ray prints is no result
            _connect(ray)
            pool = ActorPool(_actors(ray, worker, len(jobs), device))
            for job in jobs:
                pool.submit(lambda actor, job: actor.work.remote(job), job)
        while pool.has_next():
            with redirect_stdout(io.StringIO()):
                try:
                    answer = pool.get_next_unordered()
                except ray.exceptions.RayError as error:
                    why = str(error).strip().partition("\n")[0]
                    continue
            del left[answer[1]["input"]]
            yield answer
    finally:
        with redirect_stdout(io.StringIO()):
            ray.shutdown()
    for source in sorted(left):
        yield _lost(left[source], why)


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


def _actors(ray: Any, worker: Worker, most: int, device: str) -> list[Any]:
    """As many workers as the cluster's machines have room for, each with its processors and maybe a GPU."""
    machines = [machine["Resources"] for machine in ray.nodes() if machine["Alive"]]
    gpus = int(device != "cpu" and any("GPU" in there for there in machines))
    room = [min(there.get("CPU", 0) // worker.threads, there.get("GPU", 0) if gpus else math.inf) for there in machines]
    if not any(room):
        largest = max(there.get("CPU", 0) for there in machines)
        raise InputError(f"--threads {worker.threads}: a worker takes so many, and the largest machine has {largest:g}")
    limits = {"num_cpus": worker.threads, "num_gpus": gpus, "max_restarts": RETRIES, "max_task_retries": RETRIES}
    actor: Any = ray.remote(Worker).options(**limits)
    return [actor.remote(*astuple(worker)) for _ in range(min(most, int(sum(room))))]
