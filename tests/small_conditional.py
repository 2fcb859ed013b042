"""A random conditional model that tests of several rooms share."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.config import ModelConfig
from scoreinv.prior import ScorePrior
from scoreinv.sdes import SDE, VE
from scoreinv.training.config import DataConfig
from scoreinv.training.presets import conditional_training

SMALL = replace(
    conditional_training(VE(), DataConfig()).model.network,
    width=8,
    multipliers=(1, 1),
    blocks=1,
    attention_levels=(),
    patch=1,
)


def conditional_prior(
    sde: SDE | None = None,
    data_range: tuple[float, float] = (-1.0, 1.0),
    seed: int = 0,
    image_size: int = 16,
    patch: int = 1,
) -> ScorePrior:
    """A random network whose output is not negligible."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = replace(SMALL, patch=patch)
        prior = ModelConfig(network, sde or VE(0.01, 20.0), ResidualPreconditioning(), data_range, image_size).build()
        nn.init.normal_(prior.network.conv_out.weight, std=0.3)
    return prior
