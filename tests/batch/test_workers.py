"""Folders that are processed by several processes, of this machine or of a Ray cluster; some of these are killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from PIL import Image
from support.processes import wait_for
from support.shell import photo_array, start_process

from scoreinv.batch import workers
from scoreinv.batch.plan import BY_ANOTHER, EXISTS, Job, OutputOptions, Plan
from scoreinv.batch.run import run
from scoreinv.batch.work import Work
from scoreinv.batch.workers import process_in_workers
from scoreinv.models.loading import Machine, Models
from scoreinv.tasks.outcome import DenoiseOutcome
from scoreinv.tasks.requests import DenoiseRequest
from scoreinv.tasks.table import Task

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray, of the extra 'ray'")
TWO_WORKERS = {
    "ray": ("--workers", "ray", "--threads", str(max(1, (os.cpu_count() or 2) // 2))),
    "two": ("--workers", "2"),
}
BUSY = {"ray": "ray::Processor", "two": "spawn_main"}
"""Part of the command lines of processes that process a photograph."""
kinds_of_workers = pytest.mark.parametrize("kind", [pytest.param("ray", marks=needs_ray), "two"])


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(photo_array(16, 24)).save(folder / f"{number:04}.png")
    return folder


def descendants(pid: int) -> dict[int, str]:
    """Return the command lines of a process's descendants, by number."""
    found, parents = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):  # not a process, or it has ended
            continue
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return {child: found[child] for child in below - {pid} if child in found}


def same_picture(inputs: Any, request: Any, models: Any) -> DenoiseOutcome:
    """A task that changes nothing."""
    return DenoiseOutcome(inputs.picture, [inputs.picture], None, 1, "exact", 0.0)


def some_work(workers: str | None = None, **machine: Any) -> Work:
    """Work with `same_picture`, which would need a model."""
    models, options = Models(machine=Machine(**machine)), OutputOptions(workers=workers)
    return Work(
        Task("same", DenoiseRequest, same_picture, "_same", ""), DenoiseRequest(), models, options=options, batch=True
    )


@pytest.mark.parametrize(
    ("asked", "machine", "wanted", "count"),
    [
        (None, {}, 80, 4),  # as many as processors
        (None, {}, 23, 2),  # each with several photographs
        (None, {}, 15, 1),
        (None, {"threads": 3}, 80, 1),
        (None, {"device": "cuda"}, 80, 1),
        ("1", {}, 80, 1),
        ("3", {"threads": 3, "device": "cuda"}, 2, 2),
        ("ray", {}, 1, "ray"),
    ],
)
def test_the_number_of_workers_follows_processors_photos_and_memory(
    monkeypatch, limit, tmp_path, asked, machine, wanted, count
):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(__spec__="installed"))
    monkeypatch.setattr(workers, "processors", lambda: 4)
    limit(memory=4 * 0.6e9 + 4 * 1e6)
    monkeypatch.setattr(workers, "device_of", lambda device: "cpu" if device == "auto" else device)
    photo = pictures(tmp_path / "scans", 1) / "0000.png"
    jobs, work = [Job(str(photo), "out")] * wanted, some_work(asked, **machine)
    assert workers.choose_workers(jobs, work) == count
    as_asked = count if asked else 1
    large = tmp_path / "scans" / "large.pgm"  # 16 megapixels take 4 GB
    large.write_bytes(b"P5 4000 4000 255\n" + bytes(16_000_000))
    assert workers.choose_workers([Job(str(large), "out"), *jobs[1:]], work) == as_asked
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert workers.choose_workers(jobs, work) == as_asked


class Pool:
    """Stands for a pool of one process: it is killed each time by picture 3, and once by 5."""

    fragile: ClassVar[dict[str, int]] = {}

    def __init__(self, *given: object) -> None:
        self.broken = False

    def submit(self, function: Callable[..., Any], job: Any, *given: Work) -> Future[Any]:
        if self.broken:
            raise BrokenProcessPool
        future: Future[Any] = Future()
        if not given:  # it starts
            future.set_result(function(job))
        elif self.fragile.get(job.source, 0):
            self.fragile[job.source] -= 1
            self.broken = True
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result({"input": job.source, "skipped": "done"})
        return future

    def shutdown(self, *, cancel_futures: bool) -> None: ...


def test_the_rows_and_the_pace_of_several_workers(monkeypatch, tmp_path):
    """Finished pictures are told first, and count neither for the share nor for the pace."""
    now, told, ended = [0.0], [], []

    class Timed(Pool):
        def submit(self, function: Callable[..., Any], job: Any, *given: Work) -> Future[Any]:
            now[0] += 6 * len(given)
            return super().submit(function, job, *given)

        def shutdown(self, *, cancel_futures: bool) -> None:
            ended.append(cancel_futures)

    monkeypatch.setattr(futures, "ProcessPoolExecutor", Timed)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    work = some_work("2", precision="float32")
    (tmp_path / "b").touch()
    jobs = [Job(name, "out", outputs=(str(tmp_path / name),)) for name in "abc"]
    rows = run(Plan(jobs), work, lambda *progress: told.append(progress))
    assert [(row["input"], row["skipped"]) for row in rows] == [("b", EXISTS), ("a", "done"), ("c", "done")]
    assert told == [(0.5, 12, ""), (1, 0, "")]
    next(stopped := run(Plan(jobs), work))
    next(stopped)
    stopped.close()
    assert ended == [True] * 4


def test_a_photograph_whose_worker_is_killed_is_processed_again(monkeypatch):
    monkeypatch.setattr(futures, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(Pool, "fragile", {"3": 9, "5": 1})
    jobs = [Job(str(number), "out", outputs=("out",)) for number in range(9)]
    rows = list(process_in_workers(jobs, some_work(), 2))
    assert sorted(row["input"] for row in rows) == list("012345678")
    (failed,) = (row for row in rows if "error" in row)
    assert (failed["input"], "killed 4 times" in failed["error"]) == ("3", True)
    assert Pool.fragile == {"3": 5, "5": 0}


@kinds_of_workers
@pytest.mark.slow
def test_workers_give_the_same_results_and_rows_as_one_process(tmp_path, kind):
    """The same files, lines and rows as without them; the failure of one is its own, what is finished is skipped."""
    scans = pictures(tmp_path / "scans", 4)
    (scans / "0001.png").write_bytes(b"no picture")
    (scans / "0002.jpg").symlink_to(scans / "0002.png")
    words = [sys.executable, "-m", "scoreinv", "upscale", "scans", "--json", "--threads", "1"]  # the record names them
    told, rows = {}, {}
    for name, more in {"alone": ("--workers", "1"), kind: TWO_WORKERS[kind]}.items():
        (tmp_path / name).mkdir()
        Image.fromarray(photo_array()).save(tmp_path / name / "0003_upscaled.png")
        ended = subprocess.run([*words, *more, "-o", name], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert ended.stderr.count("scoreinv: error: scans/0001.png: not a supported picture") == 1, ended.stderr
        assert ended.stderr.count("\n") == 1, ended.stderr
        lines = [json.loads(line.replace(f"{name}/", "OUT/")) for line in ended.stdout.splitlines()]
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
    count = 200
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
    assert [line["skipped"] for line in told if "skipped" in line] in ([], [BY_ANOTHER])
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
