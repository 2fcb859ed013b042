"""Folders that are done by the workers of a Ray cluster, some of which are killed."""

from __future__ import annotations

import csv
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from shell import photo_array, start_process, wait_for

from scoreinv.cli import ray_workers
from scoreinv.cli.loading import Model
from scoreinv.cli.options import Common, Output
from scoreinv.cli.photo_loop import Run
from scoreinv.cli.plan import Job, Plan
from scoreinv.cli.record import Outcome
from scoreinv.errors import CheckpointError, InputError, SettingError

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray, by the extra 'ray'")
TWO_WORKERS = ("--workers", "ray", "--threads", str(max(1, (os.cpu_count() or 2) // 2)))


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(photo_array(16, 24)).save(folder / f"{number:04}.png")
    return folder


def descendants(pid: int) -> dict[int, str]:
    """The processes that a process has started, and those that they have, by number; their command lines."""
    found, parents = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):  # no process, or one that has ended
            continue
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return {child: found[child] for child in below - {pid} if child in found}


def test_without_ray(scoreinv, tmp_path, monkeypatch):
    pictures(tmp_path / "scans", 1)
    monkeypatch.setattr("scoreinv.cli.plan.find_spec", lambda name: None)
    outcome = scoreinv("denoise", "scans", "--workers", "ray")
    assert (outcome.code, "pip install 'scoreinv[ray]'" in outcome.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["scans"]


class LostError(Exception):
    """What stands for Ray's errors."""


class Cluster:
    """What stands for Ray, its pool and its workers, on two processors: the picture 3 is lost."""

    exceptions = SimpleNamespace(RayError=LostError)
    cloudpickle = SimpleNamespace(dumps=repr)
    shutdown = init = staticmethod(lambda *given, **options: None)
    nodes = staticmethod(lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {}}])

    def __init__(self) -> None:
        self.waiting: list[Job] = []
        self.workers = 0

    def remote(self, worker: type) -> Cluster:
        return self

    def options(self, **resources: int) -> SimpleNamespace:
        self.resources = resources
        return SimpleNamespace(remote=lambda packed, folder: None)

    def pool(self, workers: list[None]) -> Cluster:
        self.workers = len(workers)
        return self

    def submit(self, does: Callable[[SimpleNamespace, Job], Job], job: Job) -> None:
        self.waiting.append(does(SimpleNamespace(work=SimpleNamespace(remote=lambda job: job)), job))

    def has_next(self) -> bool:
        return bool(self.waiting)

    def get_next_unordered(self) -> tuple[list[str], Outcome, bool]:
        job = self.waiting.pop()
        print("(raylet) A worker died")
        if job.source == "3":
            raise LostError("of memory\nand so on")
        return [f"about {job.source}"], Outcome(job.source, {"skipped": "done"}), False


def work(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, threads: int) -> list[Outcome]:
    """What becomes of nine photographs."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", cluster)
    monkeypatch.setitem(sys.modules, "ray.util", SimpleNamespace(ActorPool=cluster.pool))
    jobs = [Job(str(number), "out", outputs=("out",)) for number in range(9)]
    plan = Plan(jobs, jobs, batch=True, folders=set(), folder=None, passed_over=0)
    outcomes: list[Outcome] = []

    def tell(outcome: Outcome) -> None:
        print(outcome.source)
        outcomes.append(outcome)

    run = Run(plan, Output(), Common(threads=threads), compute=lambda job, picture, given, progress: None)
    ray_workers.work_by_ray(run, jobs, tell)
    return outcomes


def test_jobs_are_worked_off_as_they_end(capsys, monkeypatch):
    """Each once; what a worker said is said before its outcome, and what Ray prints is no result."""
    cluster = Cluster()
    outcomes = work(cluster, monkeypatch, 1)
    assert [outcome.source for outcome in outcomes] == ["8", "7", "6", "5", "4", "2", "1", "0", "3"]
    assert cluster.workers == 2
    assert cluster.resources == {"num_cpus": 1, "num_gpus": 0, "max_restarts": 3, "max_task_retries": 3}
    (failed,) = (outcome for outcome in outcomes if outcome.error)
    assert str(failed.error) == "its worker was lost, or its machine: of memory"
    captured = capsys.readouterr()
    assert captured.err.splitlines().count("about 5") == 1
    assert captured.out.splitlines() == [outcome.source for outcome in outcomes]


def test_a_worker_takes_no_more_processors_than_there_are(monkeypatch):
    with pytest.raises(InputError, match="--threads 3: a worker takes so many, and the largest machine has 2"):
        work(Cluster(), monkeypatch, 3)


def test_errors_of_the_library_can_be_pickled():
    for error in (SettingError("steps", "are many"), CheckpointError("no model")):
        assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_model_goes_along_without_what_it_has_found(model):
    loaded = Model(str(model), Common())
    loaded.load()
    packed = pickle.dumps(loaded)
    assert len(packed) < 2000
    assert vars(pickle.loads(packed)) == vars(Model(str(model), Common()))


@needs_ray
def test_a_single_photo_needs_no_workers(scoreinv, photo):
    outcome = scoreinv("denoise", photo, "--workers", "ray")
    assert (outcome.code, "--workers ray: is for a folder or several photos" in outcome.err) == (2, True)


@needs_ray
@pytest.mark.slow
def test_what_workers_do_is_told_as_ever(model, tmp_path):
    """The same files, lines and rows as without them; the failure of one is its own, what is finished is skipped."""
    scans = pictures(tmp_path / "scans", 4)
    (scans / "0001.png").write_bytes(b"no picture")
    (scans / "0002.jpg").symlink_to(scans / "0002.png")
    words = [sys.executable, "-m", "scoreinv", "upscale", "scans", "--model", str(model), "--json"]
    told, rows = {}, {}
    for name, more in {"alone": (), "ray": TWO_WORKERS}.items():
        (tmp_path / name).mkdir()
        Image.fromarray(photo_array()).save(tmp_path / name / "0003_upscaled.png")
        ended = subprocess.run([*words, *more, "-o", name], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert ended.stderr.count("scoreinv: error: scans/0001.png: not a picture") == 1, ended.stderr
        assert ended.stderr.count("\n") == 1, ended.stderr
        lines = [json.loads(line.replace(name, "OUT")) for line in ended.stdout.splitlines()]
        told[name] = sorted((line | {"seconds": 0} for line in lines), key=lambda line: line["input"])
        with (tmp_path / name / "manifest.csv").open() as file:
            rows[name] = sorted((row["input"], row["model_sha256"], row["error"]) for row in csv.DictReader(file))
    assert told["alone"] == told["ray"]
    assert rows["alone"] == rows["ray"]
    assert [len(line.get("skipped", "")) > 0 for line in told["ray"]] == [False, False, False, False, True]
    for path in (tmp_path / "alone").glob("*.png"):
        assert path.read_bytes() == (tmp_path / "ray" / path.name).read_bytes()


@needs_ray
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_thousand_pictures_of_which_a_worker_is_killed(model, tmp_path):
    names = {f"scans_denoised/{path.stem}_denoised.png" for path in pictures(tmp_path / "scans", 1000).iterdir()}
    process = start_process("denoise", "scans", "--model", model, "--noise", "20", "--json", *TWO_WORKERS, cwd=tmp_path)
    told, busy = [], []
    while len(told) < 100 or not busy:  # between two pictures a worker is called otherwise
        told.append(json.loads(process.stdout.readline()))
        busy = [pid for pid, command in descendants(process.pid).items() if command.startswith("ray::Worker.work")]
    os.kill(busy[0], signal.SIGKILL)
    out, err = process.communicate(timeout=1800)
    assert (process.returncode, err) == (0, b"")
    told += [json.loads(line) for line in out.splitlines()]
    assert sorted(line["output"] for line in told) == sorted(names)
    # One that was written, and whose worker was killed before it said so.
    assert [line["skipped"] for line in told if "skipped" in line] in ([], ["done by another"])
    assert {str(path.relative_to(tmp_path)) for path in (tmp_path / "scans_denoised").glob("*.png")} == names
    assert len({path.read_bytes() for path in (tmp_path / "scans_denoised").glob("*.png")}) == 1
    with (tmp_path / "scans_denoised" / "manifest.csv").open() as file:
        rows = [row["output"] for row in csv.DictReader(file)]
    assert sorted(rows) == sorted(line["output"] for line in told if "skipped" not in line)


@needs_ray
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_workers_too(model, tmp_path, number):
    pictures(tmp_path / "scans", 300)
    process = start_process("denoise", "scans", "--model", model, "--noise", "20", *TWO_WORKERS, cwd=tmp_path)
    assert b"_denoised.png" in process.stderr.readline()
    below = descendants(process.pid)
    process.send_signal(number)
    err = process.communicate(timeout=120)[1]
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert (process.returncode, err.splitlines()[-1]) == (128 + number, f"scoreinv: {word}".encode())
    wait_for(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in below), 60)
    for path in (tmp_path / "scans_denoised").glob("*.png"):
        Image.open(path).load()
