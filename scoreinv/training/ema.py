"""Exponential moving average of a network, buffers included."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

_Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """The average of `network`: its n-th update decays by min(decay, (1 + n) / (10 + n)), but the first copies.

    (The reference implementation's warm-up.) Buffers are averaged too, so a frozen embedding is never lost.
    """

    def update(average: _Tensors, current: _Tensors, count: Tensor | int) -> None:
        # `count` is how many updates came before this one.
        torch._foreach_lerp_(average, current, 1 - decay_at(int(count) + 1, decay))

    return AveragedModel(network, multi_avg_fn=update, use_buffers=True)


def decay_at(update: int, decay: float) -> float:
    """The decay of the n-th update, n from 1: min(decay, (1 + n) / (10 + n))."""
    return min(decay, (1 + update) / (10 + update))
