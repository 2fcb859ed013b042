"""A random conditional model with a network of the mean chroma, that tests of several rooms share."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.config import ModelConfig
from scoreinv.networks.encoder import FEATURES
from scoreinv.sdes import VE
from scoreinv.training.config import DataConfig
from scoreinv.training.presets import conditional_training

SHOWN = replace(
    conditional_training(VE(), DataConfig()).model.network,
    width=8,
    multipliers=(1, 1),
    blocks=1,
    attention_levels=(),
    patch=2,
    condition_channels=17,
    feature_channels=FEATURES[1:],
)
CONFIG = ModelConfig(
    SHOWN, VE(0.01, 20.0), ResidualPreconditioning(luma_scale=2), image_size=16, encoder_scale=4, chroma=True
)


def chroma_prior(seed: int = 0) -> ConditionalPrior:
    """A model whose networks of score and chroma have outputs that are not negligible."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = CONFIG.build()
        nn.init.normal_(model.network.conv_out.weight, std=0.1)
        nn.init.normal_(model.chroma.conv_out.weight, std=0.02)
    assert isinstance(model, ConditionalPrior)
    return model
