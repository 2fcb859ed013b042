"""Training from the command line: how it ends, what it replaces, and what it refuses at once."""

import json
import os
import signal
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.processes import wait_for
from support.shell import brief_run, start_process

import scoreinv as library
from scoreinv.models.codec import encode
from scoreinv.sdes import SubVP
from scoreinv.training.config import DataConfig
from scoreinv.training.loop import train


@pytest.fixture
def short_run(tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(encode(brief_run(DataConfig()))))
    return path


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A run of two steps on four pictures of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    (tmp_path / "data").mkdir()
    for index, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"data/{index}.png")
    run = brief_run(DataConfig("data", scales=(1.0,)), steps=2, sample_every=0, log_every=1)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(encode(run)))
    return path


def test_train_and_resume(scoreinv, short_run, tmp_path):
    outcome = scoreinv("train", "--config", short_run, "--out", "run", "--json")
    assert outcome.code == 0, outcome.err
    record = json.loads(outcome.out)
    assert (record["steps"], record["images"]) == (4, 8)
    assert record["loss"] > 0
    assert record["output"] == "run/model.safetensors"
    again = scoreinv("train", "--config", short_run, "--out", "run")
    assert again.code == 2
    assert "holds a training run already: resume it, or choose another folder" in again.err
    resumed = scoreinv("train", "--out", "run", "--resume", "--steps", 6, "--json")
    assert json.loads(resumed.out)["steps"] == 6
    other = scoreinv("train", "--sde", "vp", "--out", "run", "--resume")
    assert other.code == 2
    for words, said in ((["--seed", 5], "seed"), (["--precision", "bfloat16"], "precision")):
        other = scoreinv("train", "--out", "run", "--resume", "--steps", 7, *words)
        assert (other.code, f"differs in {said}" in other.err) == (2, True)
    same = scoreinv("train", "--config", short_run, "--steps", 7, "--out", "run", "--resume", "--json")
    assert json.loads(same.out)["steps"] == 7
    assert scoreinv("sample", "-n", 1, "--model", "run/model.safetensors").code == 0


def test_a_configuration_keeps_its_seed_and_precision(scoreinv, short_run):
    entries = json.loads(short_run.read_text()) | {"seed": 7, "precision": "float32", "steps": 1}
    short_run.write_text(json.dumps(entries))
    for name, words, seed, precision in (
        ("a", [], 7, "float32"),
        ("b", ["--seed", 0, "--precision", "bfloat16"], 0, "bfloat16"),
    ):
        assert scoreinv("train", "--config", short_run, "--out", name, *words).code == 0
        written = json.loads(Path(name, "config.json").read_text())
        assert (written["seed"], written["precision"]) == (seed, precision)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"steps": 0}, "steps must be from 1"),
        ({"minutes": float("inf")}, "minutes = inf"),
        ({"model": None}, "model = None is not supported"),
        ({"model": {"network": 3}}, "lacks 'sde'"),
        ({"colour": 1}, "colour"),
    ],
)
def test_configurations_that_are_not_such(scoreinv, short_run, entries, said):
    short_run.write_text(json.dumps(json.loads(short_run.read_text()) | entries))
    outcome = scoreinv("train", "--config", short_run, "--out", "run")
    assert outcome.code == 2, outcome.err
    assert outcome.err.startswith("scoreinv: error: ")
    assert short_run.name in outcome.err
    assert said in outcome.err
    assert not Path("run").exists()


def test_train_into_a_dated_folder(scoreinv, short_run, tmp_path):
    assert scoreinv("train", "--config", short_run, "--steps", 1).code == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("ve-")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs signals of POSIX")
def test_a_signal_saves_training_first(configuration, tmp_path):
    words = ("train", "--config", configuration, "--steps", 10**6, "--out", "run", "--json")
    process = start_process(*words, cwd=tmp_path)
    metrics = tmp_path / "run" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.stat().st_size > 0, seconds=120)  # steps are being done
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (143, b""), err
    said = err.decode().splitlines()
    assert said[-1] == "scoreinv: terminated"
    assert said[-2] == "scoreinv: saved in run; continue with: scoreinv train --resume --out run"
    assert len(list((tmp_path / "run/state").iterdir())) == 1
    assert (tmp_path / "run/model.safetensors").exists()


def set_clock(patch, times):
    """Train by a clock that returns one of the times before the first step and after each."""
    patch.setattr("scoreinv.training.train", partial(train, clock=partial(next, times)))


def test_a_model_that_takes_observations_starts_one_that_does(scoreinv, tmp_path):
    for more in ((), ("--dry-run",)):
        refused = scoreinv("train", "--sde", "ve", "--init", "photo", "--out", "run", *more)
        assert refused.code == 2
        assert refused.err.endswith("takes observations: train a conditional model\n")


@pytest.mark.slow
def test_training_of_damage_goes_on_from_the_bundled_detector(scoreinv, tmp_path):
    words = ("train", "--damage", "--init", "damage", "--batch-size", 2, "--steps", 1, "--out", "run")
    assert scoreinv(*words).code == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["model"]["network"]["second"]


def test_a_resumed_run_says_from_where_and_a_finished_one_that_nothing_is_left(scoreinv, configuration, monkeypatch):
    set_clock(monkeypatch, count())
    assert scoreinv("train", "--config", configuration, "--out", "run").code == 0
    again = ("train", "--resume", "--out", "run")
    with monkeypatch.context() as patched:
        patched.setattr("scoreinv.training.train", None)  # nothing is loaded or saved again
        done = scoreinv(*again)
    assert done.code == 0
    assert done.err == "scoreinv: run: the run of 2 steps is finished; --steps or --minutes extend it\n"
    longer = scoreinv(*again, "--steps", 3)
    assert "training in run, from step 2 to 3 steps; " in longer.err


def test_a_resumed_run_says_how_much_of_its_time_is_left(scoreinv, configuration, monkeypatch):
    set_clock(monkeypatch, count())
    first = scoreinv("train", "--config", configuration, "--out", "run", "--minutes", 0.05)
    assert "left);" not in first.err
    again = scoreinv("train", "--resume", "--out", "run", "--minutes", 0.1)
    assert "training in run, from step 3 to 0.1 minutes (2 s of 6 s left); " in again.err


def test_a_run_without_a_finished_step_can_be_resumed(scoreinv, configuration, monkeypatch):
    def interrupted():
        yield 0
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        set_clock(patched, interrupted())
        stopped = scoreinv("train", "--config", configuration, "--out", "run")
    assert stopped.code == 130
    assert "no step was finished in run; continue with: scoreinv train --resume --out run" in stopped.err
    assert scoreinv("train", "--resume", "--out", "run").code == 0


def test_without_a_compiler_a_compiled_run_is_refused(scoreinv, configuration, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    outcome = scoreinv("train", "--config", configuration, "--compile", "--out", "run")
    assert (outcome.code, "torch needs a C++ compiler" in outcome.err) == (2, True)
    assert not Path("run").exists()


def test_a_rehearsal_refuses_what_the_run_would_refuse(scoreinv, configuration, tmp_path):
    words = ("train", "--config", configuration, "--out", "deep/run")
    rehearsed = scoreinv(*words, "--dry-run")
    assert (rehearsed.code, rehearsed.out) == (0, "would train 2 steps in deep/run\n")
    assert not (tmp_path / "deep").exists()
    assert scoreinv(*words).code == 0
    for more, said in (
        ((), "holds a training run already: resume it, or choose another folder"),
        (("--out", "run.json"), "run.json: cannot be written"),
        (("--out", "new", "--data", "deep/run/state"), "deep/run/state: holds no pictures"),
    ):
        assert said in scoreinv(*words, *more).err
        refused = scoreinv(*words, *more, "--dry-run")
        assert (refused.code, refused.out) == (2, "")
        assert said in refused.err
    assert scoreinv(*words, "--resume", "--dry-run").code == 0


def dry(scoreinv, *words):
    """The configuration of a run that is not begun, and what was said."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scoreinv.training.check_run", lambda config, *_, **__: found.append(config))
        outcome = scoreinv("train", *words, "--out", "run", "--dry-run")
    assert outcome.code == 0, outcome.err
    return found[0], outcome.err


def test_without_a_gpu_a_run_is_small_and_says_so(scoreinv, monkeypatch):
    small, said = dry(scoreinv, "--sde", "ve", "--device", "cpu")
    assert (small.model.image_size, small.data.mode) == (32, "center")
    assert "without a GPU: pictures of 32 pixels (--size and --config choose others)" in said
    chosen, said = dry(scoreinv, "--sde", "ve", "--device", "cpu", "--size", 64)
    assert (chosen.model.image_size, chosen.data.mode, said) == (64, "crops", "")
    monkeypatch.setattr("scoreinv.cli.train.device_of", lambda name: "cuda")
    assert dry(scoreinv, "--sde", "ve")[0] == chosen
    again, said = dry(scoreinv, "--sde", "ve", "--size", 32)
    assert (again, "without a GPU" in said, "--init cifar10" in said) == (small, False, True)
    assert dry(scoreinv, "--sde", "ve", "--size", 32, "--init", "cifar10")[1] == ""
    for word in ("--conditional", "--classifier"):
        refused = scoreinv("train", "--sde", "ve", word, "--size", 32, "--data", ".")
        assert (refused.code, "--size: these networks have one size" in refused.err) == (2, True)


def test_settings_of_a_run_are_those_of_the_command(scoreinv, configuration):
    words = ("--config", configuration, "--seed", 7, "--batch-size", 3, "--learning-rate", 0.01, "--data", "data")
    config, _ = dry(scoreinv, *words, "--minutes", 2, "--precision", "bfloat16")
    assert (config.seed, config.batch_size, config.optimizer.learning_rate) == (7, 3, 0.01)
    assert (config.data.source, config.steps, config.minutes, config.precision) == ("data", None, 2, "bfloat16")
    config, _ = dry(scoreinv, "--config", configuration, "--steps", 9)
    assert (config.seed, config.batch_size, config.steps, config.minutes, config.precision) == (0, 2, 9, None, "auto")
    config, _ = dry(scoreinv, "--config", configuration, "--steps", 9, "--minutes", 2)
    assert (config.steps, config.minutes) == (9, 2)


@pytest.mark.parametrize(("given", "found"), [("30", 30.0), ("data", 12.5)])
def test_the_largest_noise_is_given_or_estimated(scoreinv, monkeypatch, given, found):
    def estimated(config):
        sde = replace(config.model.sde, sigma_max=12.5)
        return replace(config, model=replace(config.model, sde=sde))

    monkeypatch.setattr("scoreinv.training.with_estimated_sigma_max", estimated)
    config, _ = dry(scoreinv, "--sde", "ve", "--sigma-max", given, "--size", 32)
    assert config.model.sde.sigma_max == found


@pytest.mark.slow
def test_a_run_starts_from_bundled_weights_under_another_sde(scoreinv):
    words = ("--sde", "subvp", "--init", "cifar10", "--steps", 1, "--batch-size", 2, "--out", "run", "--quiet")
    assert scoreinv("train", *words).code == 0
    trained, start = library.load("run/model.safetensors"), library.load("cifar10")
    assert isinstance(trained.sde, SubVP)
    x, level = torch.zeros(1, 3, 32, 32), torch.tensor([0.3], dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(trained.network(x, level), start.network(x, level), atol=0.02, rtol=0)
