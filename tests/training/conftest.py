"""What the tests of training share: pictures of noise, a run of two steps on them, and its folder."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.gaussian import write_noise_pictures
from support.small_runs import tiny_run

from scoreinv.training.config import TrainingConfig
from scoreinv.training.loop import train


def _config(folder: Path) -> TrainingConfig:
    return replace(tiny_run(folder, steps=2), validate_every=0)


@pytest.fixture(scope="session")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures, and the folder of a run of two steps that has ended."""
    path = tmp_path_factory.mktemp("ended")
    write_noise_pictures(path / "data", 12, 8, 0.6, 0.1)
    train(_config(path / "data"), path / "out")
    return path


@pytest.fixture
def folder(ended: Path, tmp_path: Path) -> Path:
    return shutil.copytree(ended / "data", tmp_path / "data")


@pytest.fixture
def config(folder: Path) -> TrainingConfig:
    return _config(folder)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def done(ended: Path, config: TrainingConfig, out: Path) -> TrainingConfig:
    """The configuration of a run that has ended in `out`."""
    shutil.copytree(ended / "out", out)
    (out / "config.json").write_text((out / "config.json").read_text().replace(str(ended), str(out.parent)))
    return config
