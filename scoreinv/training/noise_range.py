"""The largest noise level from the data (Song & Ermon 2020, technique 1)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.sdes import VE
from scoreinv.training.batches import BatchSource
from scoreinv.training.config import TrainingConfig
from scoreinv.training.pictures import load_pictures

_VALUES = 2**24
"""Pixels that are compared at once."""


def largest_distance(images: Tensor) -> float:
    """The largest Euclidean distance between two of the pictures (B, C, H, W), B >= 2, in their own units."""
    return torch.nn.functional.pdist(images.flatten(1)).max().item()


def with_estimated_sigma_max(config: TrainingConfig, count: int = 1000) -> TrainingConfig:
    """The configuration with the VE SDE's sigma_max as large as the data: every picture can be reached from any other.

    The distance is taken between `count` random pictures (or crops), held-out ones among them, in the model's range;
    fewer where they are large. Raises InputError for another SDE than VE, and for pictures that are all alike.
    """
    model = config.model
    if not isinstance(model.sde, VE):
        raise InputError("sigma_max is estimated for the VE SDE only")
    count = max(2, min(count, _VALUES // config.drawn_side**2))
    pictures = load_pictures(config.data, config.drawn_side, model.network.channels, limit=count)
    source = BatchSource.of(config, pictures, count, config.seed)
    sigma_max = round(largest_distance(source.batch(0).images), 1)
    if not sigma_max > model.sde.sigma_min:
        where = config.data.source or "the built-in pictures"
        raise InputError(f"{where}: sigma_max cannot be estimated from pictures that are all alike: give a number")
    return replace(config, model=replace(model, sde=replace(model.sde, sigma_max=sigma_max)))
