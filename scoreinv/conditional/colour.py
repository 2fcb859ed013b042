"""Priors that colour grey pictures, and their inputs: luma at several sizes, and features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.conditional.residual import ResidualPreconditioning
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.networks.encoder import STRIDES, Encoder
from scoreinv.prior import Network, Prior, RecommendedSampler
from scoreinv.sdes import SDE
from scoreinv.system.errors import InputError


class ColourPrior(ConditionalPrior):
    """A conditional prior whose network also takes features of whole grey pictures, and so predicts colours.

    Args:
        network, sde, preconditioning, data_range, image_size, sampler: see `ScorePrior`.
        encoder: computes the features.
        encoder_scale: ratio of the sizes of the encoder's input and of the picture.
        chroma: computes the mean chroma of grey pictures; its encoder is `encoder`. None: the initial estimate of a
            grey picture's colours is the grey picture.
    """

    def __init__(
        self,
        network: Network,
        sde: SDE,
        preconditioning: ResidualPreconditioning,
        data_range: tuple[float, float],
        image_size: int,
        sampler: RecommendedSampler | None,
        encoder: Encoder,
        encoder_scale: int,
        chroma: ChromaNetwork | None = None,
    ) -> None:
        super().__init__(network, sde, preconditioning, data_range, image_size, sampler)
        self.encoder = encoder
        self.encoder_scale = encoder_scale
        self.chroma = chroma
        if chroma is not None:
            chroma.encoder = encoder

    def chroma_and_others(self, features: tuple[Tensor, ...]) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        if self.chroma is None or not features:
            return None, features
        return features[0], features[1:]

    def parts(self) -> dict[str, nn.Module]:
        return super().parts() | ({} if self.chroma is None else {"chroma.": self.chroma})

    def encoder_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the size of the luma for `gray_features`: `encoder_scale` times the picture's, in multiples of 32."""
        coarsest = STRIDES[-1]
        high, wide = (coarsest * max(1, round(self.encoder_scale * side / coarsest)) for side in (height, width))
        return high, wide

    def gray_features(self, luma: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of grey pictures for an `Observation`, by one evaluation of the encoder.

        The first is the mean chroma, if the prior has a network for it. The others are the encoder's coarsest maps, one
        for each level of the score network that has features as input.

        Args:
            luma: (B, 1, H, W) in [0, 1] of whole pictures, with sides in multiples of 32 (`encoder_size`).
        """
        count = len(self.network.config.feature_channels)
        with torch.no_grad():
            if self.chroma is None:
                return self.encoder.of_gray(luma)[-count:]
            chroma, maps = self.chroma(luma)
        return chroma, *maps[-count:]


LumaAt = Callable[[int, int], np.ndarray]
"""Resizes the luma of a picture to a height and a width: HxW float32 in [0, 1]."""


@dataclass(frozen=True)
class GrayView:
    """The inputs of a prior that colours a grey picture. All lumas are in [0, 1].

    Attributes:
        luma: (h, w), at the size at which colours are drawn.
        fine: (s h, s w), with s the prior's `luma_scale`; None if s is 1 or the picture is smaller than that.
        features: `Observation.features`; None if the prior has no encoder.
        encoder_luma: input of the encoder, (1, 1, H, W), of the size `encoder_size`; None if the prior has no encoder.
    """

    luma: np.ndarray
    fine: np.ndarray | None = None
    features: tuple[Tensor, ...] | None = None
    encoder_luma: Tensor | None = None


def view_gray(prior: Prior, luma_at: LumaAt, full: tuple[int, int], size: tuple[int, int]) -> GrayView:
    """Return the inputs of the prior for a grey picture, by at most one evaluation of its encoder.

    Args:
        luma_at: returns the luma of the picture at a height and width.
        full: height and width of the picture.
        size: height and width at which its colours are drawn.
    """
    height, width = size
    scale = prior.luma_scale if isinstance(prior, ConditionalPrior) else 1
    fine = features = encoder_luma = None
    if scale > 1 and full[0] >= scale * height and full[1] >= scale * width:
        fine = luma_at(scale * height, scale * width)
        luma = fine.reshape(height, scale, width, scale).mean((1, 3))
    else:
        luma = luma_at(height, width)
    if isinstance(prior, ColourPrior):
        encoder_luma = torch.from_numpy(luma_at(*prior.encoder_size(height, width)))
        encoder_luma = encoder_luma.to(prior.device, torch.float32)[None, None]
        features = prior.gray_features(encoder_luma)
    return GrayView(luma, fine, features, encoder_luma)


def trained_task(prior: object) -> Literal["fill", "colour"] | None:
    """Return the task that a conditional prior was trained for; None for other models."""
    if isinstance(prior, ColourPrior):
        return "colour"
    return "fill" if isinstance(prior, ConditionalPrior) else None


def check_references(prior: Prior) -> ColourPrior:
    """Return the prior. Raise InputError if it has no network of the mean chroma, which references need."""
    if not isinstance(prior, ColourPrior) or prior.chroma is None:
        raise InputError("this model has no support for reference photos: use the model scene")
    return prior
