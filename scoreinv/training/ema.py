"""Exponential moving average of a network's weights and buffers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, update: int, decay: float) -> None:
    """average += (1 - decay_n) (network - average), for the n-th update, n from 1.

    decay_1 = 0, so that the first update copies the network; decay_n = min(decay, (1 + n) / (10 + n)) from the second
    on, as in the reference implementation.
    Buffers are averaged too, so that a frozen embedding is never lost; counts, such as BatchNorm's, are copied.
    """
    decay = min(decay, (1 + update) / (10 + update)) if update > 1 else 0.0
    mean: list[Tensor] = [*average.parameters()]
    latest: list[Tensor] = [*network.parameters()]
    for kept, current in zip(average.buffers(), network.buffers(), strict=True):
        if current.is_floating_point():
            mean.append(kept)
            latest.append(current)
        else:
            kept.copy_(current)
    torch._foreach_lerp_(mean, latest, 1 - decay)
