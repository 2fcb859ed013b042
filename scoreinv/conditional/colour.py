"""The inputs of a prior that colours a grey picture: luma at several sizes, and features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.prior import Prior

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
    if isinstance(prior, ConditionalPrior) and prior.encoder is not None:
        encoder_luma = torch.from_numpy(luma_at(*prior.encoder_size(height, width)))
        encoder_luma = encoder_luma.to(prior.device, torch.float32)[None, None]
        features = prior.gray_features(encoder_luma)
    return GrayView(luma, fine, features, encoder_luma)
