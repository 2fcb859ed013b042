"""Training from the command line: how it ends, what it replaces, and what it refuses at once."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shell import small_config, start_process, wait_for

from scoreinv.cli.training_notes import enough_steps
from scoreinv.models.codec import encode
from scoreinv.sdes import VE
from scoreinv.training.config import DataConfig, TrainingConfig
from scoreinv.training.presets import small_training


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    """A run of two steps on four pictures of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    (tmp_path / "data").mkdir()
    for index, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / f"data/{index}.png")
    run = TrainingConfig(
        replace(small_config(), image_size=16),
        DataConfig("data", scales=(1.0,)),
        batch_size=2,
        steps=2,
        validation_images=2,
        samples=1,
        sample_every=0,
        save_minutes=100.0,
        log_every=1,
    )
    path = tmp_path / "run.json"
    path.write_text(json.dumps(encode(run)))
    return path


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
    assert said[-2] == "scoreinv: saved in run; go on by: scoreinv train --resume --out run"
    assert len(list((tmp_path / "run/state").iterdir())) == 1
    assert (tmp_path / "run/model.safetensors").exists()


def test_a_run_says_what_to_expect_what_it_has_written_and_that_it_is_noise(scoreinv, configuration, monkeypatch):
    monkeypatch.setattr("scoreinv.training.logbook._REPORT_SECONDS", 0.0)
    run = json.loads(configuration.read_text()) | {"sample_every": 5}
    configuration.write_text(json.dumps(run))
    done = scoreinv("train", "--config", configuration, "--out", "my run", "--steps", 10)
    assert done.code == 0
    said = [line for line in done.err.splitlines() if line.startswith("scoreinv: ")]  # without progress
    assert said[0] == "scoreinv: training in my run, to 10 steps; Ctrl-C saves, --resume goes on"
    assert re.match(r"scoreinv: \S+ pictures a second here: .* to the end, 20 in all. Expect noise, ", said[1])
    written = "my run/model.safetensors, my run/samples/step-000000010.png (10 steps, "
    assert said[2].startswith(f"scoreinv: {written}")
    assert said[4].startswith(
        "scoreinv: warning: my run/model.safetensors: samples are noise yet: the held-out loss is "
    )
    for remedy in ("--resume --out 'my run' --steps 50000", "--conditional --init photo"):
        assert remedy in said[4]


@pytest.mark.parametrize(("done", "warmup", "steps"), [(0, 0, 10), (37, 0, 400), (5, 500, 5000)])
def test_the_steps_advised_are_beyond_the_warm_up(done, warmup, steps):
    run = small_training(VE(), DataConfig())
    assert enough_steps(done, replace(run, optimizer=replace(run.optimizer, warmup=warmup))) == steps


def test_a_model_that_takes_observations_starts_one_that_does(scoreinv, tmp_path):
    refused = scoreinv("train", "--sde", "ve", "--init", "photo", "--out", "run")
    assert refused.code == 2
    assert refused.err.endswith("takes observations: train a conditional model\n")


def test_a_model_of_another_run_is_replaced_only_on_demand(scoreinv, configuration, tmp_path):
    words = ("train", "--config", configuration, "--out", "run")
    assert scoreinv(*words).code == 0
    shutil.rmtree(tmp_path / "run/state")
    model = (tmp_path / "run/model.safetensors").read_bytes()
    for more in ((), ("--resume",)):
        refused = scoreinv(*words, *more)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.count("\n") == 1
        assert "overwrite it" in refused.err
        assert (tmp_path / "run/model.safetensors").read_bytes() == model
    again = scoreinv(*words, "--resume", "--overwrite", "--steps", 1, "--json")
    assert (again.code, json.loads(again.out)["steps"]) == (0, 1)
    assert "it starts at step 0" in again.err


def test_a_batch_without_memory_for_it_is_refused_at_once(scoreinv, monkeypatch, tmp_path):
    run = small_training(small_config().sde, DataConfig())
    (tmp_path / "run.json").write_text(json.dumps(encode(replace(run, batch_size=64))))
    monkeypatch.setattr("scoreinv.machine.available_bytes", lambda: 10**9)
    # A run that begins would take all memory there is.
    monkeypatch.setattr("scoreinv.training.loop.train", None)
    refused = scoreinv("train", "--config", "run.json", "--out", "run")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert refused.err.startswith("scoreinv: error: --batch-size ")
    assert "GB of memory" in refused.err
    assert not (tmp_path / "run").exists()


def test_a_rehearsal_refuses_what_the_run_would_refuse(scoreinv, configuration, tmp_path):
    words = ("train", "--config", configuration, "--out", "deep/run")
    rehearsed = scoreinv(*words, "--dry-run")
    assert (rehearsed.code, rehearsed.out) == (0, "deep/run: would be trained in, to 2 steps\n")
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
