"""What the tests of training share: pictures of noise, and a run of two steps on them."""

from dataclasses import replace
from pathlib import Path

import pytest
from gaussian import write_noise_pictures
from small_runs import tiny_run

from scoreinv.training.config import TrainingConfig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_noise_pictures(tmp_path / "data", 12, 8, 0.6, 0.1)
    return tmp_path / "data"


@pytest.fixture
def config(folder: Path) -> TrainingConfig:
    return replace(tiny_run(folder, steps=2), validate_every=0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"
