"""Photographs of an object store: those of fsspec that are in memory and in files stand for the others."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image
from shell import photo_array

from scoreinv.cli import stores
from scoreinv.cli.photo_loop import Run
from scoreinv.cli.plan import Job

DEEP = "深" * 40
"""A folder whose name is long where each of its bytes is quoted."""
NAMES = ("a.png", "b.jpg", f"{DEEP}/c.png")
RESULTS = {"a_denoised.png", "b_denoised.png", f"{DEEP}/c_denoised.png"}


@pytest.fixture(params=["memory", pytest.param("file", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a folder that has `scans`."""
    url = "memory://bucket" if request.param == "memory" else f"file://{tmp_path}/bucket"
    for name in NAMES:
        stream = io.BytesIO()
        Image.fromarray(photo_array(16, 24)).save(stream, "PNG" if name.endswith("png") else "JPEG")
        write(f"{url}/scans/{name}", stream.getvalue())
    write(f"{url}/scans/notes.txt", b"no picture")
    yield url
    files, path = fsspec.url_to_fs(url)
    files.rm(path, recursive=True)


def write(url: str, content: bytes) -> None:
    with fsspec.open(url, "wb", auto_mkdir=True) as file:
        file.write(content)


def stored(url: str) -> dict[str, bytes]:
    """The files of a folder, by their names in it."""
    files, path = fsspec.url_to_fs(url)
    return {name.removeprefix(f"{path}/"): files.cat(name) for name in files.find(path)}


@pytest.fixture
def run(scoreinv, store):
    """Runs `denoise` of the store's `scans` into `clean`."""
    return lambda *more: scoreinv("denoise", f"{store}/scans", "-o", f"{store}/clean", "--noise", "20", *more)


def rows(store: str) -> list[dict[str, str]]:
    tables = (text for name, text in stored(f"{store}/clean").items() if name.startswith("manifests/"))
    return [row for text in tables for row in csv.DictReader(io.StringIO(text.decode()))]


def results(store: str) -> dict[str, bytes]:
    return {name: made for name, made in stored(f"{store}/clean").items() if not name.startswith("manifests/")}


def test_a_folder_is_done_a_few_at_a_time_and_then_it_is_done(run, store, monkeypatch):
    monkeypatch.setattr(stores, "AT_ONCE", 2)
    ended = run()
    assert (ended.code, "3 to do, 0 exist already" in ended.err) == (0, True), ended.err
    assert f"{store}/clean/{DEEP}/c_denoised.png" in ended.err
    assert ("scoreinv-" in ended.err, "manifest.csv" in ended.err) == (False, False)
    made = stored(f"{store}/clean")
    assert results(store).keys() == RESULTS
    assert len(made) == len(RESULTS) + 2
    assert Image.open(io.BytesIO(made[f"{DEEP}/c_denoised.png"])).size == (24, 16)
    assert sorted(row["input"] for row in rows(store)) == sorted(f"{store}/scans/{name}" for name in NAMES)
    assert {row["output"] for row in rows(store)} == {f"{store}/clean/{name}" for name in RESULTS}
    again = run()
    assert (again.code, "0 to do, 3 exist already" in again.err) == (0, True)
    assert stored(f"{store}/clean") == made
    assert "3 to do" in run("--overwrite").err


def test_what_failed_or_was_removed_is_done_by_the_next_run_and_nothing_else(run, store):
    whole = stored(f"{store}/scans")["a.png"]
    write(f"{store}/scans/a.png", whole[:60])
    assert run("--json").code == 1
    failed, *others = sorted(rows(store), key=lambda row: row["input"])
    assert (failed["input"], failed["output"]) == (f"{store}/scans/a.png", "")
    assert all(row["output"] for row in others)
    write(f"{store}/scans/a.png", whole)
    assert "1 to do, 2 exist already" in run().err
    assert "0 to do, 3 exist already" in run().err
    files, path = fsspec.url_to_fs(f"{store}/clean/b_denoised.png")
    files.rm(path)
    assert "1 to do, 2 exist already" in run().err
    assert results(store).keys() == RESULTS
    assert len(rows(store)) == 5


def test_what_is_there_is_replaced_by_overwrite_alone(run, store):
    """Whoever made it; and photographs whose results would have one name have two, wherever they are dealt."""
    write(f"{store}/clean/a_denoised.png", b"of another")
    write(f"{store}/scans/b.png", stored(f"{store}/scans")["a.png"])
    for part in ("1/2", "2/2"):
        assert run("--shard", part).code == 0
    assert results(store).keys() == RESULTS - {"b_denoised.png"} | {"b.jpg_denoised.png", "b.png_denoised.png"}
    assert results(store)["a_denoised.png"] == b"of another"
    assert len(rows(store)) == 3
    assert run("--overwrite").code == 0
    assert results(store)["a_denoised.png"] != b"of another"


@pytest.mark.parametrize("form", ["-o{}", "--output={}", "environment", "scoreinv.toml"])
def test_the_store_is_named_as_any_output(scoreinv, store, monkeypatch, form):
    """And a part, which is dealt once."""
    target = f"{store}/clean"
    monkeypatch.setattr(stores, "AT_ONCE", 1)
    if form == "environment":
        monkeypatch.setenv("SCOREINV_DENOISE_OUTPUT", target)
    elif form == "scoreinv.toml":
        Path(form).write_text(f'[denoise]\noutput = "{target}"\n')
    words = [form.format(target)] if "{}" in form else []
    ended = scoreinv("denoise", *words, "--shard=1/2", "--noise=20", f"{store}/scans")
    assert ended.code == 0, ended.err
    assert results(store).keys() == {"a_denoised.png", f"{DEEP}/c_denoised.png"}


def test_a_rehearsal_tells_what_would_be_done_and_fetches_nothing(run, store, monkeypatch):
    monkeypatch.setattr(stores.Folder, "fetch", None)
    write(f"{store}/clean/a_denoised.png", b"of another")
    ended = run("--dry-run")
    assert (ended.code, ended.err) == (0, "")
    assert f"{store}/scans/a.png: would be skipped, exists already" in ended.out
    assert f"{store}/scans/b.jpg: would be written to {store}/clean/b_denoised.png" in ended.out
    assert stored(f"{store}/clean").keys() == {"a_denoised.png"}
    assert "Usage" in run("--help").out


@pytest.mark.parametrize("full", ["b_denoised.png", "manifests/"])
def test_what_cannot_be_put_is_kept_here(run, store, monkeypatch, full):
    """In the store is not even a part of it: the next run does all. Where nothing can be, nothing is done."""
    opened = stores.Folder._opened

    def refusing(folder: stores.Folder, name: str):
        if name.startswith(full):
            raise OSError("the store is full")
        return opened(folder, name)

    with monkeypatch.context() as patch:
        patch.setattr(stores.Folder, "_opened", refusing)
        ended = run()
    assert (ended.code, f"{store}/clean: OSError: the store is full" in ended.err) == (1, True), ended.err
    assert stored(f"{store}/clean") == {}
    kept = re.search("3 results .* are kept in (.*)", ended.err)
    if full == "manifests/":
        assert (kept, "done" in ended.err) == (None, False)
    else:
        here = Path(kept[1])
        assert {path.relative_to(here).as_posix() for path in here.rglob("*.*") if path.suffix != ".lock"} == {
            *RESULTS,
            "manifest.csv",
        }
        shutil.rmtree(here)
    assert "3 to do" in run().err


def test_what_was_done_before_an_interruption_is_put(run, store, monkeypatch):
    one = Run.one

    def interrupted(self: Run, job: Job, *more: object):
        if job.source.endswith("b.jpg"):
            raise KeyboardInterrupt
        return one(self, job, *more)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "one", interrupted)
        ended = run()
    assert (ended.code, f"-o {store}/clean" in ended.err) == (130, True)
    assert results(store).keys() == {"a_denoised.png"}
    assert "2 to do, 1 exist already" in run().err


def test_a_bucket_is_not_made(scoreinv, store):
    ended = scoreinv("denoise", f"{store}/scans", "-o", "memory://mistyped/clean")
    assert (ended.code, ended.err.splitlines()[-1].endswith("there is no /mistyped: make it, or name another")) == (
        2,
        True,
    )
    assert not fsspec.filesystem("memory").exists("/mistyped")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["memory://scans"], "URL -o URL"),
        (["memory://scans", "-o", "here"], "URL -o URL"),
        (["scans", "-o", "memory://clean"], "URL -o URL"),
        (["memory://scans", "photo.png", "-o", "memory://clean"], "URL -o URL"),
        (["memory://one", "memory://two", "-o", "memory://clean"], "URL -o URL"),
        (["memory://none", "-o", "memory://clean"], "memory://none: is no folder with pictures"),
        (["memory://scans", "-o", "memory://scans/clean"], "name another"),
        (["memory://none", "-o", "nosuchthing://clean"], "nosuchthing"),
    ],
)
def test_what_is_no_run_in_a_store(scoreinv, words, said):
    ended = scoreinv("denoise", *words)
    assert (ended.code, said in ended.err) == (1 if said == "nosuchthing" else 2, True), ended.err
    assert ended.err.count("\n") == 1


def test_one_photograph_is_no_folder(scoreinv, store):
    ended = scoreinv("denoise", f"{store}/scans/a.png", "-o", f"{store}/clean")
    assert (ended.code, f"{store}/scans/a.png: is no folder with pictures" in ended.err) == (2, True)


@pytest.mark.slow
def test_by_processes_of_their_own(scoreinv, store):
    """Which take the words of the command line; what they say has the names of the store."""
    write(f"{store}/scans/broken.png", b"no picture")
    ended = scoreinv("denoise", f"{store}/scans", "-o", f"{store}/clean", "--noise", "20", "--json", "--workers", "2")
    lines = {line["input"]: line for line in map(json.loads, ended.out.splitlines())}
    assert ended.code == 1
    assert lines.keys() == {f"{store}/scans/{name}" for name in (*NAMES, "broken.png")}
    assert lines[f"{store}/scans/a.png"]["output"] == f"{store}/clean/a_denoised.png"
    assert f"{store}/scans/broken.png: not a picture" in ended.err
    result = np.asarray(Image.open(io.BytesIO(stored(f"{store}/clean")["a_denoised.png"])))
    assert result.shape == (16, 24, 3)
