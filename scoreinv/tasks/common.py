"""Helpers of tasks: loading of models, conversion of pictures, and batches of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from scoreinv.imaging.picture import Picture
from scoreinv.models.catalogue import load
from scoreinv.models.loading import LIBRARY, Models
from scoreinv.prior import ScorePrior
from scoreinv.samplers import NoiseStream
from scoreinv.sdes import time_at
from scoreinv.system.errors import InputError, ScoreinvError, SettingError
from scoreinv.system.limits import limits
from scoreinv.system.progress import Part, parts
from scoreinv.system.text import shown
from scoreinv.tasks.outcome import AnyMethod, Outcome
from scoreinv.tasks.requests import FillEstimate, SolveRequest
from scoreinv.windows.placement import covering_tile

_Row = TypeVar("_Row")
_Model = TypeVar("_Model")
Model = ScorePrior | str | Path
"""A model, or its name or path for `scoreinv.load`."""


def model_of(prior: object, default: str | None = None) -> ScorePrior:
    """Return a model, or load it from its name or file; None: the model named `default`.

    Raises SettingError for anything else, and CheckpointError if there is no such model.
    """
    return given_model(default if prior is None else prior, load, ScorePrior, "prior")


def given_model(
    model: object, load: Callable[[str | Path], _Model], kind: type[_Model], setting: str = "model"
) -> _Model:
    """Return a model of a kind, or load it from its name or file; raise SettingError for anything else."""
    if isinstance(model, str | Path):
        return load(model)
    if not isinstance(model, kind):
        raise SettingError(setting, f"must be one from scoreinv.{load.__name__}, or its name, not {shown(model)}")
    return model


def models_of(**given: Model | None) -> Models:
    """Return the models of a call from Python by role: given ones are loaded now, bundled ones when they are needed.

    Raises the errors of `model_of`.
    """
    loaded: dict[str, Any] = {role: model_of(model) for role, model in given.items() if model is not None}
    return Models(**loaded, machine=LIBRARY)


def colours_for(picture: Picture, channels: int) -> np.ndarray:
    """Return the input of a model: colours HxWx3 in [0, 1] for 3 channels, luma HxWx1 for one.

    Raises InputError for other numbers of channels.
    """
    if channels not in (1, 3):
        raise InputError(f"this task needs a model of grey or colour pictures, not of {channels} channels")
    return picture.rgb() if channels == 3 else picture.luma()[..., None]


class SizedModel(Protocol):
    """A model or its configuration, with its constraints on picture sizes."""

    @property
    def stride(self) -> int: ...

    @property
    def image_size(self) -> int: ...


def check_sides(picture: Picture, model: SizedModel) -> None:
    """Raise InputError unless the picture's sides are multiples of the model's stride."""
    if picture.height % model.stride or picture.width % model.stride:
        raise InputError(
            f"the picture is {picture.width}x{picture.height}, and this model needs sides that are multiples of "
            f"{model.stride} (it was trained at {model.image_size}): crop the picture first"
        )


def in_batches(rows: Sequence[_Row], pixels: int, most: int | None = None) -> Iterator[tuple[Sequence[_Row], Part]]:
    """Yield rows in batches that fit memory, each with its part of the work.

    Args:
        pixels: number of pixels of a row.
        most: maximum number of pixels of a batch; None: see `Limits`.
    """
    at_once = max(1, (most or limits().pixels_at_once) // pixels)
    batches = [rows[first : first + at_once] for first in range(0, len(rows), at_once)]
    yield from zip(batches, parts(map(len, batches)), strict=True)


def wide_tile(prior: ScorePrior, height: int, width: int) -> tuple[int, int]:
    """Return side and overlap of the windows, of 1 to 3 training sizes, that cover a picture with the fewest pixels."""
    tile, overlap = prior.image_size, prior.image_size // 4
    return covering_tile(height, width, overlap, prior.stride, tile, 3 * tile), overlap


def start_time(prior: ScorePrior, level: float) -> float | None:
    """Return the time at which a picture in [0, 1] has noise of standard deviation `level`; None if it is 1 or later.

    Raises SettingError for a level below the end of sampling.
    """
    low, high = prior.data_range
    ratio = torch.tensor(min(level, 1e9) * (high - low), dtype=torch.float64)
    if ratio >= prior.sde.noise_to_signal(torch.tensor(1.0, dtype=torch.float64)):
        return None
    time = float(time_at(prior.sde, ratio))
    if time <= prior.sde.sampling_end:
        raise SettingError("start", f"{level:g} is less than the model's smallest level of noise: give more")
    return time


def noise_range(prior: ScorePrior) -> tuple[float, float]:
    """Return the prior's range of noise standard deviations, for pictures in [0, 1]."""
    low, high = prior.data_range
    ends = prior.sde.noise_to_signal(torch.tensor([prior.sde.sampling_end, 1.0], dtype=torch.float64)) / (high - low)
    return float(ends[0]), float(ends[1])


def to_tensor(pictures: list[np.ndarray], device: torch.device) -> Tensor:
    """Convert HxWxC arrays of one size to (B, C, H, W) float32."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device, torch.float32).contiguous()


def to_arrays(batch: Tensor) -> list[np.ndarray]:
    """Convert (B, C, H, W) to HxWxC float32 arrays, clipped to [0, 1]."""
    return list(batch.clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy())


def finite(x: Tensor) -> Tensor:
    """Return x. Raise ScoreinvError unless every value is finite."""
    if not x.isfinite().all():
        raise ScoreinvError(
            "the model returned values that are not finite: its weights are damaged, its precision is too low (use "
            "`torch.float32`), or the guidance is too strong"
        )
    return x


class Gathered:
    """The samples of a picture as they are drawn, with their mean and standard deviation (Welford 1962).

    Sums are float32, which suffices for 8-bit levels and saves memory for large pictures.

    Args:
        finish: converts the values of a sample, or of the mean of all, (..., C) in [0, 1], to a picture.
        samples: how many there will be.
    """

    def __init__(self, finish: Callable[[np.ndarray], Picture], samples: int) -> None:
        self.finish, self.samples = finish, samples
        self.pictures: list[Picture] = []
        self._mean = self._squares = np.zeros((), np.float32)

    def add(self, values: np.ndarray, picture: Picture | None = None) -> None:
        """Add the values of a sample; its picture, if it is made already."""
        self.pictures.append(self.finish(values) if picture is None else picture)
        if len(self.pictures) == 1 and self.samples > 1:
            self._mean, self._squares = values.copy(), np.zeros_like(values)
        elif self.samples > 1:
            gap = values - self._mean
            self._mean += gap / len(self.pictures)
            gap *= values - self._mean
            self._squares += gap

    def std(self, ddof: float = 1) -> np.ndarray:
        """Return the standard deviation of the samples, (...), as rms over channels.

        ddof: the divisor is their number - ddof; see `ddof_of_pairs` for antithetic samples.
        """
        return np.sqrt(self._squares.mean(axis=-1) / (self.samples - ddof))

    def outcome(self, estimate: FillEstimate | None, nfe: int, method: AnyMethod, ddof: float = 1) -> Outcome[Picture]:
        """Return the outcome: the image is the mean of several samples if that is the estimate, else the first."""
        several = self.samples > 1
        image = self.finish(self._mean) if several and estimate == "mean" else self.pictures[0]
        return Outcome(image, self.pictures, self.std(ddof) if several else None, nfe, method)


def draw_outcome(
    draw: Callable[[NoiseStream], tuple[Tensor, int]],
    size: tuple[int, int],
    prior: ScorePrior,
    request: SolveRequest,
    finish: Callable[[np.ndarray], Picture],
    *,
    gray: bool,
    method: AnyMethod,
) -> Outcome[Picture]:
    """Draw all samples of a picture, in batches that fit memory; return their outcome.

    Args:
        draw: returns samples (B, 3, H, W) in the model's range for a stream of B, and the evaluations for each.
        size: (height, width) of the samples.
        finish: converts colours HxWx3 in [0, 1] to a picture.
        gray: the pictures are grey.
    """
    gathered, nfe = Gathered(finish, request.samples), 0
    for numbers, part in in_batches(range(request.samples), size[0] * size[1]):
        with part:
            x0, nfe = draw(NoiseStream(request.seed, len(numbers), numbers[0], prior.device))
        x0 = prior.to_image(finite(x0))
        for rgb in to_arrays(x0.mean(1, keepdim=True).expand_as(x0) if gray else x0):
            gathered.add(rgb)
    return gathered.outcome(request.estimate, nfe, method)
