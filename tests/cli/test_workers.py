"""Folders that are done by several processes, of this machine or of a Ray cluster, some of which are killed."""

from __future__ import annotations

import csv
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from PIL import Image
from processes import wait_for
from shell import photo_array, start_process

from scoreinv.cli import workers
from scoreinv.cli.options import Common, Output
from scoreinv.cli.photo_loop import Run
from scoreinv.cli.plan import Job, Plan
from scoreinv.system.errors import InputError

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray, by the extra 'ray'")
TWO_WORKERS = {
    "ray": ("--workers", "ray", "--threads", str(max(1, (os.cpu_count() or 2) // 2))),
    "two": ("--workers", "2"),
}
BUSY = {"ray": "ray::Worker.work", "two": "spawn_main"}
"""What the command lines of processes that do a photograph have."""
kinds_of_workers = pytest.mark.parametrize("kind", [pytest.param("ray", marks=needs_ray), "two"])


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


@pytest.mark.parametrize("count", ["0", "two", "-1", "1000"])
def test_numbers_of_workers(scoreinv, photo, count):
    outcome = scoreinv("denoise", photo, photo.parent, f"--workers={count}")
    said = f"scoreinv: error: --workers {count}: give a number of processes from 1 to 999, or ray\n"
    assert (outcome.code, outcome.err) == (2, said)


def a_run(monkeypatch: pytest.MonkeyPatch, workers: str | None = None, **common: object) -> Run[None]:
    """Of nine photographs, to be done by what stands for a model."""
    monkeypatch.setattr(sys, "argv", ["scoreinv", "denoise", "scans"])
    jobs = [Job(str(number), "out", outputs=("out",)) for number in range(9)]
    asked = {"output": Output(workers=workers), "common": Common(**common)}
    plan = Plan(jobs, jobs, batch=True, folders=set(), folder=None, passed_over=0, **asked)
    model = SimpleNamespace(check=lambda: None)
    return Run(plan, lambda job, picture, given, progress: None, [model])


@pytest.mark.parametrize(
    ("asked", "common", "wanted", "count"),
    [
        (None, {}, 80, 4),  # as many as there are processors
        (None, {}, 23, 2),  # each with a few photographs to do
        (None, {}, 15, 1),
        (None, {"threads": 3}, 80, 1),
        (None, {"device": "cuda"}, 80, 1),
        ("1", {}, 80, 1),
        ("3", {"threads": 3, "device": "cuda"}, 2, 2),
        ("ray", {}, 1, "ray"),
    ],
)
def test_as_many_workers_as_pay(monkeypatch, tmp_path, asked, common, wanted, count):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(workers, "processors", lambda: 4)
    monkeypatch.setattr(workers, "available_bytes", lambda: 4 * 0.6e9 + 4 * 1e6)
    monkeypatch.setattr(workers, "device_of", lambda device: "cpu" if device == "auto" else device)
    photo = pictures(tmp_path / "scans", 1) / "0000.png"
    jobs = [Job(str(photo), "out")] * wanted
    run = a_run(monkeypatch, asked, **common)
    assert workers.workers_for(run, jobs) == count
    as_asked = count if asked else 1
    with monkeypatch.context() as patch:  # 16 megapixels take 4 GB
        patch.setattr(workers, "_pixels", lambda path: 16_000_000)
        assert workers.workers_for(run, jobs) == as_asked
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert workers.workers_for(run, jobs) == as_asked


def test_pixels_are_counted_without_decoding(tmp_path):
    photo = pictures(tmp_path / "scans", 1) / "0000.png"
    photo.write_bytes(photo.read_bytes()[:60])
    assert workers._pixels(str(photo)) == Image.open(photo).width * Image.open(photo).height
    assert workers._pixels(str(tmp_path / "gone.png")) == 0


def test_a_worker_makes_the_run_of_the_command_line(model, tmp_path, monkeypatch):
    """What is said of the whole folder is not said again; the failure of a photograph is its own."""
    monkeypatch.chdir(tmp_path)
    scans = pictures(tmp_path / "scans", 2)
    (scans / "0001.png").write_bytes(b"no picture")
    (scans / "within").mkdir()
    (scans / "within" / "one.png").write_bytes((scans / "0000.png").read_bytes())
    words = ["denoise", "scans", "--model", str(model), "--noise", "20"]
    worker = pickle.loads(pickle.dumps(workers.Worker(words, str(tmp_path), 1, {"SCOREINV_DENOISE_FORMAT": "tif"})))
    monkeypatch.delenv("SCOREINV_DENOISE_FORMAT", raising=False)
    done, failed = (worker.work(job) for job in worker.run.plan.jobs)
    os.environ.pop("SCOREINV_DENOISE_FORMAT")
    assert worker.run.plan.common.threads == 1
    assert done[0] == []
    assert (done[1]["output"], done[2]) == ("scans_denoised/0000_denoised.tif", None)
    assert Path("scans_denoised/0000_denoised.tif").exists()
    lines, row, ending = pickle.loads(pickle.dumps(failed))
    assert ("not a picture" in row["error"], lines, ending) == (True, [], None)


def test_what_no_photograph_could_be_done_with_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "scans", 1)
    worker = workers.Worker(["denoise", "scans", "--model", "none.safetensors"], str(tmp_path), 1, {})
    *_, ending = worker.work(Job("scans/0000.png", "out.png", outputs=("out.png",)))
    assert "none.safetensors" in str(ending)


class Pool:
    """What stands for a pool of one process: the one that does the picture 3 is killed each time, 5 once."""

    fragile: ClassVar[dict[str, int]] = {}

    def __init__(self, count: int, context: object, begin: object, given: object) -> None:
        self.broken = False

    def submit(self, work: object, job: Job) -> Future[workers.Answer]:
        if self.broken:
            raise BrokenProcessPool
        future: Future[workers.Answer] = Future()
        if self.fragile.get(job.source, 0):
            self.fragile[job.source] -= 1
            self.broken = True
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(([f"about {job.source}"], {"input": job.source, "skipped": "done"}, None))
        return future

    def shutdown(self, *, cancel_futures: bool) -> None: ...


def test_a_photograph_whose_worker_is_killed_is_given_out_again(capsys, monkeypatch):
    monkeypatch.setattr(workers, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(Pool, "fragile", {"3": 9, "5": 1})
    run = a_run(monkeypatch)
    rows = list(workers.work_by(2, run, run.plan.own))
    assert sorted(row["input"] for row in rows) == list("012345678")
    (failed,) = (row for row in rows if "error" in row)
    assert (failed["input"], "killed 4 times" in failed["error"]) == ("3", True)
    assert Pool.fragile == {"3": 5, "5": 0}
    assert capsys.readouterr().err.splitlines().count("about 5") == 1


class LostError(Exception):
    """What stands for Ray's errors."""


class Cluster:
    """What stands for Ray, its pool and its workers, on two processors: the picture 3 is lost."""

    exceptions = SimpleNamespace(RayError=LostError)
    shutdown = init = staticmethod(lambda *given, **options: None)
    nodes = staticmethod(lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {}}])

    def __init__(self) -> None:
        self.waiting: list[Job] = []
        self.workers = 0

    def remote(self, worker: type) -> Cluster:
        return self

    def options(self, **resources: int) -> SimpleNamespace:
        self.resources = resources
        return SimpleNamespace(remote=lambda *given: None)

    def pool(self, workers: list[None]) -> Cluster:
        self.workers = len(workers)
        return self

    def submit(self, does: Callable[[SimpleNamespace, Job], Job], job: Job) -> None:
        self.waiting.append(does(SimpleNamespace(work=SimpleNamespace(remote=lambda job: job)), job))

    def has_next(self) -> bool:
        return bool(self.waiting)

    def get_next_unordered(self) -> workers.Answer:
        job = self.waiting.pop()
        print("(raylet) A worker died")
        if job.source == "3":
            raise LostError("of memory\nand so on")
        return [f"about {job.source}"], {"input": job.source, "skipped": "done"}, None


def work(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, threads: int) -> list[dict[str, Any]]:
    """What becomes of nine photographs."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", cluster)
    monkeypatch.setitem(sys.modules, "ray.util", SimpleNamespace(ActorPool=cluster.pool))
    run = a_run(monkeypatch, threads=threads)
    rows = []
    for row in workers.work_by("ray", run, run.plan.own):
        print(row["input"])
        rows.append(row)
    return rows


def test_jobs_are_worked_off_as_they_end(capsys, monkeypatch):
    """Each once; what a worker said is said before its row, and what Ray prints is no result."""
    cluster = Cluster()
    rows = work(cluster, monkeypatch, 1)
    assert [row["input"] for row in rows] == ["8", "7", "6", "5", "4", "2", "1", "0", "3"]
    assert cluster.workers == 2
    assert cluster.resources == {"num_cpus": 1, "num_gpus": 0, "max_restarts": 3, "max_task_retries": 3}
    (failed,) = (row for row in rows if "error" in row)
    assert failed["error"] == "its worker was lost, or its machine: of memory"
    captured = capsys.readouterr()
    assert captured.err.splitlines().count("about 5") == 1
    assert captured.out.splitlines() == [row["input"] for row in rows]


def test_a_worker_takes_no_more_processors_than_there_are(monkeypatch):
    with pytest.raises(InputError, match="--threads 3: a worker takes so many, and the largest machine has 2"):
        work(Cluster(), monkeypatch, 3)


@kinds_of_workers
@pytest.mark.slow
def test_what_workers_do_is_told_as_ever(model, tmp_path, kind):
    """The same files, lines and rows as without them; the failure of one is its own, what is finished is skipped."""
    scans = pictures(tmp_path / "scans", 4)
    (scans / "0001.png").write_bytes(b"no picture")
    (scans / "0002.jpg").symlink_to(scans / "0002.png")
    words = [sys.executable, "-m", "scoreinv", "upscale", "scans", "--model", str(model), "--json"]
    told, rows = {}, {}
    for name, more in {"alone": ("--workers", "1"), kind: TWO_WORKERS[kind]}.items():
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
    assert told["alone"] == told[kind]
    assert rows["alone"] == rows[kind]
    assert [len(line.get("skipped", "")) > 0 for line in told[kind]] == [False, False, False, False, True]
    for path in (tmp_path / "alone").glob("*.png"):
        assert path.read_bytes() == (tmp_path / kind / path.name).read_bytes()


@kinds_of_workers
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_many_pictures_of_which_a_worker_is_killed(model, tmp_path, kind):
    count = {"ray": 1000, "two": 200}[kind]
    names = {f"scans_denoised/{path.stem}_denoised.png" for path in pictures(tmp_path / "scans", count).iterdir()}
    process = start_process(
        "denoise", "scans", "--model", model, "--noise", "20", "--json", *TWO_WORKERS[kind], cwd=tmp_path
    )
    # Processes are looked for only then, and early: a loaded machine may have done them all before they are found.
    told, busy = [json.loads(process.stdout.readline()) for _ in range(20)], []
    while not busy:  # between two pictures a worker of Ray is called otherwise
        told.append(json.loads(process.stdout.readline()))
        busy = [pid for pid, command in descendants(process.pid).items() if BUSY[kind] in command]
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


@kinds_of_workers
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_workers_too(model, tmp_path, number, kind):
    pictures(tmp_path / "scans", 300)
    process = start_process("denoise", "scans", "--model", model, "--noise", "20", *TWO_WORKERS[kind], cwd=tmp_path)
    assert b"_denoised.png" in process.stderr.readline()
    below = descendants(process.pid)
    process.send_signal(number)
    err = process.communicate(timeout=120)[1]
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert (process.returncode, err.splitlines()[-1]) == (128 + number, f"scoreinv: {word}".encode())
    wait_for(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in below), 60)
    for path in (tmp_path / "scans_denoised").glob("*.png"):
        Image.open(path).load()
