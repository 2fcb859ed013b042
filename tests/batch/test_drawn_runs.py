"""Invariants of batches, over drawn folders, options, failures and interruptions."""

import csv
import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import pytest
import typer
from PIL import Image

from scoreinv import files
from scoreinv.batch.manifest import MANIFEST
from scoreinv.batch.plan import AuxiliaryFiles, Job, OutputOptions, Plan, Planner, Row
from scoreinv.batch.work import Work
from scoreinv.batch.workers import RETRIES
from scoreinv.cli import photos
from scoreinv.cli.options import Common
from scoreinv.models.loading import Machine, Models, ModelSource, Role
from scoreinv.system.errors import InputError
from scoreinv.system.files import atomic_write
from scoreinv.system.progress import report
from scoreinv.tasks.outcome import DenoiseOutcome
from scoreinv.tasks.requests import DenoiseRequest, RestoreRequest
from scoreinv.tasks.table import TASKS, Task

SUFFIX = "_made"
STEMS = ("a", "a.jpg", "a_made", "a_made.1", "b_made.2", "a.jpg_made", "c.d")
"""Stems that collide with each other and with each other's results."""
SUFFIXES = (".png", ".jpg", ".PNG", ".tiff")


def some(rng: np.random.Generator, *choices):
    return choices[rng.integers(len(choices))]


def draw_tree(rng: np.random.Generator) -> None:
    """Make folders of empty files in the working folder: photos, and some masks of each kind of name."""
    for folder in map(Path, ("scans", "scans/in", "scans/.hidden", "others", "masks", "masks/in")):
        folder.mkdir()
    for folder in ("scans", "scans/in", "scans/.hidden", "others"):
        for stem in ("b", *rng.choice(STEMS, 2)):
            for suffix in rng.choice(SUFFIXES, rng.integers(1, 3)):
                Path(folder, f"{stem}{suffix}").touch()
                place = Path(folder.replace("scans", "masks").replace("others", "masks"))
                for name in (f"{stem}{suffix}", f"{stem}", f"{stem}{suffix}_damage", f"{stem}_damage"):
                    if rng.random() < 0.3 and place.exists():
                        (place / f"{name}.png").touch()
    Path("out").mkdir()
    for name in ("mask.png", "out/b_made.png"):
        Path(name).touch()


def draw_planner(rng: np.random.Generator, photos: int, output: int) -> Planner:
    """Draw the options of a planner of one kind of inputs, from 9, and one kind of output, from 6."""
    files = rng.permutation([str(path) for path in sorted(Path("scans").glob("[!.]*.*"))]).tolist()
    items = (
        ["scans"],
        ["scans", "others"],
        ["others", "scans/in"],
        ["others/b.png", "scans"],
        ["scans", "others/b.png"],
        ["others", f"{Path.cwd()}/others"],
        files[:3],
        files[:1],
        [files[0], "gone.png"],
    )[photos]
    single = items == files[:1]
    beside = ("beside.png", "masks/other.png") if single else ("maps", "out", "scans/in/maps")
    options = OutputOptions(
        output=(None, "out", "out/", "scans", "scans/in", "new.png" if single else None)[output],
        recursive=bool(rng.integers(2)),
        format=some(rng, *5 * [None], "jpg"),
        changes=some(rng, *5 * [None], *beside),
    )
    given = AuxiliaryFiles(
        mask=some(rng, *6 * [None], *3 * ["masks"], "mask.png", "out/b_made.png"),
        uncertainty=some(rng, *5 * [None], *beside),
        steps_to=some(rng, *8 * [None], "steps", "out"),
        endings=("_1_tone", "_2_fill"),
    )
    models = some(rng, *5 * [{}], {"out/b_made.png": "a model"})
    return Planner(items, SUFFIX, some(rng, 1, 3), options, given, models, some(rng, None, "png"))


def pictures(planner: Planner) -> Counter[str]:
    """Return the visible pictures of a planner's inputs."""
    found = Counter[str]()
    for item in planner.photos:
        entries = Path(item).rglob("*") if planner.options.recursive else Path(item).glob("*")
        shown = (path for path in entries if "/." not in f"/{path.relative_to(item).as_posix()}")
        pictures = (str(path) for path in shown if path.suffix.lower() in files.SUFFIXES)
        found.update(pictures if Path(item).is_dir() else [item])
    return found


def written(plan: Plan) -> list[str]:
    return [os.path.realpath(path) for job in plan.jobs for path in (*job.outputs, *job.auxiliary)]


def test_plans(tmp_path, monkeypatch):
    """No file has two roles, each picture has one job, and neither finished results nor shards change jobs."""
    rng, planned = np.random.default_rng(0), 0
    for number, kinds in enumerate(rng.permutation(list(itertools.product(range(9), range(6))))):
        if number % 6 == 0:
            monkeypatch.chdir(tmp_path)
            Path(str(number)).mkdir()
            monkeypatch.chdir(str(number))
            draw_tree(rng)
        planner = draw_planner(rng, *kinds)
        before = sorted(Path().rglob("*"))
        try:
            plan = planner.plan()
        except InputError:
            continue
        finally:
            assert sorted(Path().rglob("*")) == before
        planned += 1
        found, sources, paths = pictures(planner), Counter(job.source for job in plan.jobs), written(plan)
        assert len(set(paths)) == len(paths)
        assert sources <= found
        assert found.total() - sources.total() == plan.results_skipped
        assert all(SUFFIX in Path(source).stem for source in found - sources)
        if not plan.batch:
            continue
        read = sources.keys() | planner.models.keys() | {job.mask for job in plan.jobs if job.mask}
        assert not set(map(os.path.realpath, filter(os.path.exists, read))) & set(paths)
        if plan.folder is not None:
            assert all(Path(path).is_relative_to(plan.folder) for job in plan.jobs for path in job.outputs)
        if planner.auxiliary.mask == "masks":
            masks = {
                path.with_suffix(""): str(path) for path in map(Path, pictures(replace(planner, photos=["masks"])))
            }
            for job in plan.jobs:
                whole = "masks" / job.inside / Path(job.source).name
                assert job.mask == masks.get(whole, job.mask)
                assert job.mask or whole.with_suffix("") not in masks
        count = int(rng.integers(1, 5))
        parts = []
        for shard in range(1, count + 1):
            options = replace(planner.options, shard=f"{shard}/{count}")
            parts.append(replace(planner, photos=rng.permutation(planner.photos).tolist(), options=options).plan().jobs)
        assert Counter(job for part in parts for job in part) == Counter(plan.jobs)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        for path in paths:
            if rng.random() < 0.5:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Path(path).touch()
        assert Counter(planner.plan().jobs) == Counter(plan.jobs)
    assert planned > 25


@dataclass(frozen=True)
class Same(DenoiseRequest):
    """A request that needs no model."""

    def roles(self, given: object) -> list[Role]:
        return []


def same(inputs: Any, request: Same, models: Any) -> DenoiseOutcome:
    """Fail for tall pictures; else return the picture, with samples that are brighter."""
    picture = inputs.picture
    for share in (0.0, 0.5, 1.0):
        report(share)
    if picture.height > picture.width:
        raise RuntimeError("too tall")
    samples = [replace(picture, pixels=picture.pixels + np.uint8(number)) for number in range(request.samples)]
    std = np.ones(picture.size) if request.samples > 1 else None
    return DenoiseOutcome(picture, samples, std, 1, "exact", 0.0)


SAME = Task("same", Same, same, SUFFIX, "")


class Pool:
    """A pool of one process that works at once, and is killed now and then, before or after the work."""

    rng: ClassVar[np.random.Generator]
    killed: ClassVar[Counter[Job]]

    def __init__(self, *given: object) -> None:
        self.broken = False

    def submit(self, process: Callable[..., Any], job: Any, *given: Work) -> Future[Any]:
        if self.broken:
            raise BrokenProcessPool
        future: Future[Any] = Future()
        if not given:  # it starts
            future.set_result(process(job))
            return future
        self.broken = self.rng.random() < 0.3 and self.killed[job] < RETRIES
        if not self.broken or self.rng.random() < 0.5:
            future.set_result(process(job, *given))
        if self.broken:
            self.killed[job] += 1
            future = Future()
            future.set_exception(BrokenProcessPool())
        return future

    def shutdown(self, *, cancel_futures: bool) -> None: ...


@dataclass
class Run:
    """What a run left: its exit status, rows and progress."""

    code: int
    rows: list[Row]
    shares: list[float]

    @property
    def reached(self) -> float:
        """Share of the pictures that were worked on, up to the begin of the last, or its end if it was read."""
        worked = [row for row in self.rows if "skipped" not in row]
        read = [number for number, row in enumerate(worked, 1) if "too tall" in row.get("error", "too tall")]
        return max([len(worked) - 1, *read]) / len(worked)

    @property
    def done(self) -> list[str]:
        return [row["input"] for row in self.rows if "output" in row and "skipped" not in row]


@pytest.fixture
def run(monkeypatch, capsys) -> Callable[..., Run]:
    """Runs `same` by the front end of commands; a number interrupts it at that file."""
    shares: list[float] = []
    monkeypatch.setattr(photos, "progress_bar", lambda *_, **__: nullcontext(lambda share, *_: shares.append(share)))
    monkeypatch.setattr(futures, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    write = files.write_picture

    def ran(
        items: list[str], given: AuxiliaryFiles, options: dict[str, Any], samples: int, at: int | None = None
    ) -> Run:
        left = itertools.count(0 if at is None else -at)

        def written(*words: Any, **more: Any) -> None:
            if (number := next(left)) == 0 and at is not None and at % 2:
                raise KeyboardInterrupt
            write(*words, **more)
            if number == 0 and at is not None:
                raise KeyboardInterrupt

        monkeypatch.setattr(files, "write_picture", written)
        Pool.killed = Counter()
        shares.clear()
        capsys.readouterr()
        models = Models(machine=Machine(threads=1))  # the container's limits are not read
        common = Common(json=True, overwrite=options.get("overwrite", False))
        request, output = Same(samples=samples), OutputOptions(**options)
        with pytest.raises((typer.Exit, KeyboardInterrupt)) as ended:
            photos.run(items, SAME, request, output, common, models, given)
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return Run(getattr(ended.value, "exit_code", 130), rows, [*shares])

    return ran


def save(path: Path, rng: np.random.Generator, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 200, (2, 3) if kind == "good" else (3, 2), "uint8")
    Image.fromarray(pixels).save(path, "PNG")
    if kind == "broken":
        path.write_bytes(path.read_bytes()[:20])


def content(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder but manifests."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_interrupted_runs(tmp_path, monkeypatch, run):
    """A run that was interrupted and resumed leaves the files and the manifest of one run, and each job has a row."""
    rng = Pool.rng = np.random.default_rng(0)
    with atomic_write(tmp_path / "a.png") as part:
        part.touch()
        killed = part.name.replace(f"-{os.getpid()}-", f"-{2**40}-")
    for number in range(4):
        names = [f"{place}{name}" for place in ("", "in/") for name in ("a.png", "a.jpg", "b.png", "c.PNG")]
        for name in ("a.png", *rng.choice(names[1:], 4, replace=False)):
            save(tmp_path / f"{number}/scans/{name}", rng, some(rng, *5 * ["good"], "broken", "tall"))
        mask = Image.fromarray(np.array([[0, 255, 0]] * 2, "uint8"))
        (tmp_path / f"{number}/masks").mkdir()
        mask.save(tmp_path / f"{number}/masks/a.png")
        mask.save(tmp_path / f"{number}/masks/b_damage.png")
        shutil.copytree(tmp_path / str(number), tmp_path / f"{number}-in-parts")
        options = {"recursive": True, "changes": some(rng, None, "changes"), "output": some(rng, None, "out", "scans")}
        given = AuxiliaryFiles(mask=some(rng, None, None, None, "masks"))
        samples = some(rng, 1, 3)
        monkeypatch.chdir(tmp_path / str(number))
        whole = run(["scans"], given, options | {"workers": "1"}, samples)
        failed = {row["input"] for row in whole.rows if "error" in row}
        assert whole.code == bool(failed)
        assert whole.shares == sorted(whole.shares)
        monkeypatch.chdir(tmp_path / f"{number}-in-parts")
        for at in (*rng.integers(0, 7, 2), None, None):
            options["workers"] = some(rng, "1", "2")
            manifest = Path(options["output"] or "scans_made", MANIFEST)
            if manifest.exists() and rng.random() < 0.5:
                manifest.write_bytes(manifest.read_bytes() + b'"scans/a.png,a_')
            for folder in (manifest.parent, Path("changes")):
                if folder.exists():
                    (folder / killed).touch()
            last = run(["scans"], given, options, samples, at)
            assert last.shares == sorted(last.shares)
            if last.code != 130 and last.shares:
                assert last.shares[-1] == (1 if options["workers"] == "2" else last.reached)
        assert content(Path()) == content(Path("..", str(number)))
        assert (last.code, last.done) == (whole.code, [])
        assert Counter(row["input"] for row in last.rows) == Counter(row["input"] for row in whole.rows)
        assert {row["input"] for row in last.rows if "error" in row} == failed
        with manifest.open() as file:
            recorded = [
                (row["input"], output) for row in csv.DictReader(file) for output in json.loads(row["outputs"] or "[]")
            ]
        assert len(set(recorded)) == len(recorded)
        assert {source for source, _ in recorded} == set(whole.done)
        assert set(recorded) <= {(row["input"], output) for row in whole.rows for output in row.get("outputs", ())}
        again = run(["scans"], given, options | {"overwrite": True}, samples)
        assert (again.code, sorted(again.done)) == (whole.code, sorted(whole.done))
        assert content(Path()) == content(Path("..", str(number)))


def test_rows_name_the_models_of_a_request(monkeypatch):
    monkeypatch.setattr(ModelSource, "record", lambda source: {"model": source.name})
    names = Models(**{role: f"{role}.safetensors" for role in get_args(Role)})
    requests = [RestoreRequest(colorize=False), RestoreRequest(inpaint=False)]
    for request in (*requests, *(task.request() for task in TASKS if task.models)):
        for given in (AuxiliaryFiles(), AuxiliaryFiles(mask="mask.png")):
            first, *others = request.roles(given.given)
            row = Work(SAME, request, names, given).provenance("exact")
            assert row["model"] == f"{first}.safetensors"
            assert row.get("color_model") == ("colorize.safetensors" if "colorize" in others else None)
