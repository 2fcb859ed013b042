"""The folder of a run: what others wrote stays, one run writes at a time, and one that cannot begin leaves nothing."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from scoreinv.models.model_file import read_metadata
from scoreinv.system.errors import InputError
from scoreinv.system.files import atomic_write
from scoreinv.training.config import TrainingConfig
from scoreinv.training.loop import train

Files = dict[str, bytes]


def _files(folder: Path) -> Files:
    """All that is in a folder, except decoded pictures."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "cache"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("name", "resume"),
    [("config.json", True), ("snapshots/step-000000002.safetensors", False)],
)
def test_a_run_replaces_nothing_that_it_has_not_written(config, out, name, resume) -> None:
    path = out / name
    path.parent.mkdir(parents=True)
    path.write_text('{"of": "another program"}')
    before = _files(out)
    with pytest.raises(InputError, match=r"is there already, and this run has not written it: overwrite it"):
        train(config, out, resume=resume)
    assert _files(out) == before
    result = train(config, out, resume=resume, overwrite=True)
    assert result.steps == 2
    assert read_metadata(result.model)[1]["step"] == 2


def test_a_run_whose_states_are_gone_does_not_replace_its_model(config, out, caplog) -> None:
    train(replace(config, steps=6), out)
    shutil.rmtree(out / "state")
    before = _files(out)
    for resume in (True, False):
        with pytest.raises(InputError, match=r"(model\.safetensors|config\.json): is there already"):
            train(config, out, resume=resume)
    assert _files(out) == before
    (out / "state").mkdir()
    (out / "state/000000006.safetensors").write_bytes(b"damaged")
    (out / "model.safetensors").rename(out / "snapshot")
    with pytest.raises(InputError, match=r"000000006\.safetensors: is there already"):
        train(config, out, resume=True)
    caplog.clear()
    assert train(config, out, resume=True, overwrite=True).steps == 2
    assert "it starts at step 0" in caplog.text
    shutil.rmtree(out / "state")  # as where it was killed before its first state
    (out / "model.safetensors").unlink()
    assert train(config, out, resume=True).steps == 2


@pytest.mark.slow
def test_files_that_are_not_of_a_run_stay_whatever_happens(config: TrainingConfig, out: Path) -> None:
    others = [
        "photo.png",
        ".download.part",
        "deep/down/.photo.jpg.k2j3h4k5.part",
        "state/notes.txt",
        "state/1.safetensors",
        "samples/.mine.abcdefgh.part",
        "snapshots/best.safetensors",
        "cache/.other.abcdefgh.part",
    ]
    for name in others:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(name.encode())
    config = replace(config, sample_every=1, snapshot_every=1, save_minutes=0.0)
    part = out / ".model.safetensors.abcdefgh.part"  # nothing of a run that only begins
    part.write_bytes(b"another's")
    train(config, out)
    assert part.read_bytes() == b"another's"
    train(replace(config, steps=3), out, resume=True)
    assert {name: (out / name).read_bytes() for name in others} == {name: name.encode() for name in others}


def _without_pictures(config: TrainingConfig) -> TrainingConfig:
    for path in Path(config.data.source).iterdir():
        path.write_bytes(b"damaged")
    return config


def _with_an_absent_name_held_out(config: TrainingConfig) -> TrainingConfig:
    """Found out after the pictures were decoded, and written to the cache."""
    return replace(config, data=replace(config.data, holdout=("absent.png",), memory_gb=1e-9))


@pytest.mark.parametrize("spoil", [_without_pictures, _with_an_absent_name_held_out])
def test_a_run_that_cannot_begin_leaves_nothing(config, tmp_path, spoil) -> None:
    spoiled = spoil(config)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.png").write_bytes(b"precious")
    before = _files(tmp_path)
    for out in (tmp_path / "a/b/out", tmp_path / "mine"):
        with pytest.raises(InputError):
            train(spoiled, out)
        assert _files(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "mine"]
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["photo.png"]


_HOLDER = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs flock")
def test_two_runs_do_not_write_into_one_folder_and_a_killed_one_leaves_no_lock(config, out) -> None:
    out.mkdir()
    command = [sys.executable, "-c", _HOLDER, str(out / ".scoreinv.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            for resume in (False, True):
                with pytest.raises(InputError, match="another run is writing into this folder"):
                    train(config, out, resume=resume)
        finally:
            holder.kill()
    assert holder.returncode == -signal.SIGKILL
    assert train(config, out).steps == 2
    assert not list(out.glob(".*"))
    with atomic_write(out / "state/a.safetensors") as temporary:
        left = temporary.with_name(temporary.name.replace(f"-{os.getpid()}-", f"-{holder.pid}-"))
        left.touch()
        temporary.touch()
    assert train(replace(config, steps=3), out, resume=True).steps == 3
    assert not left.exists()


def test_changed_pictures_are_noticed_by_a_resumed_run(done: TrainingConfig, out: Path, tmp_path: Path) -> None:
    longer = replace(done, steps=3)
    data = Path(done.data.source)
    Image.new("L", (8, 8)).save(data / "more.png")
    before = _files(out)
    with pytest.raises(InputError, match="the pictures are not those that the run"):
        train(longer, out, resume=True)
    assert _files(out) == before
    (data / "more.png").unlink()
    moved = data.rename(tmp_path / "moved")  # the same pictures in another place
    longer = replace(longer, data=replace(longer.data, source=str(moved)))
    assert train(longer, out, resume=True).steps == 3
    picture = moved / "0003.png"
    Image.new("L", (8, 8)).save(picture)
    with pytest.raises(InputError, match="the pictures are not those that the run"):
        train(replace(longer, steps=4), out, resume=True)
