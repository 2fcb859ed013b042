"""What Ray is asked for: a stand-in of it does everything in this process."""

import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scoreinv.batch.cluster import Processor, process_on_ray
from scoreinv.models.loading import Machine, Models
from scoreinv.system.errors import CheckpointError, InputError, ScoreinvError


@dataclass(frozen=True)
class Work:
    """As much of `scoreinv.batch.work.Work` as the cluster looks at."""

    models: Models


@dataclass
class Cluster:
    """Ray's module.

    Attributes:
        machines: resources of each machine, and whether it is not lost.
        works: whether there is a cluster.
        asked: how the workers are asked for.
        begun: addresses that were connected to, and `ended` for each end.
        items: the rows of the dataset.
        lost: numbers of the rows that never return.
        context: settings of Ray Data.
    """

    machines: list[tuple[dict[str, float], bool]]
    works: bool = True
    asked: dict[str, Any] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)
    items: list[dict[str, Any]] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    context: SimpleNamespace = field(default_factory=SimpleNamespace)

    def init(self, address: str, **_: Any) -> None:
        self.begun.append(address)
        print("Ray says much")
        os.write(2, b"in C++ too")
        if not self.works:
            raise ConnectionError("nobody\nanswers")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Resources": resources, "Alive": lives} for resources, lives in self.machines]

    def remote(self, **_: Any) -> Any:
        def created(kind: type) -> Any:
            actor = kind()
            handle = SimpleNamespace(begin=SimpleNamespace(remote=actor.begin))
            return SimpleNamespace(remote=lambda: handle)

        return created

    def get(self, value: Any) -> Any:
        return value

    def shutdown(self) -> None:
        print("It ends")
        self.begun.append("ended")

    @property
    def data(self) -> SimpleNamespace:
        def mapped(kind: type, fn_constructor_args: tuple[Any, ...], **asked: Any) -> SimpleNamespace:
            self.asked.update(asked)
            worker = kind(*fn_constructor_args)
            self.asked["threads"] = fn_constructor_args[1].models.machine.threads
            kept = (item for item in self.items if item["id"] not in self.lost)
            return SimpleNamespace(iter_rows=lambda: map(worker, kept))

        def from_items(items: list[dict[str, Any]], override_num_blocks: int) -> SimpleNamespace:
            self.items = items
            self.asked["blocks"] = override_num_blocks
            return SimpleNamespace(map=mapped)

        return SimpleNamespace(from_items=from_items, DataContext=SimpleNamespace(get_current=lambda: self.context))


def work(device: str = "cpu", threads: int | None = None) -> Any:
    return Work(Models(machine=Machine(device=device, threads=threads)))


def jobs(count: int) -> list[Any]:
    return [SimpleNamespace(source=f"{number}.png") for number in range(count)]


@pytest.fixture
def ray(monkeypatch) -> Cluster:
    found = Cluster([({"CPU": 5}, True), ({"CPU": 4, "GPU": 2}, True), ({"CPU": 99, "GPU": 99}, False)])
    monkeypatch.setitem(sys.modules, "ray", found)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_BACKEND_LOG_LEVEL"):
        monkeypatch.setenv(name, "of the user")
    monkeypatch.setattr("scoreinv.batch.cluster.process", lambda job, _: {"input": job.source})
    return found


@pytest.mark.parametrize(
    ("device", "threads", "count", "workers", "gpus"),
    [("cpu", None, 20, 9, 0), ("cpu", 2, 20, 4, 0), ("cpu", 3, 20, 2, 0), ("cpu", 2, 3, 3, 0), ("auto", 2, 20, 2, 1)],
)
def test_as_many_workers_as_machines_have_room_for(ray, capfd, device, threads, count, workers, gpus):
    before = signal.getsignal(signal.SIGTERM)
    rows = list(process_on_ray(jobs(count), work(device, threads)))
    assert rows == [{"input": f"{number}.png"} for number in range(count)]
    assert ray.asked == {
        **{"blocks": count, "concurrency": workers, "num_gpus": gpus},
        **{"num_cpus": threads or 1, "threads": threads or 1},
    }
    assert ray.begun == ["local", "ended"]
    assert ray.context.max_errored_blocks == -1
    assert ray.context.enable_progress_bars is False
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


def test_lost_rows_are_replaced_by_errors(ray):
    ray.lost = {1, 3}
    rows = list(process_on_ray(jobs(5), work()))
    assert [row["input"] for row in rows] == [f"{number}.png" for number in (0, 2, 4, 1, 3)]
    assert [row["input"] for row in rows if "error" in row] == ["1.png", "3.png"]


def test_a_cluster_that_is_not_there(ray, monkeypatch):
    ray.works = False
    monkeypatch.setenv("RAY_ADDRESS", "there:1")
    with pytest.raises(ScoreinvError, match=r"there:1: nobody$"):
        next(process_on_ray(jobs(1), work()))
    assert ray.begun == ["there:1", "ended"]


def test_a_model_that_cannot_be_used_ends_the_work(ray, monkeypatch):
    def processed(job: Any, _: Any) -> dict[str, str]:
        if job.source == "1.png":
            raise CheckpointError("m: is damaged")
        return {"input": job.source}

    monkeypatch.setattr("scoreinv.batch.cluster.process", processed)
    rows = process_on_ray(jobs(3), work())
    assert next(rows) == {"input": "0.png"}
    with pytest.raises(CheckpointError, match="m: is damaged"):
        next(rows)
    assert ray.begun[-1] == "ended"


def test_a_picture_whose_worker_is_lost_again_and_again_is_given_up(ray, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    attempts = iter((4, 5))
    handle = SimpleNamespace(begin=SimpleNamespace(remote=lambda number: next(attempts) if number else 1 / 0))
    worker = Processor(jobs(2), work(), "run", handle)
    assert Path.cwd() == tmp_path / "run"
    assert json.loads(worker({"id": 1})["row"]) == {"input": "1.png"}
    lost = worker({"id": 1})
    assert lost["unusable"] == ""
    row = json.loads(lost["row"])
    assert (list(row), row["input"], "4 times" in row["error"]) == (["input", "error"], "1.png", True)
    with pytest.raises(InputError, match="gone: is not on"):
        Processor(jobs(2), work(), "gone", handle)
