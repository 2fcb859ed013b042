"""A random conditional model that tests of several rooms share."""

from dataclasses import replace

import torch
from torch import nn

from scoreinv.conditional.colour import ColourPrior
from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.config import FillConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.sdes import SDE, VE
from scoreinv.training.config import DataConfig
from scoreinv.training.presets import conditional_training

_usual = conditional_training(VE(), DataConfig()).model.network
assert isinstance(_usual, NCSNppConfig)
SMALL = replace(_usual, width=8, multipliers=(1, 1), blocks=1, attention_levels=(), patch=1)


def random_prior(config: FillConfig, seed: int = 0, std: float = 0.3) -> ConditionalPrior:
    """A random network whose output is not negligible."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        prior = config.build()
        nn.init.normal_(prior.network.conv_out.weight, std=std)
        if isinstance(prior, ColourPrior) and prior.chroma is not None:
            nn.init.normal_(prior.chroma.conv_out.weight, std=0.02)
    return prior


def conditional_prior(
    sde: SDE | None = None,
    data_range: tuple[float, float] = (-1.0, 1.0),
    seed: int = 0,
    image_size: int = 16,
    patch: int = 1,
) -> ConditionalPrior:
    """`random_prior` of one luma."""
    reading = ResidualPreconditioning()
    sde = VE(0.01, 20.0) if sde is None else sde
    return random_prior(FillConfig(replace(SMALL, patch=patch), sde, reading, data_range, image_size), seed)
