"""Files and folders that may not be read or written: exit status 2, one line, nothing made."""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from shell import hole_array, photo_array

_NOBODY = 65534


@pytest.fixture
def folder(scoreinv, model, monkeypatch) -> Iterator[Path]:
    """A folder of things that are closed, as seen by somebody whom permissions bind, which root is not."""
    path = Path(tempfile.mkdtemp())
    for name in ("scans", "closed", "readable"):
        (path / name).mkdir()
    for name in ("photo.png", "unreadable.png", "scans/a.png", "scans/b.png", "closed/a.png", "readable/a.png"):
        Image.fromarray(photo_array()).save(path / name)
    Image.fromarray(hole_array()).save(path / "mask.png")
    shutil.copy(model, path / "closed.safetensors")
    shutil.copy(model, path / "model.safetensors")
    for each in [path, *path.rglob("*")]:
        each.chmod(0o777 if each.is_dir() else 0o666)
    for name, mode in {
        "unreadable.png": 0,
        "scans/b.png": 0,
        "closed": 0,
        "readable": 0o555,
        "closed.safetensors": 0,
    }.items():
        (path / name).chmod(mode)
    monkeypatch.chdir(path)
    root = os.geteuid() == 0
    try:
        if root:
            _load_all(scoreinv)
            _become_nobody()
        yield path
    finally:
        if root:
            os.seteuid(0)
        monkeypatch.undo()
        for each in path.rglob("*"):
            each.chmod(0o700)
        (path / "closed").chmod(0o700)
        shutil.rmtree(path)


def _become_nobody() -> None:
    try:
        os.seteuid(_NOBODY)
    except OSError as error:  # in a namespace of one user, for example
        if error.errno != errno.EINVAL:
            raise
        pytest.skip("root here cannot become another user, whom permissions bind")


def _load_all(scoreinv) -> None:
    """Have all modules loaded, which somebody else might not be allowed to read."""
    sampled = ("sample", "-n", "1", "-o", "drawn.png", *MODEL)
    assert [scoreinv(*sampled).code, scoreinv(*sampled).code] == [0, 2]
    assert scoreinv("inpaint", "photo.png", "--mask", "mask.png", "-o", "filled.png", *MODEL).code == 0
    assert scoreinv("colorize", "photo.png", "-o", "coloured.png", *MODEL, "--debug").code == 0
    assert scoreinv("interpolate", "photo.png", "photo.png", "-o", "row.png", *MODEL).code == 0
    assert scoreinv("likelihood", "gone.png", "--csv", "new.csv", *MODEL).code == 2
    assert scoreinv("models", "show", "model.safetensors").code == 0


MODEL = ("--model", "model.safetensors")


CLOSED = [
    (("inpaint", "unreadable.png", "--mask", "mask.png"), "unreadable.png"),
    (("inpaint", "photo.png", "--mask", "unreadable.png"), "unreadable.png"),
    (("inpaint", "closed/a.png", "--mask", "mask.png", "-o", "new.png"), "closed/a.png"),
    (("inpaint", "closed/a.png", "--mask", "mask.png"), "closed"),
    (("inpaint", "closed", "--mask", "mask.png"), "closed"),
    (("inpaint", "scans", "--mask", "mask.png", "-o", "closed"), "closed"),
    (("inpaint", "scans", "--mask", "mask.png", "-o", "readable/new/deep"), "readable"),
    (("inpaint", "readable/a.png", "--mask", "mask.png"), "readable"),
    (("inpaint", "photo.png", "--mask", "mask.png", "--model", "closed.safetensors"), "closed.safetensors"),
    (("inpaint", "photo.png", "--mask", "mask.png", "--model", "closed/"), "closed"),
    (("colorize", "photo.png", "--hints", "unreadable.png"), "unreadable.png"),
    (("sample", "-n", "1", "-o", "readable/new/"), "readable"),
    (("likelihood", "photo.png", "--csv", "readable/new.csv"), "readable"),
    (("models", "show", "closed.safetensors"), "closed.safetensors"),
]


def test_what_is_closed(scoreinv, folder):
    for words, said in CLOSED:
        before = sorted(folder.rglob("*"))
        more = () if "--model" in words or words[0] == "models" else MODEL
        outcome = scoreinv(*words, *more)
        assert outcome.code == 2, outcome.err
        assert outcome.err.startswith("scoreinv: error: ")
        assert outcome.err.count("\n") == 1
        assert said in outcome.err
        assert "--debug" not in outcome.err
        assert sorted(folder.rglob("*")) == before


def test_a_batch_goes_on_past_what_is_closed(scoreinv, folder):
    outcome = scoreinv("inpaint", "scans", "--mask", "mask.png", *MODEL)
    assert outcome.code == 1
    assert "scans/b.png: cannot be read (Permission denied)" in outcome.err
    assert "1 done, 0 skipped because they exist, 1 failed" in outcome.err
