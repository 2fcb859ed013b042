"""Orientations and crops of pictures, and of maps that cover them, as tensors.

The posterior mean of a turned picture is the turned posterior mean, but a network's estimates differ. Their average
over orientations, a self-ensemble, is closer to it (Timofte et al. 2016, arXiv 1511.02228).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.prior import Prior
from scoreinv.system.progress import part
from scoreinv.windows.boxes import Box

Orientation = tuple[bool, int]
"""Whether a picture is mirrored left to right, and its quarter turns after that."""
UPRIGHT: tuple[Orientation, ...] = ((False, 0),)
"""The picture itself."""
MIRRORED: tuple[Orientation, ...] = ((False, 0), (True, 0))
"""For scenes, whose mirror images are equally likely."""
ALL: tuple[Orientation, ...] = tuple((mirrored, quarters) for quarters in range(4) for mirrored in (False, True))
"""All eight, for texture, which has no upright orientation."""


def turn(x: Tensor, orientation: Orientation) -> Tensor:
    """Return a picture (..., H, W) in this orientation."""
    mirrored, quarters = orientation
    return torch.rot90(x.flip(-1) if mirrored else x, quarters, (-2, -1)).contiguous()


def turn_back(x: Tensor, orientation: Orientation) -> Tensor:
    """Invert `turn`."""
    mirrored, quarters = orientation
    x = torch.rot90(x, -quarters, (-2, -1))
    return x.flip(-1) if mirrored else x


def averaged(
    prior: Prior, x: Tensor, t: Tensor, maps: tuple[Tensor, ...], orientations: tuple[Orientation, ...]
) -> Tensor:
    """Return the mean over orientations T of T^-1 noise(T x, t, T maps), by one evaluation for each."""
    estimates = []
    for number, orientation in enumerate(orientations):
        with part(number, len(orientations)):
            turned = [turn(values, orientation) for values in (x, *maps)]
            estimates.append(turn_back(prior.noise(turned[0], t, *turned[1:]), orientation))
    return torch.stack(estimates).mean(0)


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


def crops(values: Tensor, boxes: Sequence[Box], samples: int, size: tuple[int, int]) -> Tensor:
    """Return windows of pictures or of maps that cover them, (len(boxes) samples, ...): for each box, all samples.

    Args:
        values: (samples, ..., h, w), or (1, ..., h, w) if all samples share them. If h and w are multiples of the
            pictures' sides, windows are exact; coarser maps are interpolated.
        size: H and W of the pictures.
    """
    scale = values.shape[-2] // size[0]
    if values.shape[-2:] == (scale * size[0], scale * size[1]):
        windows = [crop(values, (scale * top, scale * left, scale * h, scale * w)) for top, left, h, w in boxes]
    else:
        windows = [crop_features(values, box, size) for box in boxes]
    return torch.cat([window.expand(samples, *[-1] * (values.ndim - 1)) for window in windows])


def crop_features(features: Tensor, box: Box, size: tuple[int, int]) -> Tensor:
    """Return the part of a feature map that covers a window of a picture, by bilinear interpolation.

    Args:
        features: (B, C, h, w), of the whole picture.
        box: the window in pixels; it may reach beyond the last row or column.
        size: height and width of the picture.
    """
    top, left, tall, wide = box
    height, width = features.shape[-2:]
    rows, columns = max(1, round(tall * height / size[0])), max(1, round(wide * width / size[1]))
    y = (2 * (top + tall * (torch.arange(rows) + 0.5) / rows) / size[0] - 1).to(features)
    x = (2 * (left + wide * (torch.arange(columns) + 0.5) / columns) / size[1] - 1).to(features)
    grid = torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], dim=-1)
    return F.grid_sample(features, grid.expand(len(features), -1, -1, -1), "bilinear", "border", align_corners=False)
