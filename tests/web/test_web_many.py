"""Many photographs: the batch behind the page."""

import errno
import io
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from support.client import OPAQUE, client, ended, pixels, png, quick_models, read

from scoreinv import tasks
from scoreinv.files.read import SUFFIXES
from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import Cancelled
from scoreinv.system.progress import report, reported_to
from scoreinv.tasks.notes import info, page_text
from scoreinv.tasks.outcome import Outcome
from scoreinv.tasks.requests import DenoiseRequest, Inputs, Request
from scoreinv.tasks.table import BY_NAME
from scoreinv.web import many
from scoreinv.web.photo import GoneError


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with client() as opened:
        yield opened


def begun(browser: TestClient, files: dict[str, bytes]) -> str:
    """Send photographs; return the path of their batch."""
    path = f"/api/batches/{browser.post('/api/batches', headers=OPAQUE).json()['session']}"
    for name, content in files.items():
        answer = browser.post(f"{path}/files", params={"name": name}, content=content, headers=OPAQUE)
        assert answer.status_code == 201, answer.text
    return path


def test_all_are_restored_and_one_that_fails_does_not_stop_the_others(browser: TestClient) -> None:
    gray, colour = pixels(channels=1), pixels()
    path = begun(browser, {"a.png": png(gray), "broken.png": b"no picture", "b.png": png(colour)})
    assert [row["state"] for row in browser.get(path).json()] == ["waiting", "failed", "waiting"]  # before any task
    job = browser.post(f"{path}/restore", params={"inpaint": False, "denoise": False}, headers=OPAQUE).json()["job"]
    end = ended(browser, job)
    assert end["state"] == "done", end
    rows = {row["name"]: row for row in browser.get(path).json()}
    assert {name: row["state"] for name, row in rows.items()} == {
        "a.png": "done",
        "broken.png": "failed",
        "b.png": "done",
    }
    assert page_text(info("colors_drawn").row()) in rows["a.png"]["note"]
    archive = zipfile.ZipFile(io.BytesIO(browser.get(f"{path}/zip").content))
    assert archive.namelist() == ["a_restored.png", "b_restored.png", "manifest.csv"]
    key = path.rpartition("/")[2]
    assert key not in archive.read("manifest.csv").decode()  # whoever has it has the photographs
    assert rows["broken.png"]["note"].startswith("broken.png: ")
    assert (read(archive.read("b_restored.png")) == colour).all()
    assert read(archive.read("a_restored.png")).shape == (*gray.shape, 3)
    shown = browser.get(f"{path}/view", params={"name": "a.png", "result": True})
    assert read(shown.content).shape == (*gray.shape, 3)
    job = browser.post(f"{path}/upscale", headers=OPAQUE).json()["job"]
    assert ended(browser, job)["state"] == "done"
    archive = zipfile.ZipFile(io.BytesIO(browser.get(f"{path}/zip").content))
    assert archive.namelist() == ["a_upscaled.png", "b_upscaled.png", "manifest.csv"]  # of the last run


def test_each_task_names_its_results_and_waits_are_told(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    path, given = begun(browser, {"a.png": png(pixels())}), []
    assert browser.get(path).json() == [{"name": "a.png", "state": "waiting", "note": None}]
    assert browser.get(f"{path}/view", params={"name": "a.png", "result": True}).status_code == 404

    def unchanged(inputs: Inputs, request: Request, *_: object) -> Outcome[Picture]:
        given.append(request.noise_std)
        return Outcome(inputs.picture, [inputs.picture], None, 0, "exact")

    for task, name in {"colorize": "colorized", "denoise": "denoised", "deblur": "deblurred"}.items():
        monkeypatch.setattr(tasks, f"{task}_picture", unchanged)
        job = browser.post(f"{path}/{task}", params={"noise": 51}, headers=OPAQUE).json()["job"]
        assert ended(browser, job)["note"] == "1 photographs are finished."
        archive = zipfile.ZipFile(io.BytesIO(browser.get(f"{path}/zip").content))
        assert archive.namelist() == [f"a_{name}.png", "manifest.csv"]
    assert given == [None, 0.2, 0.2]
    assert browser.get(path).json()[0]["state"] == "done"


def test_one_mask_is_removed_from_all_and_damage_is_found_without_one(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, given = begun(browser, {"a.png": png(pixels()), "large.png": png(pixels(height=40))}), []

    def filled(inputs: Inputs, *_: object) -> Outcome[Picture]:
        given.append(inputs.hole)
        image = inputs.picture.with_pixels(np.zeros_like(inputs.picture.pixels))
        return Outcome(image, [image], None, 0, "exact")

    monkeypatch.setattr(tasks, "inpaint_picture", filled)
    assert browser.post(f"{path}/fill", params={"masked": True}, headers=OPAQUE).status_code == 422  # none was sent
    assert browser.post(f"{path}/mask", content=b"no picture", headers=OPAQUE).status_code == 422
    mask = np.zeros(pixels().shape[:2], np.uint8)
    mask[4:9, 5:12] = 255
    assert browser.post(f"{path}/mask", content=png(mask), headers=OPAQUE).status_code == 201
    job = browser.post(f"{path}/fill", params={"masked": True, "exact": True}, headers=OPAQUE).json()["job"]
    assert ended(browser, job)["note"] == "1 photographs are finished, 1 failed."
    assert [row["state"] for row in browser.get(path).json()] == ["done", "failed"]  # the mask has another size
    (hole,) = given
    assert (hole == (mask > 0)).all()
    archive = zipfile.ZipFile(io.BytesIO(browser.get(f"{path}/zip").content))
    assert archive.namelist() == ["a_inpainted.png", "manifest.csv"]
    job = browser.post(f"{path}/fill", params={"sensitivity": 0.7}, headers=OPAQUE).json()["job"]
    assert ended(browser, job)["state"] == "done"
    assert given[1:] == [None, None]


def test_names_stay_within_their_folder_and_apart(browser: TestClient, tmp_path: Path) -> None:
    path = begun(browser, {})
    given = ("../../a.png", "..\\a.png", "/etc/a.png", ".hidden.png", "-o.png", "")
    names = [
        browser.post(f"{path}/files", params={"name": name}, content=png(pixels()), headers=OPAQUE).json()["name"]
        for name in given
    ]
    assert names == ["a.png", "a 2.png", "a 3.png", "hidden.png", "o.png", "photo"]
    written = {file.name for file in tmp_path.rglob("*") if file.is_file()}
    assert written == set(names)
    for name in ("../a.png", "b.png"):
        assert browser.get(f"{path}/view", params={"name": name}).status_code == 404


def test_their_number_and_size_are_bounded(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch, limit: Callable[..., None]
) -> None:
    path = begun(browser, {"a.png": png(pixels())})
    limit(batch_files=1)
    assert browser.post(f"{path}/files", content=png(pixels()), headers=OPAQUE).status_code == 422
    limit(batch_files=9)
    monkeypatch.setattr("scoreinv.web.sessions.Sessions._bytes", lambda _: np.inf)
    assert browser.post(f"{path}/files", content=png(pixels()), headers=OPAQUE).status_code == 422


def test_files_that_no_batch_takes_fail(browser: TestClient) -> None:
    """Without a row they would wait for ever."""
    names = ("a.png", "a_denoised.png", "photo")
    path = begun(browser, {name: png(pixels()) for name in names})
    job = browser.post(f"{path}/denoise", headers=OPAQUE).json()["job"]
    assert ended(browser, job)["state"] == "done"
    assert [row["state"] for row in browser.get(path).json()] == ["done", "failed", "failed"]


def test_no_error_of_a_batch_without_pictures_shows_the_folder(browser: TestClient) -> None:
    """Its name is the session's key."""
    path = begun(browser, {"photo": png(pixels())})
    end = ended(browser, browser.post(f"{path}/denoise", headers=OPAQUE).json()["job"])
    assert (end["state"], path.rpartition("/")[2] in end["error"]) == ("failed", False)


def test_a_file_that_cannot_be_written_is_no_photograph(
    browser: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(browser, {"写" * 100 + ".png": png(pixels())})  # a name of 304 bytes
    (before,) = browser.get(path).json()
    assert before["name"].endswith(".png")

    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        answer = browser.post(f"{path}/files", params={"name": "b.png"}, content=png(pixels()), headers=OPAQUE)
    assert answer.status_code == 422
    assert browser.get(path).json() == [before]
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [before["name"]]


def test_the_page_sends_files_of_all_suffixes() -> None:
    script = (files("scoreinv.web") / "static" / "many.js").read_text()
    found = re.search(r"PICTURES = /(.*)/i;", script)
    assert found is not None
    assert [suffix for suffix in SUFFIXES if not re.search(found[1], f"a{suffix}")] == []


def test_an_archive_has_finished_results(tmp_path: Path) -> None:
    batch = many.Batch(tmp_path)
    with pytest.raises(GoneError):
        batch.zipped()
    batch.results.mkdir()
    for name in ("a.png", ".b.png.scoreinv-host-1-0123abcd.part"):
        (batch.results / name).write_bytes(b"")
    assert zipfile.ZipFile(batch.zipped()).namelist() == ["a.png"]


@pytest.mark.parametrize("end", ["stopped", "forgotten"])
def test_a_batch_that_ends_early_keeps_what_is_finished_or_nothing(tmp_path: Path, end: str) -> None:
    batch, over = many.Batch(tmp_path / "session"), False
    batch.folder.mkdir()
    for name in ("a.png", "b.png"):
        batch.add(name, png(pixels()))

    def ended_meanwhile(inputs: Inputs, request: Request, models: object) -> Outcome[Picture]:
        nonlocal over
        report()
        if end == "forgotten":
            shutil.rmtree(batch.folder)
        over = True
        return Outcome(inputs.picture, [inputs.picture], None, 0, "exact")

    task = replace(BY_NAME["denoise"], run=ended_meanwhile)
    with pytest.raises(Cancelled), reported_to(lambda _: not over or end != "stopped"):
        batch.run(task, DenoiseRequest(), quick_models())
    assert batch.folder.exists() == (end == "stopped")
    if end == "stopped":
        assert [row["state"] for row in batch.describe()] == ["done", "waiting"]
        assert zipfile.ZipFile(batch.zipped()).namelist() == ["a_denoised.png", "manifest.csv"]


def test_a_result_that_cannot_be_written_is_told_without_the_folder(tmp_path: Path) -> None:
    batch = many.Batch(tmp_path)
    batch.add("a.png", png(pixels()))

    def hindered(inputs: Inputs, *_: object) -> Outcome[Picture]:
        (batch.results / "a_denoised.png").mkdir(parents=True)
        return Outcome(inputs.picture, [inputs.picture], None, 0, "exact")

    batch.run(replace(BY_NAME["denoise"], run=hindered), DenoiseRequest(), quick_models())
    (row,) = batch.describe()
    assert row["state"] == "failed"
    assert "a_denoised.png" in row["note"]
    assert str(tmp_path) not in row["note"]
    assert str(tmp_path) not in (batch.results / "manifest.csv").read_text()


def test_they_are_forgotten_on_request(browser: TestClient, tmp_path: Path) -> None:
    path = begun(browser, {"a.png": png(pixels())})
    answer = browser.delete(path.replace("batches", "sessions"), headers={"origin": OPAQUE["origin"]})
    assert answer.status_code == 204
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
    assert browser.get(path).status_code == 404
    assert browser.post(f"{path}/files", content=png(pixels()), headers=OPAQUE).status_code == 404
