"""The held-out loss: fixed pictures, times and noise, so that two values differ by the weights only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoreinv.prior import Prior
from scoreinv.training.batches import Batch
from scoreinv.training.config import ObjectiveConfig


@dataclass(frozen=True)
class HeldOutLoss:
    """A loss over a fixed set.

    Attributes:
        loss: the mean.
        times: middle of each bin of times.
        by_time: mean of the losses in each bin; None for a bin without pictures.
    """

    loss: float
    times: tuple[float, ...]
    by_time: tuple[float | None, ...]


@torch.no_grad()
def evaluate_loss(
    prior: Prior,
    data: Batch,
    objective: ObjectiveConfig,
    *,
    batch_size: int = 64,
    bins: int = 8,
    device: torch.device | str = "cpu",
) -> HeldOutLoss:
    """The objective over all of `data` (a `BatchSource.batch` of a fixed seed and step), and by noise level."""
    losses = []
    for start in range(0, len(data.times), batch_size):
        part = slice(start, start + batch_size)
        losses.append(data.part(part).to(device).losses(objective, prior).double().cpu())
    return _summary(torch.cat(losses), data.times, bins)


def _summary(losses: Tensor, times: Tensor, bins: int) -> HeldOutLoss:
    bin_of = (times * bins).long().clamp(0, bins - 1)
    members = [losses[bin_of == number] for number in range(bins)]
    return HeldOutLoss(
        loss=losses.mean().item(),
        times=tuple((number + 0.5) / bins for number in range(bins)),
        by_time=tuple(part.mean().item() if len(part) else None for part in members),
    )
