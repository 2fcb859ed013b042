"""Photographs of an object store: those of fsspec that are in memory and in files stand for the others."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image
from shell import photo_array

from scoreinv.cli import stores
from scoreinv.cli.main import main

NAMES = ("a.png", "b.jpg", "deep/c.png")


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
def run(scoreinv, store, monkeypatch):
    """Runs `denoise` of the store's `scans` into `clean`; its processes are this one."""

    def here(command: list[str], shown: Callable[[str], str]) -> int:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["scoreinv", *command[3:]])
            return main()

    monkeypatch.setattr(stores, "_relayed", here)
    return lambda *more: scoreinv("denoise", f"{store}/scans", "-o", f"{store}/clean", "--noise", "20", *more)


def rows(store: str) -> list[dict[str, str]]:
    tables = (text for name, text in stored(f"{store}/clean").items() if name.startswith("manifests/"))
    return [row for text in tables for row in csv.DictReader(io.StringIO(text.decode()))]


def test_a_folder_is_done_a_few_at_a_time_and_then_it_is_done(run, store, monkeypatch):
    monkeypatch.setattr(stores, "AT_ONCE", 2)
    ended = run()
    assert (ended.code, "3 photographs to do, 0 done already" in ended.err) == (0, True), ended.err
    made = stored(f"{store}/clean")
    results = {"a_denoised.png", "b_denoised.png", "deep/c_denoised.png"}
    assert made.keys() == results | {"manifests/a.png.csv", "manifests/deep%2Fc.png.csv"}
    assert Image.open(io.BytesIO(made["deep/c_denoised.png"])).size == (24, 16)
    assert {row["input"] for row in rows(store)} == {f"{store}/scans/{name}" for name in NAMES}
    assert {row["output"] for row in rows(store)} == {f"{store}/clean/{name}" for name in results}
    again = run()
    assert (again.code, "0 photographs to do, 3 done already" in again.err) == (0, True)
    assert stored(f"{store}/clean") == made
    assert "3 photographs to do" in run("--overwrite").err


def test_what_failed_is_told_and_done_by_the_next_run(run, store):
    whole = stored(f"{store}/scans")["a.png"]
    write(f"{store}/scans/a.png", whole[:60])
    assert run("--json").code == 1
    failed, *others = sorted(rows(store), key=lambda row: row["input"])
    assert (failed["input"], failed["output"]) == (f"{store}/scans/a.png", "")
    assert all(row["output"] for row in others)
    write(f"{store}/scans/a.png", whole)
    assert "1 photographs to do, 2 done already" in run().err
    assert "a_denoised.png" in stored(f"{store}/clean")


def test_parts_do_each_once(run, store):
    for part in ("1/2", "2/2"):
        assert run("--shard", part).code == 0
    assert sorted(row["input"] for row in rows(store)) == sorted(f"{store}/scans/{name}" for name in NAMES)


def test_nothing_is_put_where_a_write_fails(run, store, monkeypatch):
    """Not even a part of the results: the next run does them."""
    put = stores.Folder._opened

    def full(folder: stores.Folder, name: str):
        if name == "b_denoised.png":
            raise OSError("the store is full")
        return put(folder, name)

    with monkeypatch.context() as patch:
        patch.setattr(stores.Folder, "_opened", full)
        ended = run()
    assert (ended.code, "the store is full" in ended.err) == (1, True)
    assert stored(f"{store}/clean") == {}
    assert "3 photographs to do" in run().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["memory://scans"], "scoreinv denoise URL -o URL"),
        (["memory://scans", "-o", "here"], "scoreinv denoise URL -o URL"),
        (["scans", "-o", "memory://clean"], "scoreinv denoise URL -o URL"),
        (["memory://one", "memory://two", "-o", "memory://clean"], "scoreinv denoise URL -o URL"),
        (["memory://none", "-o", "memory://clean"], "memory://none: no pictures in this folder"),
        (["memory://scans", "-o", "memory://scans/clean"], "name another"),
        (["memory://none", "-o", "nosuchthing://clean"], "nosuchthing"),
    ],
)
def test_what_is_no_run_in_a_store(scoreinv, words, said):
    ended = scoreinv("denoise", *words)
    assert (ended.code, said in ended.err) == (1 if said == "nosuchthing" else 2, True), ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.slow
def test_by_processes_of_their_own(scoreinv, store):
    """What these say has the names of the store."""
    words = ["denoise", f"{store}/scans", "-o", f"{store}/clean", "--noise", "20", "--json"]
    write(f"{store}/scans/broken.png", b"no picture")
    ended = scoreinv(*words)
    lines = {line["input"]: line for line in map(json.loads, ended.out.splitlines())}
    assert ended.code == 1
    assert lines.keys() == {f"{store}/scans/{name}" for name in (*NAMES, "broken.png")}
    assert lines[f"{store}/scans/a.png"]["output"] == f"{store}/clean/a_denoised.png"
    assert f"{store}/scans/broken.png: not a picture" in ended.err
    result = np.asarray(Image.open(io.BytesIO(stored(f"{store}/clean")["a_denoised.png"])))
    assert result.shape == (16, 24, 3)
    assert scoreinv(*words[:-3], "--no-such-option").code == 2
