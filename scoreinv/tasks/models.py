"""What a task asks of a model: its kind, the size of its windows, the times of its noise levels."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from scoreinv.checkpoints.catalogue import load
from scoreinv.checks import shown
from scoreinv.errors import InputError, SettingError
from scoreinv.imaging.picture import Picture
from scoreinv.networks.ffdnet import FFDNet
from scoreinv.options import Device
from scoreinv.prior import ScorePrior
from scoreinv.sdes import time_at
from scoreinv.windows import covering_tile

Model = ScorePrior | str | Path
"""A model at hand, or what `scoreinv.load` takes for one."""


def model_of(prior: object) -> ScorePrior:
    """The model itself, or the one that a name or file stands for, loaded anew; SettingError for anything else.

    Raises CheckpointError where there is none such.
    """
    if isinstance(prior, str | Path):
        return load(prior)
    return check_model(prior)


def check_model(prior: object) -> ScorePrior:
    """The prior; SettingError unless it is a model."""
    if not isinstance(prior, ScorePrior):
        raise SettingError("prior", f"must be a model as scoreinv.load gives it, or its name, not {shown(prior)}")
    return prior


def device_of(choice: Device) -> str:
    """The device to use; `auto` takes CUDA, then MPS, then the CPU. Raises SettingError where it is absent."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if choice == "auto":
        return next(name for name, there in present.items() if there)
    if not present[choice]:
        available = ", ".join(name for name, there in present.items() if there)
        raise SettingError("device", f"{choice}: there is none here (available: {available})")
    return choice


def check_colour(prior: ScorePrior) -> None:
    """Raise InputError unless the model is for colour pictures."""
    if prior.channels != 3:
        raise InputError(f"this task needs a model of colour pictures, not of {prior.channels} channels")


def colours_for(picture: Picture, channels: int) -> np.ndarray:
    """What a model of so many channels sees of a picture: HxWx3 in [0, 1], or the luma HxWx1; InputError for others."""
    if channels not in (1, 3):
        raise InputError(f"this task needs a model of grey or colour pictures, not of {channels} channels")
    return picture.rgb() if channels == 3 else picture.luma()[..., None]


class Sided(Protocol):
    """A model, or its configuration: what sides of pictures it takes."""

    @property
    def stride(self) -> int: ...

    @property
    def image_size(self) -> int: ...


def check_sides(picture: Picture, model: Sided) -> None:
    """Raise InputError unless the picture's sides are multiples of the model's stride."""
    if picture.height % model.stride or picture.width % model.stride:
        raise InputError(
            f"the picture is {picture.width}x{picture.height}, and this model needs sides that are multiples of "
            f"{model.stride} (it was trained at {model.image_size}): crop the picture first"
        )


def tile_side(prior: ScorePrior) -> int:
    """Side of the windows that the model looks through: its training size, as a multiple of its stride."""
    return max(1, prior.image_size // prior.stride) * prior.stride


def wide_tile(prior: ScorePrior, height: int, width: int) -> tuple[int, int]:
    """Side and overlap of windows of up to three times `tile_side` that cover a picture in the fewest pixels."""
    tile = tile_side(prior)
    overlap = tile // 4
    return covering_tile(height, width, overlap, prior.stride, tile, 3 * tile), overlap


def start_time(prior: ScorePrior, level: float) -> float | None:
    """The time at which a picture in [0, 1] has noise of standard deviation `level`; None at or beyond t = 1.

    Raises InputError for a level below the one at which sampling ends.
    """
    low, high = prior.data_range
    ratio = torch.tensor(min(level, 1e9) * (high - low), dtype=torch.float64)
    if ratio >= prior.sde.noise_to_signal(torch.tensor(1.0, dtype=torch.float64)):
        return None
    time = float(time_at(prior.sde, ratio))
    if time <= prior.sde.sampling_end:
        raise InputError(f"a starting noise level of {level:g} is less than the model's smallest: give more")
    return time


def noise_range(prior: ScorePrior) -> tuple[float, float]:
    """The least and the largest standard deviation of noise that the prior knows, for pictures in [0, 1]."""
    low, high = prior.data_range
    ends = prior.sde.noise_to_signal(torch.tensor([prior.sde.sampling_end, 1.0], dtype=torch.float64)) / (high - low)
    return float(ends[0]), float(ends[1])


def knows_limited_noise(prior: ScorePrior) -> bool:
    """Whether it is a denoiser, which knows nothing of noise that hides the picture: nothing can be drawn from that."""
    return isinstance(prior.network, FFDNet)
