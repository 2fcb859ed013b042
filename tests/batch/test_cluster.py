"""What Ray is asked for: a stand-in of it does everything in this process."""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from PIL import Image

from scoreinv.batch.cluster import Processor, process_on_ray
from scoreinv.batch.plan import Job
from scoreinv.batch.work import Work
from scoreinv.models.loading import Machine, Models
from scoreinv.system.errors import CheckpointError, InputError, ScoreinvError
from scoreinv.tasks.requests import DenoiseRequest
from scoreinv.tasks.table import BY_NAME


class LostError(Exception):
    """An actor's process was lost; also the base of Ray's other errors."""


class TaskError(LostError):
    """A method of an actor raised an error."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


@dataclass
class Cluster:
    """Ray's module.

    Attributes:
        machines: resources of each machine, and whether it is not lost.
        init_error: raised in place of a connection.
        asked: resources that each actor is asked for.
        actors: all actors.
        begun: addresses that were connected to, and `ended` for each end.
        losses: how many of the next calls of a method lose the process, by the method's name.
        room: for how many actors there is room; the others never start.
        chosen: precisions that the actors choose as they start.
        unusable: a photo whose model cannot be used.
    """

    machines: list[tuple[dict[str, float], bool]]
    init_error: BaseException | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    actors: list[Processor] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    losses: Counter[str] = field(default_factory=Counter)
    room: int = 1000
    chosen: Iterator[Any] = field(default_factory=lambda: repeat("float32"))
    unusable: str = ""
    exceptions: ClassVar = SimpleNamespace(RayTaskError=TaskError, RayError=LostError)

    def init(self, address: str, **_: Any) -> None:
        self.begun.append(address)
        print("Ray says much")
        os.write(2, b"in C++ too")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if self.init_error is not None:
            raise self.init_error

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Resources": resources, "Alive": lives} for resources, lives in self.machines]

    def remote(self, **asked: Any) -> Any:
        self.asked = asked

        def start(kind: type[Processor], *given: Any) -> SimpleNamespace:
            self.actors.append(actor := kind(*given))
            return SimpleNamespace(start=self._method("start", actor.start), process=self._method("process"))

        return lambda kind: SimpleNamespace(remote=partial(start, kind))

    def _method(self, name: str, method: Callable[..., Any] = lambda *_: None) -> SimpleNamespace:
        """The method of a handle, which is called at once."""
        return SimpleNamespace(remote=lambda *given: SimpleNamespace(future=lambda: self._call(name, method, *given)))

    def _call(self, name: str, method: Callable[..., Any], *given: Any) -> Future[Any]:
        future: Future[Any] = Future()
        if len(self.actors) > self.room and not given:
            return future
        if self.losses[name]:
            self.losses[name] -= 1
            future.set_exception(LostError())
            return future
        try:
            machine = method(*given)
            future.set_result(self._row(*given) if given else replace(machine, precision=next(self.chosen)))
        except ScoreinvError as error:
            future.set_exception(TaskError(error))
        return future

    def _row(self, job: Job, machine: Machine) -> dict[str, Any]:
        if job.source == self.unusable:
            raise CheckpointError("m: is damaged")
        return {"input": job.source, "threads": machine.threads, "precision": machine.precision}

    def shutdown(self) -> None:
        print("It ends")
        self.begun.append("ended")


def work(device: Any = "cpu", threads: int | None = None) -> Work:
    return Work(BY_NAME["denoise"], DenoiseRequest(), Models(machine=Machine(device=device, threads=threads)))


def jobs(count: int) -> list[Job]:
    return [Job(f"{number}.png", "out") for number in range(count)]


@pytest.fixture
def ray(monkeypatch) -> Cluster:
    found = Cluster([({"CPU": 5}, True), ({"CPU": 4, "GPU": 2}, True), ({"CPU": 99, "GPU": 99}, False)])
    monkeypatch.setitem(sys.modules, "ray", found)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_BACKEND_LOG_LEVEL"):
        monkeypatch.setenv(name, "of the user")
    return found


@pytest.mark.parametrize(
    ("device", "threads", "count", "actors", "gpus"),
    [("cpu", None, 20, 9, 0), ("cpu", 2, 20, 4, 0), ("cpu", 3, 20, 2, 0), ("cpu", 2, 3, 3, 0), ("auto", 2, 20, 2, 1)],
)
def test_as_many_actors_as_machines_have_room_for(ray, capfd, device, threads, count, actors, gpus):
    before = signal.getsignal(signal.SIGTERM)
    rows = list(process_on_ray(jobs(count), work(device, threads)))
    assert sorted(row["input"] for row in rows) == sorted(f"{number}.png" for number in range(count))
    assert {row["threads"] for row in rows} == {threads or 1}
    assert ray.asked == {"num_cpus": threads or 1, "num_gpus": gpus}
    assert len(ray.actors) == actors
    assert ray.begun == ["local", "ended"]
    assert signal.getsignal(signal.SIGTERM) is before
    assert tuple(capfd.readouterr()) == ("", "")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "of the user"


def test_without_gpus_or_room(ray):
    del ray.machines[1:]
    assert len(list(process_on_ray(jobs(2), work("auto", 5)))) == 2
    assert ray.asked["num_gpus"] == 0
    with pytest.raises(InputError, match="--threads 6"):
        next(process_on_ray(jobs(2), work("auto", 6)))
    assert ray.begun == ["local", "ended"] * 2


def test_a_cluster_that_is_not_there(ray, monkeypatch):
    ray.init_error = ConnectionError("nobody\nanswers")
    monkeypatch.setenv("RAY_ADDRESS", "there:1")
    with pytest.raises(ScoreinvError, match=r"there:1: nobody$"):
        next(process_on_ray(jobs(1), work()))
    assert ray.begun == ["there:1", "ended"]


def test_a_signal_while_it_connects_comes_to_the_own_handler(ray):
    """Ray's handler exits."""
    ray.init_error, came = SystemExit(15), []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        list(process_on_ray(jobs(1), work()))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]


def test_a_model_that_cannot_be_used_ends_the_work(ray):
    ray.unusable = "1.png"
    rows = process_on_ray(jobs(3), work())
    assert next(rows)["input"] == "0.png"
    with pytest.raises(CheckpointError, match="m: is damaged"):
        next(rows)
    assert ray.begun[-1] == "ended"


@pytest.mark.parametrize(("times", "errors"), [(1, 0), (9, 0), (10, 1), (12, 3)])
def test_a_picture_whose_process_is_lost_is_repeated_three_times(ray, times, errors):
    ray.machines = [({"CPU": 1}, True)]
    ray.losses["process"] = times
    rows = list(process_on_ray(jobs(3), work()))
    assert sorted(row["input"] for row in rows) == ["0.png", "1.png", "2.png"]
    assert ["4 times" in row["error"] for row in rows if "error" in row] == [True] * errors
    assert len(ray.actors) == 1 + times


def test_actors_that_are_lost_as_they_start(ray):
    ray.losses["start"] = 6  # a lost machine takes several with it
    assert len(list(process_on_ray(jobs(2), work()))) == 2
    ray.losses["start"] = 99
    with pytest.raises(ScoreinvError, match="as they start") as raised:
        list(process_on_ray(jobs(2), work()))
    assert isinstance(raised.value.__cause__, LostError)


def test_an_actor_works_in_the_folder_of_the_run_if_it_is_there(ray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    Image.new("RGB", (9, 8)).save("run/a.png")
    actor = Processor(work(), "run")
    machine = replace(actor.start(), threads=None)
    row = actor.process(Job("a.png", "b.png", outputs=("b.png",)), machine)
    assert (row["output"], row["precision"], Path("b.png").exists()) == ("b.png", machine.precision, True)
    assert machine.precision != "auto"
    assert Path.cwd() == tmp_path / "run"
    monkeypatch.setattr("pathlib.Path.cwd", lambda: tmp_path / "gone")
    with pytest.raises(InputError, match="gone: is not on"):
        list(process_on_ray(jobs(2), work()))


def test_all_processes_use_the_precision_that_the_first_chose(ray):
    ray.chosen = iter(("bfloat16", "float32", "bfloat16"))
    rows = list(process_on_ray(jobs(3), work()))
    assert [row["precision"] for row in rows] == ["bfloat16"] * 3
