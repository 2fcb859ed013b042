"""An SDE of a user's own trains, saves and loads; files name it, and run nothing."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from gaussian import write_noise_pictures
from small_runs import TINY, tiny_run
from torch import Tensor

import scoreinv
from scoreinv.checkpoints.config import ModelConfig
from scoreinv.checkpoints.files import read_metadata
from scoreinv.checkpoints.own_sde import NamedSDE
from scoreinv.errors import CheckpointError, InputError
from scoreinv.preconditioning import EDM
from scoreinv.sdes import SDE, VE
from scoreinv.training.config import TrainingConfig, read_config
from scoreinv.training.training_loop import train


@dataclass(frozen=True)
class Cosine(SDE):
    angle: float = 1.5

    @property
    def prior_std(self) -> float:
        return 1.0

    @property
    def sampling_end(self) -> float:
        return 1e-3

    def alpha(self, t: Tensor) -> Tensor:
        return (self.angle * t).cos()

    def sigma(self, t: Tensor) -> Tensor:
        return (self.angle * t).sin()


class Linear(VE):
    """A subclass of a known one is no known one."""

    def sigma(self, t: Tensor) -> Tensor:
        return 10 * t


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "own.safetensors"
    scoreinv.save(ModelConfig(TINY, Cosine(), EDM(), image_size=8).build(), path)
    return path


def test_it_is_loaded_by_giving_it(model: Path) -> None:
    prior = scoreinv.load(model, sde=Cosine())
    assert prior.sde == Cosine()
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([0.2, 0.7])
    assert prior.noise(x, t).isfinite().all()


class Flow(Cosine):
    """The picture is gone at t = 1."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t


class Falling(Cosine):
    def sigma(self, t: Tensor) -> Tensor:
        return self.alpha(t) * (1 - 0.5 * t)


@pytest.mark.parametrize(
    ("sde", "said"),
    [(Flow(), r"Flow: alpha\(1\) is 0, and must be above 0"), (Falling(), "Falling: sigma / alpha must grow")],
)
def test_what_is_no_sde_is_refused_before_it_trains(run: TrainingConfig, sde: SDE, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        train(replace(run, model=replace(run.model, sde=sde)), tmp_path / "out")
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_the_file_keeps_its_name_and_its_marginal(model: Path) -> None:
    config, _ = read_metadata(model)
    marginal = ((math.cos(0.15), math.sin(0.15)), (math.cos(0.75), math.sin(0.75)), (math.cos(1.5), math.sin(1.5)))
    assert isinstance(config.sde, NamedSDE)
    assert config.sde.class_name == f"{__name__}:Cosine"
    for found, expected in zip(config.sde.marginal, marginal, strict=True):
        assert found == pytest.approx(expected, rel=1e-8)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "has an SDE of somebody's own, test_own_sde:Cosine: give it in Python, by the argument sde"),
        (VE(), "has the SDE test_own_sde:Cosine, and scoreinv.sdes:VE was given"),
        (Cosine(1.4), r"was trained on test_own_sde:Cosine of alpha\(0.1\) = 0.98877.* 0.99021.*: give it the same"),
    ],
)
def test_what_is_wrong_is_said_with_the_file_and_the_remedy(model: Path, given: SDE | None, said: str) -> None:
    with pytest.raises(CheckpointError, match=f"own.safetensors: {said}"):
        scoreinv.load(model, sde=given)


def test_its_class_may_move_to_another_module(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cosine, "__module__", "__main__")
    assert scoreinv.load(model, sde=Cosine()).sde == Cosine()


def test_a_model_with_a_known_sde_takes_none(tmp_path: Path) -> None:
    path = tmp_path / "ve.safetensors"
    scoreinv.save(ModelConfig(TINY, VE(), EDM(), image_size=8).build(), path)
    assert scoreinv.load(path, sde=VE()).sde == VE()
    with pytest.raises(CheckpointError, match="leave out the argument sde"):
        scoreinv.load(path, sde=Cosine())


def test_a_subclass_of_a_known_one_is_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "linear.safetensors"
    scoreinv.save(ModelConfig(TINY, Linear(), EDM(), image_size=8).build(), path)
    assert isinstance(scoreinv.load(path, sde=Linear()).sde, Linear)
    with pytest.raises(CheckpointError, match="sdes:VE was given"):
        scoreinv.load(path, sde=VE())


def test_nothing_that_a_file_names_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hostile.py").write_text("raise SystemExit('run')")
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "own.safetensors"
    monkeypatch.setattr(Cosine, "__module__", "hostile")
    scoreinv.save(ModelConfig(TINY, Cosine(), EDM(), image_size=8).build(), path)
    with pytest.raises(CheckpointError, match="hostile:Cosine"):
        scoreinv.load(path)
    assert "hostile" not in sys.modules


@pytest.fixture
def run(tmp_path: Path) -> TrainingConfig:
    write_noise_pictures(tmp_path / "data", 12, 8, 0.6, 0.1)
    config = tiny_run(tmp_path / "data", steps=2)
    return replace(config, model=replace(config.model, sde=Cosine()))


def test_it_trains_resumes_and_loads(run: TrainingConfig, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(run, out)
    assert train(replace(run, steps=4), out, resume=True).steps == 4
    assert scoreinv.load(out, sde=Cosine()).sde == Cosine()
    with pytest.raises(InputError, match="the run to resume differs in model"):
        train(replace(run, model=replace(run.model, sde=Cosine(1.4))), out, resume=True)


def test_a_run_of_it_is_resumed_from_python(run: TrainingConfig, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(run, out)
    with pytest.raises(InputError, match="out: the run has an SDE of somebody's own, test_own_sde:Cosine: give it"):
        train(read_config(out / "config.json"), out, resume=True)
