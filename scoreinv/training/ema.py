"""The exponential moving average (EMA) of the weights, which is the model."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, update: int, decay: float) -> None:
    """Update the moving average: average += (1 - decay_n) (network - average), for the n-th update, n from 1.

    decay_1 = 0, so the first update copies the network; then decay_n = min(decay, (1 + n) / (10 + n)), as in the
    reference implementation. Buffers are averaged, too, to keep frozen embeddings; integer buffers are copied.
    """
    decay = min(decay, (1 + update) / (10 + update)) if update > 1 else 0.0
    for kept, current in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(current, 1 - decay)
        else:
            kept.copy_(current)
