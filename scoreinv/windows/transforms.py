"""Crops and orientations of pictures as tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scoreinv.windows.boxes import Box

Orientation = tuple[bool, int]
"""Whether a picture is mirrored left to right, and its quarter turns after that."""


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
    """Return the window of a picture (..., H, W): a view, or a copy if it reaches beyond the border.

    The copy repeats the last row and column. A window must not begin before the first ones.
    """
    top, left, height, width = box
    window = picture[..., top : top + height, left : left + width]
    if window.shape[-2:] == (height, width):
        return window
    rows = torch.arange(height, device=picture.device).clamp(max=window.shape[-2] - 1)
    columns = torch.arange(width, device=picture.device).clamp(max=window.shape[-1] - 1)
    return window[..., rows[:, None], columns]


def crops(batch: Tensor, boxes: Sequence[Box], samples: int) -> Tensor:
    """Return windows of one size, (len(boxes) samples, ...): for each box, those of all samples.

    Args:
        batch: (samples, ..., H, W), or (1, ..., H, W) for a picture that all samples share.
    """
    return torch.cat([crop(batch, box).expand(samples, *[-1] * (batch.ndim - 1)) for box in boxes])
