"""A grey picture as a prior takes it: its luma at several sizes, and its features."""

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
    """A grey picture as a prior takes it.

    Attributes:
        luma: (h, w), at the size at which colours are drawn.
        fine: (s h, s w), at the prior's `luma_scale` s; None if the prior takes none or the picture is smaller.
        features: for an `Observation`; None if the prior takes none.
        seen: the encoder's luma, (1, 1, kh, kw); None if the prior has no encoder.
    """

    luma: np.ndarray
    fine: np.ndarray | None = None
    features: tuple[Tensor, ...] | None = None
    seen: Tensor | None = None


def view_gray(prior: Prior, luma_at: LumaAt, full: tuple[int, int], size: tuple[int, int]) -> GrayView:
    """Return a grey picture as a prior takes it, by at most one evaluation of its encoder.

    Args:
        luma_at: gives the luma of the picture.
        full: its height and width.
        size: the height and width at which its colours are drawn.
    """
    height, width = size
    scale = prior.luma_scale if isinstance(prior, ConditionalPrior) else 1
    fine = features = seen = None
    if scale > 1 and full[0] >= scale * height and full[1] >= scale * width:
        fine = luma_at(scale * height, scale * width)
        luma = fine.reshape(height, scale, width, scale).mean((1, 3))
    else:
        luma = luma_at(height, width)
    if isinstance(prior, ConditionalPrior) and prior.encoder is not None:
        seen = torch.from_numpy(luma_at(*prior.seen_size(height, width))).to(prior.device, torch.float32)[None, None]
        features = prior.look(seen)
    return GrayView(luma, fine, features, seen)
