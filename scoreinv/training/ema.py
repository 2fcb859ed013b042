"""Exponential moving average of a network's weights and buffers."""

from __future__ import annotations

import torch
from torch import nn


def decay_at(update: int, decay: float) -> float:
    """The decay of the n-th update, n from 1: min(decay, (1 + n) / (10 + n)), as the reference implementation has it.

    The first update copies: its decay is 0.
    """
    return min(decay, (1 + update) / (10 + update)) if update > 1 else 0.0


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, update: int, decay: float) -> None:
    """average += (1 - decay_n) (network - average), for the n-th update, n from 1.

    Buffers are averaged too, so that a frozen embedding is never lost.
    """
    mean = [*average.parameters(), *average.buffers()]
    torch._foreach_lerp_(mean, [*network.parameters(), *network.buffers()], 1 - decay_at(update, decay))
