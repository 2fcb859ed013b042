"""A run of a second, for tests of what surrounds the training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from scoreinv.models.config import ModelConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM
from scoreinv.sdes import VE
from scoreinv.training.config import DataConfig, OptimizerConfig, TrainingConfig
from scoreinv.training.learners import ScoreLearner

TINY = NCSNppConfig(
    channels=1,
    width=8,
    multipliers=(1, 1),
    blocks=1,
    attention_levels=(),
    fir_kernel=None,
    fourier_scale=1.0,
    progressive_input="none",
    dropout=0.0,
)


def tiny_run(folder: Path, *, dropout: float = 0.0, steps: int = 12) -> TrainingConfig:
    """Twelve steps of a network of a few thousand weights, on grey pictures of 8 pixels."""
    return TrainingConfig(
        model=ModelConfig(replace(TINY, dropout=dropout), VE(0.01, 10.0), EDM(), (-1.0, 1.0), 8),
        data=DataConfig(str(folder), scales=(1.0,), holdout_fraction=0.2),
        learner=ScoreLearner(weighting="uniform"),
        optimizer=OptimizerConfig(learning_rate=2e-3, warmup=5, anneal="cosine"),
        batch_size=8,
        steps=steps,
        precision="float32",
        log_every=4,
        validate_every=6,
        sample_every=0,
        snapshot_every=0,
        validation_images=16,
        samples=4,
    )


def write_gradient(path: Path, width: int, height: int) -> None:
    """A picture whose red counts columns, and green rows, so that a crop tells where it was taken."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width)[None, :], np.arange(height)[:, None]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@dataclass(frozen=True)
class Watched(VE):
    """VE that calls a function whenever it is used without gradients: in validation and sampling, not in a step."""

    sigma_max: float = 10.0
    event: Callable[[], None] = field(default=lambda: None, compare=False)

    def sigma(self, t: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            self.event()
        return super().sigma(t)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let this process write no more than this many bytes to a file, as on a disk that is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
