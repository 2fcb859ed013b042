"""A model that is drawn from within seconds: of random weights, for windows of 16 pixels."""

from pathlib import Path

import torch

from scoreinv.models.config import ModelConfig
from scoreinv.models.model_file import save
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM
from scoreinv.prior import ScorePrior
from scoreinv.sdes import VE


def small_config() -> ModelConfig:
    network = NCSNppConfig(
        width=8,
        multipliers=(1, 1),
        blocks=1,
        attention_levels=(),
        fir_kernel=None,
        progressive_input="none",
        dropout=0.0,
        patch=2,
    )
    return ModelConfig(network, VE(0.01, 10.0), EDM(), (-1.0, 1.0), 16)


def small_prior() -> ScorePrior:
    """The model with its random weights, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return small_config().build()


def save_small(path: Path) -> Path:
    """The model in a file; returns its path."""
    save(small_prior(), path)
    return path
