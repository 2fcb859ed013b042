"""Class-conditional pictures as a user makes them: train a classifier on folders, sample a class."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from shell import small_config

from scoreinv.cli.main import main
from scoreinv.models.model_file import save
from scoreinv.sdes import VP


def write_classes(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    for name, level in (("day", 180), ("night", 40)):
        (folder / "data" / name).mkdir(parents=True)
        for index in range(6):
            pixels = (level + generator.normal(0, 20, (32, 32, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "data" / name / f"{index}.png")
    return folder / "data"


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A classifier of them after two steps of training."""
    folder = tmp_path_factory.mktemp("guide")
    words = ["train", "--classifier", "--sde", "vp", "--data", str(write_classes(folder)), "--steps", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["scoreinv", *words, "--batch-size", "2", "--out", f"{folder}/run", "--quiet"])
        assert main() == 0
    return str(folder / "run" / "model.safetensors")


@pytest.fixture
def prior(tmp_path: Path) -> str:
    config = replace(small_config(), sde=VP())
    save(config.build(), tmp_path / "prior.safetensors")
    return "prior.safetensors"


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    return write_classes(tmp_path)


@pytest.mark.slow
def test_train_a_classifier_and_sample_a_class(scoreinv, guide, prior):
    (shown,) = json.loads(scoreinv("models", "show", guide, "--json").out)["models"]
    assert (shown["task"], shown["sampler"], shown["config"]["classes"]) == ("classifier", None, ["day", "night"])
    sample = ["sample", "--model", prior, "--sampler", "multistep", "-n", 2, "--classifier", guide]
    outcome = scoreinv(*sample, "--class", "night", "--guidance", 2, "-o", "night.png", "--json")
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert record["output"] == "night.png"
    assert (record["class"], record["classifier"], record["guidance"]) == ("night", guide, 2)
    by_number = json.loads(scoreinv(*sample, "--class", 0, "-o", "day.png", "--json").out)
    assert (by_number["class"], by_number["guidance"]) == ("day", 1)  # what this classifier recommends
    assert "class" not in json.loads(scoreinv(*sample[:-2], "-o", "any.png", "--json").out)
    assert (np.asarray(Image.open("day.png")) != np.asarray(Image.open("night.png"))).any()
    wrong = scoreinv(*sample, "--class", "dusk", "-o", "dusk.png")
    assert (wrong.code, "day, night" in wrong.err) == (2, True)
    assert not Path("dusk.png").exists()


@pytest.mark.slow
def test_evaluate_pictures_by_a_classifier(scoreinv, classes, guide):
    judge = ["--reference", classes / "night", "--classifier", guide]
    outcome = scoreinv("evaluate", classes / "day", *judge, "--class", "night", "--json")
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert record["frechet_distance"] > 0
    assert sum(record["class_shares"].values()) == pytest.approx(1)
    assert record["accuracy"] == record["class_shares"]["night"]
    same = json.loads(scoreinv("evaluate", classes / "night", *judge, "--json").out)
    assert same["frechet_distance"] == pytest.approx(0, abs=1e-6)
    told = scoreinv("evaluate", classes / "day", *judge).out
    assert "class shares: day" in told
    # Folders that are named by classes say what their pictures should be.
    both = json.loads(scoreinv("evaluate", classes, *judge, "--json").out)
    assert both["pictures"] == 12
    assert both["accuracy"] == pytest.approx((record["class_shares"]["day"] + same["class_shares"]["night"]) / 2)
    (classes / "one").mkdir()
    Image.new("RGB", (32, 32)).save(classes / "one" / "1.png")
    for dry in ([], ["--dry-run"]):
        alone = scoreinv("evaluate", classes / "one", *judge, *dry)
        assert (alone.code, "one: has one picture" in alone.err) == (2, True)
    (classes / "one" / "1.png").unlink()
    (classes / "day").rename(classes / "dawn")
    assert "accuracy" not in json.loads(scoreinv("evaluate", classes, *judge, "--json").out)
    (classes / "dawn").rename(classes / "day")
    Image.new("RGB", (40, 32)).save(classes / "day" / "wide.png")
    odd = scoreinv("evaluate", classes / "day", *judge)
    assert (odd.code, "wide.png: is 40x32" in odd.err) == (2, True)


def test_a_reference_of_another_size_is_told_before_the_work(scoreinv, classes, monkeypatch):
    for path in (classes / "night").iterdir():
        Image.new("RGB", (40, 32)).save(path)
    monkeypatch.delattr("scoreinv.cli.evaluate._look")
    odd = scoreinv("evaluate", classes / "day", "--reference", classes / "night")
    assert (odd.code, "night/0.png: is 40x32" in odd.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["evaluate", "data/day", "--reference", "data/night", "--classifier", "photo"], "not a classifier"),
        (
            ["evaluate", "data/day", "--reference", "data/night", "--inception", "code.pth"],
            "code.pth: has no weights",
        ),
        (["train", "--classifier", "--sde", "vp"], "--data"),
        (["train", "--classifier", "--data", "data"], "--sde"),
        (["train", "--classifier", "--conditional", "--sde", "ve", "--data", "data"], "give one of them"),
        (["train", "--classifier", "--sde", "vp", "--data", "data/day"], "could be classes"),
    ],
)
def test_what_does_not_go_together(scoreinv, classes, words, said):
    torch.save(Path(), classes.parent / "code.pth")  # a pickle of more than tensors: it is not executed
    outcome = scoreinv(*words)
    assert outcome.code == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
