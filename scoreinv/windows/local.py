"""Windows and turns of pictures, and the priors whose observation follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from scoreinv.prior import Prior, PriorWrapper
from scoreinv.system.errors import InputError
from scoreinv.windows.boxes import Box

Orientation = tuple[bool, int]
"""Whether a picture is mirrored left to right, and its quarter turns after that."""


@runtime_checkable
class Local(Protocol):
    """A prior with an observation that can be cropped and turned with the picture."""

    def windows(self, boxes: Sequence[Box], samples: int) -> Prior:
        """Return the prior over crops of one size: row k of its batch is box k // samples."""
        ...

    def turned(self, orientation: Orientation) -> Prior:
        """Return the prior of the picture in this orientation."""
        ...


def check_local(prior: Prior) -> None:
    """Raise InputError if the prior holds an observation that does not follow windows and turns."""
    inner = prior
    while isinstance(inner, PriorWrapper) and not isinstance(prior, Local):
        if hasattr(inner, "operator"):
            order = f"put the tiles inside, {type(inner).__name__}(Tiled(...), ...)"
            raise InputError(f"an observation is of the whole picture: {order}")
        inner = inner.prior


def in_windows(prior: Prior, boxes: Sequence[Box], samples: int) -> Prior:
    """Return the prior over crops; the prior itself if it holds no observation."""
    return prior.windows(boxes, samples) if isinstance(prior, Local) else prior


def turned(prior: Prior, orientation: Orientation) -> Prior:
    """Return the prior of the turned picture; the prior itself if it holds no observation."""
    return prior.turned(orientation) if isinstance(prior, Local) else prior


def turn(x: Tensor, orientation: Orientation) -> Tensor:
    """Return a picture (..., H, W) in this orientation."""
    mirrored, quarters = orientation
    return torch.rot90(x.flip(-1) if mirrored else x, quarters, (-2, -1)).contiguous()


def turn_back(x: Tensor, orientation: Orientation) -> Tensor:
    """Invert `turn`."""
    mirrored, quarters = orientation
    x = torch.rot90(x, -quarters, (-2, -1))
    return x.flip(-1) if mirrored else x


def crop(picture: Tensor, box: Box) -> Tensor:
    """Return the window of a picture (..., H, W); the last row and column are repeated beyond its border."""
    top, left, height, width = box
    window = picture[..., top : top + height, left : left + width]
    if window.shape[-2:] == (height, width):
        return window
    rows = torch.arange(height, device=picture.device).clamp(max=window.shape[-2] - 1)
    columns = torch.arange(width, device=picture.device).clamp(max=window.shape[-1] - 1)
    return window[..., rows[:, None], columns]


def crops(batch: Tensor, boxes: Sequence[Box], samples: int) -> Tensor:
    """Return windows of one size, those of each box in turn, of a batch of `samples` or of one picture for all."""
    return torch.cat([crop(batch, box).expand(samples, *[-1] * (batch.ndim - 1)) for box in boxes])
