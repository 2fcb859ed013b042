"""An SDE of a user's own trains, saves and loads; files name it, and run nothing."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from support.gaussian import write_noise_pictures
from support.small_runs import TINY, tiny_run
from torch import Tensor

import scoreinv
from scoreinv.models.codec import decode, encode
from scoreinv.models.config import ModelConfig, NamedSDE
from scoreinv.models.model_file import read_metadata
from scoreinv.preconditioning import EDM
from scoreinv.sdes import SDE, VE
from scoreinv.system.errors import CheckpointError, InputError
from scoreinv.training.config import TrainingConfig, read_config
from scoreinv.training.loop import train


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


def test_files_keep_its_name_alone(model: Path) -> None:
    config, _ = read_metadata(model)
    assert config.sde == NamedSDE(f"{__name__}:Cosine")
    assert decode(ModelConfig, json.loads(json.dumps(encode(config)))) == config
    with pytest.raises(CheckpointError, match=r"own.safetensors: has a custom SDE, test_own_sde:Cosine: pass it"):
        scoreinv.load(model)


def test_files_of_the_first_version_keep_its_marginal_too() -> None:
    written = encode(ModelConfig(TINY, Cosine(), EDM(), image_size=8))
    written["sde"] |= {"marginal": [[0.99, 0.15], [0.73, 0.68], [0.07, 1.0]]}
    assert isinstance(decode(ModelConfig, written).sde, NamedSDE)


def test_one_that_is_given_takes_the_place_of_the_files(tmp_path: Path) -> None:
    path = tmp_path / "ve.safetensors"
    scoreinv.save(ModelConfig(TINY, VE(), EDM(), image_size=8).build(), path)
    assert scoreinv.load(path, sde=VE(0.02, 30.0)).sde == VE(0.02, 30.0)


def test_a_subclass_of_a_known_one_is_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "linear.safetensors"
    scoreinv.save(ModelConfig(TINY, Linear(), EDM(), image_size=8).build(), path)
    with pytest.raises(CheckpointError, match="test_own_sde:Linear"):
        scoreinv.load(path)


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


def test_a_run_of_it_is_resumed_from_python(run: TrainingConfig, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(run, out)
    with pytest.raises(InputError, match="out: the run has a custom SDE, test_own_sde:Cosine: pass it"):
        train(read_config(out / "config.json"), out, resume=True)
