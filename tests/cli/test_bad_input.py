"""Files that are not what they should be: a clear line, the right exit status, nothing written."""

from __future__ import annotations

import json
import os
import pickle
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, safe_open, save_file
from shell import cpu_seconds, photo_array, start_process, wait_for


@pytest.fixture
def refuses(scoreinv, photo, mask, tmp_path):
    """Runs an inpainting that must be refused; returns what was said."""

    def run(
        *, photo: str | Path = photo, mask: str | Path = mask, said: str, code: int = 2, options: tuple = ()
    ) -> str:
        before = sorted(tmp_path.rglob("*"))
        outcome = scoreinv("inpaint", photo, "--mask", mask, *options)
        assert outcome.code == code, outcome.err
        assert outcome.err.startswith("scoreinv: error: ")
        assert outcome.err.count("\n") == 1
        assert said in outcome.err
        assert outcome.out == ""
        assert sorted(tmp_path.rglob("*")) == before
        return outcome.err

    return run


def test_missing_files(refuses, tmp_path):
    refuses(photo="missing.png", said="missing.png: no such file")
    refuses(mask="missing.png", said="missing.png: no such file")
    refuses(options=("--model", "missing.safetensors"), said="missing.safetensors: no such model file")
    refuses(options=("--model", "missing"), said="no bundled model is named 'missing'")
    refuses(options=("-o", "nowhere/out.png"), said="nowhere")


def test_damaged_pictures(refuses, photo, mask, tmp_path):
    whole = photo.read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("a letter")
    for name in ("cut.png", "empty.png", "text.png"):
        refuses(photo=name, said=name)
        refuses(mask=name, said=name)


def test_masks_that_do_not_fit(refuses, tmp_path):
    for name, values in {
        "small.png": np.full((24, 39), 255),
        "empty.png": np.zeros((24, 40)),
        "full.png": np.full((24, 40), 255),
    }.items():
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / name)
    said = refuses(mask="small.png", said="39x24")
    assert "40x24" in said
    refuses(mask="empty.png", said="the largest value is 0 of 255")
    refuses(mask="full.png", said="no known pixel")


def test_one_pixel(refuses, tmp_path):
    Image.fromarray(photo_array(1, 1)).save(tmp_path / "dot.png")
    Image.fromarray(np.full((1, 1), 255, np.uint8)).save(tmp_path / "hole.png")
    refuses(photo="dot.png", mask="hole.png", said="no known pixel")


def test_existing_outputs(scoreinv, refuses, photo, mask, tmp_path):
    existing = tmp_path / "photo_inpainted.png"
    existing.write_bytes(b"precious")
    refuses(said="photo_inpainted.png: exists already")
    refuses(options=("-o", photo), said="photo.png: exists already")
    assert existing.read_bytes() == b"precious"
    assert scoreinv("inpaint", photo, "--mask", mask, "--overwrite").code == 0
    assert existing.read_bytes() != b"precious"


def test_outputs_that_cannot_be(refuses, photo, tmp_path, monkeypatch):
    refuses(options=("-o", "out.xyz"), said="out.xyz")
    refuses(options=("-o", "out"), said="out")
    refuses(options=("-o", photo / "out.png"), said="photo.png")
    rgba = tmp_path / "clear.png"
    Image.fromarray(photo_array(channels=4)).save(rgba)
    refuses(photo=rgba, options=("-o", "out.jpg"), said="transparency", code=2)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
def test_a_folder_that_cannot_be_written_to(refuses):
    refuses(options=("-o", "/proc/out.png"), said="/proc")


def test_weights_that_are_not_finite(refuses, model, tmp_path):
    with safe_open(model, framework="pt") as file:
        metadata = file.metadata()
    weights = load_file(model)
    name = next(iter(weights))
    weights[name] = torch.full_like(weights[name], float("nan"))
    save_file(weights, tmp_path / "nan.safetensors", metadata)
    refuses(options=("--model", "nan.safetensors"), said="nan.safetensors: weights are not finite")


def test_values_that_become_not_finite(refuses, model, tmp_path):
    with safe_open(model, framework="pt") as file:
        metadata = file.metadata()
    weights = {name: value * 1e30 for name, value in load_file(model).items()}
    save_file(weights, tmp_path / "wild.safetensors", metadata)
    refuses(options=("--model", "wild.safetensors"), said="values that are not finite", code=1)


def test_wrong_checkpoints(refuses, model, tmp_path):
    (tmp_path / "cut.safetensors").write_bytes(model.read_bytes()[:3000])
    refuses(options=("--model", "cut.safetensors"), said="cut.safetensors: not a readable safetensors file")
    save_file({"w": torch.zeros(3)}, tmp_path / "other.safetensors")
    refuses(options=("--model", "other.safetensors"), said="not a scoreinv model")
    with safe_open(model, framework="pt") as file:
        metadata = file.metadata()
    weights = load_file(model)
    weights.popitem()
    save_file(weights, tmp_path / "less.safetensors", metadata)
    refuses(options=("--model", "less.safetensors"), said="do not belong together")
    torch.save({"model": {}}, tmp_path / "official.pth")
    refuses(options=("--model", "official.pth"), said="scoreinv convert")


class _Attack:
    def __reduce__(self):
        return os.mkdir, ("attacked",)


def test_a_pickle_with_code_in_it(scoreinv, refuses, tmp_path):
    with (tmp_path / "attack.pth").open("wb") as file:
        pickle.dump({"model": _Attack()}, file)
    torch.save({"model": _Attack()}, tmp_path / "attack_zip.pth")
    for name in ("attack.pth", "attack_zip.pth"):
        refuses(options=("--model", name), said=name)
        outcome = scoreinv("convert", name, "--config", "ve/cifar10_ncsnpp_continuous", "-o", "out.safetensors")
        assert outcome.code == 2
        assert "nothing was executed" in outcome.err
    assert not (tmp_path / "attacked").exists()
    assert not (tmp_path / "out.safetensors").exists()


def test_a_failing_input_in_json(scoreinv, mask):
    Path("text.png").write_text("a letter")
    for name in ("text.png", "missing.png"):
        outcome = scoreinv("inpaint", name, "--mask", mask, "--json")
        assert outcome.code == 2
        record = json.loads(outcome.out)
        assert list(record) == ["input", "error"]
        assert record["input"] == name
        assert outcome.err == f"scoreinv: error: {record['error']}\n"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs the CPU time of a process")
def test_ctrl_c(model, photo, mask, tmp_path):
    arguments = ["inpaint", photo, "--mask", mask, "--model", model, "--steps", "50000", "--debug"]
    process = start_process(*arguments, cwd=tmp_path)
    wait_for(lambda: cpu_seconds(process.pid) > 5)  # torch is loaded and sampling has begun
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert out == b""
    assert err.endswith(b"scoreinv: interrupted\n")
    assert not (tmp_path / "photo_inpainted.png").exists()
