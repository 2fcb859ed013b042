"""`scoreinv convert` as a user runs it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import scoreinv as library
from scoreinv.models.foreign.official import read_official_config
from scoreinv.models.foreign.published import has_discrete_times
from scoreinv.models.model_file import read_metadata
from scoreinv.preconditioning import PaperVP
from scoreinv.sdes import DDPM, VP
from scoreinv.system.files import PRETRAINED

PARITY = Path(__file__).parents[1] / "data" / "parity"


DIFFUSERS = Path(__file__).parents[1] / "data" / "diffusers"


def test_convert_and_load(scoreinv, tmp_path):
    folder = sorted(path for path in PARITY.iterdir() if path.is_dir())[0]
    words = ["convert", folder / "checkpoint.pth", "--config", folder / "config.json", "-o", "new/deep/m.safetensors"]
    outcome = scoreinv(*words, "--json")
    assert outcome.code == 0
    prior = library.load("new/deep/m.safetensors")
    assert json.loads(outcome.out)["parameters"] == sum(p.numel() for p in prior.network.parameters())
    assert scoreinv(*words).code == 2
    assert scoreinv(*words, "--overwrite", "--raw").code == 0
    raw = library.load("new/deep/m.safetensors")
    pairs = zip(prior.network.parameters(), raw.network.parameters(), strict=True)
    assert any((average != last).any() for average, last in pairs)
    notes = read_metadata(Path("new/deep/m.safetensors"))[1]
    assert (notes["source"], notes["weights"]) == ("checkpoint.pth", "raw")
    other = scoreinv(
        "convert", folder / "checkpoint.pth", "--config", "ve/ffhq_256_ncsnpp_continuous", "-o", "n.safetensors"
    )
    assert other.code == 2
    assert "do not belong together" in other.err


def test_a_checkpoint_that_suits_discrete_and_continuous_times_is_warned_of(scoreinv, monkeypatch):
    folder = sorted(path for path in PARITY.iterdir() if path.is_dir())[0]
    words = ["convert", folder / "checkpoint.pth", "--config", folder / "config.json", "-o", "m.safetensors"]
    assert "warning" not in scoreinv(*words).err
    given = read_official_config(str(folder / "config.json"))
    other = (
        replace(given, sde=VP(), preconditioning=PaperVP())
        if has_discrete_times(given)
        else replace(given, sde=DDPM(), preconditioning=PaperVP())
    )
    monkeypatch.setattr("scoreinv.models.foreign.published.PUBLISHED", {"vp/other": other})
    done = scoreinv(*words, "--overwrite")
    assert done.code == 0
    assert f"--config {folder / 'config.json'} is wrong; the others are vp/other" in done.err


def test_convert_a_folder(scoreinv, capsys):
    assert scoreinv("convert", DIFFUSERS / "ddpm", "-o", "m.safetensors").code == 0
    converted, folder = library.load("m.safetensors"), library.load(DIFFUSERS / "ddpm")
    assert converted.sampler == folder.sampler
    for ours, theirs in zip(converted.network.parameters(), folder.network.parameters(), strict=True):
        assert (ours == theirs).all()
    refused = scoreinv("convert", DIFFUSERS / "ddpm", "--config", "vp/cifar10_ddpm", "-o", "n.safetensors")
    assert (refused.code, "leave out --config" in refused.err) == (2, True)
    assert not Path("n.safetensors").exists()


@pytest.mark.slow
def test_the_parameters_of_a_converted_model_are_those_of_all_its_parts(scoreinv):
    two_networks = PRETRAINED / "scene"
    converted = scoreinv("convert", two_networks, "-o", "scene.safetensors", "--json")
    (shown,) = json.loads(scoreinv("models", "show", "scene.safetensors", "--json").out)["models"]
    assert json.loads(converted.out)["parameters"] == shown["parameters"]
