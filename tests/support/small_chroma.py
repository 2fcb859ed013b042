"""A random conditional model with a network of the mean chroma, that tests of several rooms share."""

from dataclasses import replace

from scoreinv.conditional.colour import ColourPrior
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.models.config import ColourConfig
from scoreinv.networks.encoder import FEATURES
from scoreinv.sdes import VE
from support.small_conditional import SMALL, random_prior

SHOWN = replace(SMALL, patch=2, condition_channels=17, feature_channels=FEATURES[1:])
CONFIG = ColourConfig(
    SHOWN, VE(0.01, 20.0), ResidualPreconditioning(luma_scale=2), image_size=16, encoder_scale=4, chroma=True
)


def chroma_prior(seed: int = 0) -> ColourPrior:
    """A model whose networks of score and chroma have outputs that are not negligible."""
    prior = random_prior(CONFIG, seed, std=0.1)
    assert isinstance(prior, ColourPrior)
    return prior
