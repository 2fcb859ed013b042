"""Held-out figures: of fixed pictures, times and noise, so that two values differ by the weights only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scoreinv.training.batches import Batch


@dataclass(frozen=True)
class HeldOut:
    """A figure over a fixed set.

    Attributes:
        mean: over all of it.
        times: middle of each bin of times.
        by_time: mean of the figure in each bin; None for a bin without pictures.
    """

    mean: float
    times: tuple[float, ...]
    by_time: tuple[float | None, ...]


@torch.no_grad()
def evaluate(
    measures: Callable[[Batch], dict[str, Tensor]],
    data: Batch,
    *,
    batch_size: int = 64,
    bins: int = 8,
    device: torch.device | str = "cpu",
) -> dict[str, HeldOut]:
    """Each measure over all of `data` (a `BatchSource.batch` of a fixed seed and step), and by time."""
    parts: list[dict[str, Tensor]] = []
    for start in range(0, len(data.times), batch_size):
        parts.append(measures(data.part(slice(start, start + batch_size)).to(device)))
    return {
        name: _summary(torch.cat([part[name].cpu().double() for part in parts]), data.times, bins) for name in parts[0]
    }


def _summary(values: Tensor, times: Tensor, bins: int) -> HeldOut:
    bin_of = (times * bins).long().clamp(0, bins - 1)
    members = [values[bin_of == number] for number in range(bins)]
    return HeldOut(
        mean=values.mean().item(),
        times=tuple((number + 0.5) / bins for number in range(bins)),
        by_time=tuple(part.mean().item() if len(part) else None for part in members),
    )
