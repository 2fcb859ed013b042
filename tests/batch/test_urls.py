"""Photographs of an object store: the file systems of fsspec in memory and of local files stand for others."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.shell import hole_array, photo_array

fsspec = pytest.importorskip("fsspec")
DEEP = "深" * 40
"""A folder whose name is long if each of its bytes is quoted."""
NAMES = ("a.png", "b.jpg", f"{DEEP}/c.png")
RESULTS = {"a_denoised.png", "b_denoised.png", f"{DEEP}/c_denoised.png"}


@pytest.fixture(params=["memory", pytest.param("file", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a folder that has `scans`."""
    url = "memory://bucket" if request.param == "memory" else f"file://{tmp_path}/bucket"
    for name in NAMES:
        save(f"{url}/scans/{name}", photo_array(16, 24), "PNG" if name.endswith("png") else "JPEG")
    write(f"{url}/scans/notes.txt", b"no picture")
    yield url
    files, path = fsspec.url_to_fs(url)
    files.rm(path, recursive=True)


def write(url: str, content: bytes) -> None:
    with fsspec.open(url, "wb", auto_mkdir=True) as file:
        file.write(content)


def save(url: str, pixels: np.ndarray, kind: str = "PNG") -> None:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    write(url, stream.getvalue())


def stored(url: str) -> dict[str, bytes]:
    """Return the files of a folder, by their names in it."""
    files, path = fsspec.url_to_fs(url)
    return {name.removeprefix(f"{path}/"): files.cat(name) for name in files.find(path)}


@pytest.fixture
def run(scoreinv, store):
    """Runs `denoise` on the store's `scans`, to `clean`."""
    return lambda *more: scoreinv("denoise", f"{store}/scans", "-o", f"{store}/clean", "--noise", "20", *more)


def rows(store: str) -> list[dict[str, str]]:
    tables = (text for name, text in stored(f"{store}/clean").items() if name.startswith("manifests/"))
    return [row for text in tables for row in csv.DictReader(io.StringIO(text.decode()))]


def results(store: str) -> dict[str, bytes]:
    return {name: made for name, made in stored(f"{store}/clean").items() if not name.startswith("manifests/")}


def test_a_folder_is_processed_once(run, store):
    ended = run("--json")
    assert ended.code == 0, ended.err
    lines = {line["input"]: line["output"] for line in map(json.loads, ended.out.splitlines())}
    named = zip(NAMES, sorted(RESULTS), strict=True)
    assert lines == {f"{store}/scans/{name}": f"{store}/clean/{made}" for name, made in named}
    made = stored(f"{store}/clean")
    assert results(store).keys() == RESULTS
    assert len(made) == len(RESULTS) + 1
    assert Image.open(io.BytesIO(made[f"{DEEP}/c_denoised.png"])).size == (24, 16)
    assert {row["output"] for row in rows(store)} == {f"{store}/clean/{name}" for name in RESULTS}
    assert {len(row["model_sha256"]) for row in rows(store)} == {64}
    again = run()
    assert (again.code, "0 done, 3 skipped because they exist" in again.err) == (0, True)
    assert stored(f"{store}/clean") == made


def test_failed_photos_are_rows_of_the_manifest_and_are_processed_by_the_next_run(run, store):
    whole = stored(f"{store}/scans")["a.png"]
    write(f"{store}/scans/a.png", whole[:60])
    assert run().code == 1
    failed, *others = sorted(rows(store), key=lambda row: row["input"])
    assert (failed["input"], failed["output"]) == (f"{store}/scans/a.png", "")
    assert failed["error"].startswith(f"{store}/scans/a.png: ")
    assert all(row["output"] for row in others)
    write(f"{store}/scans/a.png", whole)
    assert "1 done, 2 skipped" in run().err
    assert results(store).keys() == RESULTS
    assert len(rows(store)) == 4


def test_masks_are_matched_by_name(scoreinv, store):
    mask = hole_array(16, 24).astype(np.uint8) * 255
    for name in ("a.png", f"{DEEP}/c_damage.png"):
        save(f"{store}/masks/{name}", mask)
    words = ("inpaint", f"{store}/scans", "--mask", f"{store}/masks", "-o", f"{store}/filled", "--json")
    ended = scoreinv(*words, "--method", "biharmonic")
    assert ended.code == 0, ended.err
    assert stored(f"{store}/filled").keys() >= {"a_inpainted.png", f"{DEEP}/c_inpainted.png"}
    filled = np.asarray(Image.open(io.BytesIO(stored(f"{store}/filled")["a_inpainted.png"])))
    assert (filled[mask == 0] == photo_array(16, 24)[mask == 0]).all()
    (left,) = (line for line in map(json.loads, ended.out.splitlines()) if "skipped" in line)
    assert left["input"] == f"{store}/scans/b.jpg"


@pytest.fixture
def interrupted(run, store, monkeypatch):
    """Runs `run`, interrupted when b.jpg is read."""
    kind = type(fsspec.url_to_fs(store)[0])
    read = kind.cat_file

    def cat_file(self, path, *more, **options):
        if path.endswith("b.jpg"):
            raise KeyboardInterrupt
        return read(self, path, *more, **options)

    def ended():
        with monkeypatch.context() as patch:
            patch.setattr(kind, "cat_file", cat_file)
            return run()

    return ended


def test_a_failed_photo_is_not_left_when_a_run_is_interrupted(store, interrupted):
    write(f"{store}/scans/a.png", b"\x89PNG\r\n\x1a\n")
    ended = interrupted()
    assert (ended.code, "0 done and kept, 2 left" in ended.err) == (130, True), ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["memory://scans"], "URL -o URL"),
        (["memory://scans", "-o", "here"], "URL -o URL"),
        (["scans", "-o", "memory://clean"], "URL -o URL"),
        (["memory://scans", "photo.png", "-o", "memory://clean"], "URL -o URL"),
        (["memory://none", "-o", "memory://clean"], "memory://none: no pictures in this folder"),
        (["memory://scans", "-o", "memory://scans/clean"], "name another"),
        (["memory://none", "-o", "nosuchthing://clean"], "nosuchthing"),
    ],
)
def test_other_runs_are_refused(scoreinv, words, said):
    ended = scoreinv("denoise", *words)
    assert (ended.code, said in ended.err) == (1 if said == "nosuchthing" else 2, True), ended.err
    assert ended.err.count("\n") == 1


def test_other_files_of_a_run_stay_on_this_machine(scoreinv, store, tmp_path):
    """`--changes URL` made a local folder with the URL's name."""
    words = ("denoise", f"{store}/scans", "-o", f"{store}/clean", "--samples", 2)
    for option in ("--changes", "--uncertainty"):
        ended = scoreinv(*words, option, f"{store}/more")
        assert (ended.code, option in ended.err, ended.err.count("\n")) == (2, True, 1)
    assert list(tmp_path.rglob("*more*")) == []


def test_a_folder_whose_name_begins_like_that_of_the_photos_is_another(scoreinv, store):
    ended = scoreinv("denoise", f"{store}/scans", "-o", f"{store}/scans-clean", "--dry-run")
    assert ended.code == 0, ended.err
