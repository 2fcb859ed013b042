"""What tasks share: the model that is asked for, its windows and noise levels; pictures as tensors and back."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from scoreinv.errors import InputError, ScoreinvError, SettingError
from scoreinv.imaging.picture import Picture
from scoreinv.models.catalogue import load
from scoreinv.prior import ScorePrior
from scoreinv.sdes import time_at
from scoreinv.text import shown
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


def to_tensor(pictures: list[np.ndarray], device: torch.device) -> Tensor:
    """HxWxC arrays of one size as (B, C, H, W) float32."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device, torch.float32).contiguous()


def to_arrays(batch: Tensor) -> list[np.ndarray]:
    """(B, C, H, W) as HxWxC float32 arrays, clipped to [0, 1]."""
    return list(batch.clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy())


def spread(samples: np.ndarray, ddof: int = 1) -> np.ndarray:
    """Standard deviation over the first axis, root mean square over the last: (S, ..., C) to (...)."""
    return np.sqrt(samples.var(axis=0, ddof=ddof).mean(axis=-1)).astype(np.float32)


def finite(x: Tensor) -> Tensor:
    """x itself; ScoreinvError unless every value is finite."""
    if not x.isfinite().all():
        raise ScoreinvError(
            "the model gave values that are not finite: its weights are damaged, its precision is too low (take "
            "`torch.float32`), or the guidance is too strong"
        )
    return x


class RunningSpread:
    """Mean and spread of pictures, HxWxC float32, that come one by one (Welford 1962).

    They are held in the pictures' type, which is closer than their levels: of a large picture each copy counts.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self._squares = np.zeros((), np.float32)

    def add(self, rgb: np.ndarray) -> None:
        self.count += 1
        if self.count == 1:
            self.mean, self._squares = rgb.copy(), np.zeros_like(rgb)
            return
        gap = rgb - self.mean
        self.mean += gap / self.count
        gap *= rgb - self.mean
        self._squares += gap

    @property
    def std(self) -> np.ndarray:
        """HxW: standard deviation, root mean square over the channels."""
        return np.sqrt(self._squares.mean(axis=-1) / (self.count - 1))
