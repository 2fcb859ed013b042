"""Conditional models as a user trains and uses them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shell import hole_array, photo_array, small_config

from scoreinv.cli.main import main
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.defaults import COLOUR_SATURATION, COLOUR_TEMPERATURE
from scoreinv.imaging.read import read_picture
from scoreinv.models.codec import encode
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.training.config import DataConfig, ObjectiveConfig, ObservationConfig, TrainingConfig


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A conditional model after four steps of training."""
    folder = tmp_path_factory.mktemp("conditional")
    network: NCSNppConfig = replace(
        small_config().network, condition_channels=ResidualPreconditioning().condition_channels
    )
    run = TrainingConfig(
        replace(small_config(), network=network, preconditioning=ResidualPreconditioning()),
        DataConfig(),
        ObjectiveConfig(weighting="residual"),
        observations=ObservationConfig(),
        batch_size=2,
        steps=4,
        validation_images=2,
        samples=1,
        log_every=2,
    )
    (folder / "run.json").write_text(json.dumps(encode(run)))
    with pytest.MonkeyPatch.context() as patch:
        words = ["train", "--config", f"{folder}/run.json", "--out", f"{folder}/trained", "--quiet"]
        patch.setattr(sys, "argv", ["scoreinv", *words])
        assert main() == 0
    return str(folder / "trained" / "model.safetensors")


def test_training_tells_the_unconditional_loss_too(conditional):
    lines = [json.loads(line) for line in Path(conditional).with_name("metrics.jsonl").read_text().splitlines()]
    held_out = [line for line in lines if "validation" in line]
    assert held_out
    assert all(line["unconditional"]["mean"] != line["validation"]["mean"] for line in held_out)


def test_what_is_known_is_kept_and_the_method_told(scoreinv, conditional, photo, mask, tmp_path):
    for method, options, nfe in (
        ("conditioned", [], 2),
        ("conditioned", ["--estimate", "mean"], 8),
        ("pc", ["--method", "pc"], 4),
        ("pc", ["--start", "1"], 4),
    ):
        words = ["inpaint", "photo.png", "--mask", "mask.png", "--model", conditional, "--json", "--overwrite"]
        outcome = scoreinv(*words, *options)
        assert outcome.code == 0, outcome.err
        record = json.loads(outcome.out)
        assert (record["method"], record["nfe"]) == (method, nfe)
        before, after = np.asarray(Image.open(photo)), np.asarray(Image.open(tmp_path / "photo_inpainted.png"))
        assert (after[~hole_array()] == before[~hole_array()]).all()
        assert (after[hole_array()] != before[hole_array()]).any()


def test_colours_are_drawn_and_the_luma_kept(scoreinv, conditional, tmp_path):
    gray = photo_array(channels=1)
    Image.fromarray(gray).save(tmp_path / "grey.png")
    words = ["colorize", "grey.png", "--model", conditional, "--precision", "float32"]
    outcome = scoreinv(*words, "--samples", 2, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["method"] == "conditioned"
    pictures = [read_picture(tmp_path / f"grey_colorized.{i}.png").pixels for i in (1, 2)]
    for pixels in pictures:
        assert (np.rint(pixels @ np.array([0.299, 0.587, 0.114])) == gray).all()
    assert (pictures[0] != pictures[1]).any()
    again = {}
    for temperature in (COLOUR_TEMPERATURE, 1):
        options = ("--temperature", temperature, "--saturation", COLOUR_SATURATION)
        assert scoreinv(*words, *options, "-o", f"at_{temperature}.png").code == 0
        drawn = read_picture(tmp_path / f"at_{temperature}.png").pixels
        again[temperature] = abs(drawn.astype(int) - pictures[0]).mean()
    # The default: alone or as the first of two, but for rounding, which moves a few pixels by a level or two.
    assert again[COLOUR_TEMPERATURE] < again[1] / 10


def test_a_model_that_takes_no_observation_is_told_by_its_command(scoreinv, photo, mask):
    outcome = scoreinv("inpaint", "photo.png", "--mask", "mask.png", "--model", "cifar10", "--method", "conditioned")
    assert outcome.code == 2
    assert "a model trained by conditional training" in outcome.err


def test_what_does_not_go_together_is_refused(scoreinv, conditional, photo, mask):
    words = ["inpaint", "photo.png", "--mask", "mask.png"]
    plain = scoreinv(*words, "--method", "conditioned")
    assert plain.code == 2
    assert "trained without observations" in plain.err
    start = scoreinv(*words, "--model", conditional, "--method", "conditioned", "--start", "1")
    assert start.code == 2
    assert "starting level belongs to the method pc" in start.err
    words = ["colorize", "photo.png", "--model", conditional, "--gray-weights", "average", "--json"]
    weights = scoreinv(*words, "--method", "conditioned")
    assert weights.code == 2
    assert "rec601" in weights.err
    assert json.loads(scoreinv(*words).out)["method"] == "pc"
    temperature = scoreinv(*words, "--temperature", "0.9", "--overwrite")
    assert temperature.code == 2
    assert "temperature belongs to the method conditioned" in temperature.err


def test_hints_by_a_file(scoreinv, conditional, tmp_path):
    Image.fromarray(photo_array(channels=1)).save(tmp_path / "grey.png")
    layer = np.zeros((24, 40, 4), np.uint8)
    layer[5:9, 5:20] = (150, 120, 110, 255)
    Image.fromarray(layer).save(tmp_path / "hints.png")
    words = ["colorize", "grey.png", "--model", conditional]
    assert scoreinv(*words, "--hints", "hints.png", "--saturation", "0.8", "--keep-color").code == 0
    result = read_picture(tmp_path / "grey_colorized.png").pixels.astype(int)
    assert (np.ptp(result[5:9, 5:20], axis=-1) > 20).all()
    for name, said in (("absent.png", "no such file"), ("grey.png", "transparency")):
        refused = scoreinv(*words, "--hints", name, "-o", "other.png")
        assert refused.code == 2
        assert said in refused.err


def test_the_uncertainty_of_colours(scoreinv, conditional, tmp_path):
    pytest.importorskip("cv2", exc_type=ImportError)
    Image.fromarray(photo_array(channels=1)).save(tmp_path / "gray.png")
    words = ("colorize", "gray.png", "--model", conditional, "--temperature", 2, "--saturation", 10, "--samples", 3)
    outcome = scoreinv(*words, "--uncertainty", "map.png", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["uncertainty"] == "map.png"
    samples = np.stack([read_picture(tmp_path / f"gray_colorized.{i}.png").rgb() for i in (1, 2, 3)])
    std = np.sqrt(samples.var(axis=0, ddof=1).mean(-1))
    told = read_picture(tmp_path / "map.png").rgb()[: std.shape[0], : std.shape[1]]
    assert np.corrcoef(told.mean(-1).ravel(), std.ravel())[0, 1] > 0.6  # brighter where they differ more


def test_a_sepia_print_is_said_to_be_one(scoreinv, conditional, tmp_path):
    gray = photo_array(channels=1) / 255
    sepia = np.array([0.15, 0.08, 0.03]) + gray[..., None] * np.array([0.8, 0.8, 0.7])
    Image.fromarray(np.rint(255 * sepia).astype(np.uint8)).save(tmp_path / "sepia.png")
    kept = scoreinv("colorize", "sepia.png", "--model", conditional)
    assert kept.code == 0
    assert "of one tint" in kept.err
    results = {}
    for tint in ("luma", "white"):
        outcome = scoreinv("colorize", "sepia.png", "--model", conditional, "--tint", tint, "-o", f"{tint}.png")
        assert outcome.code == 0
        assert ("tint" in outcome.err) == (tint == "luma")
        results[tint] = read_picture(tmp_path / f"{tint}.png").pixels
    assert results["white"].max() > results["luma"].max()


def test_interpolating_by_a_model_that_completes_is_said_to_be_a_cross_fade(scoreinv, conditional, model, tmp_path):
    for name in ("a", "b"):
        Image.fromarray(photo_array(16, 16)).save(tmp_path / f"{name}.png")
    told = scoreinv("interpolate", "a.png", "b.png", "-n", 2, "--model", conditional)
    assert (told.code, "cross-fade; --model cifar10" in told.err) == (0, True)
    words = ["interpolate", "a.png", "b.png", "-n", 2, "-o", "other.png", "--overwrite"]
    for more, warned in ((["--model", model], False), (["--model", conditional, "--quiet"], True)):
        outcome = scoreinv(*words, *more)
        assert (outcome.code, "cross-fade" in outcome.err) == (0, warned)


def test_sampling_by_a_model_that_completes_is_said_to_draw_blots(scoreinv, conditional, model):
    told = scoreinv("sample", "-n", 1, "--model", conditional, "-o", "a.png")
    said = f"scoreinv: warning: {conditional}: was trained to complete pictures, and draws blots of colour"
    assert (told.code, told.err.count(said), told.err.count("--model cifar10")) == (0, 1, 1)
    for more, warned in ((["--model", model], False), (["--model", conditional, "--quiet"], True)):
        outcome = scoreinv("sample", "-n", 1, *more, "-o", "a.png", "--overwrite")
        assert (outcome.code, "blots" in outcome.err) == (0, warned)
