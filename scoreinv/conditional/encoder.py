"""What a grey picture shows: maps of features of a network that was trained to name what photographs show.

A small network that learns colours alone learns tones, not things. These features know grass from stone and skin from
wood. A prior that has a `ChromaNetwork` is told the mean chroma of what is seen besides, as the initial estimate that
it starts from. All is computed once for each picture; the score network is given the features at every step.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from scoreinv.errors import CheckpointError
from scoreinv.networks.blocks import channels_last
from scoreinv.networks.encoder import Encoder

ENCODER = "encoder.safetensors"
"""Name of the file of its weights."""


def load_encoder(path: Path) -> Encoder:
    """The frozen encoder of a file: float32, on the CPU, in evaluation mode.

    Raises CheckpointError when the file is missing or is not that of an encoder.
    """
    with torch.device("meta"):  # no random weights are drawn, only to be replaced
        encoder = Encoder()
    try:
        weights = {name: value.to(torch.float32, copy=True) for name, value in load_file(path).items()}
        encoder.load_state_dict(weights, assign=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not the weights of the encoder: install scoreinv again") from error
    return channels_last(encoder.eval().requires_grad_(False))


def window(features: Tensor, box: tuple[int, int, int, int], size: tuple[int, int]) -> Tensor:
    """The part of a map that covers a window of a picture, by bilinear interpolation.

    Arguments:
        features: (B, C, h, w), over all of the picture.
        box: top, left, height and width of the window in pixels; it may reach beyond the last row or column.
        size: height and width of the picture.
    """
    top, left, tall, wide = box
    height, width = features.shape[-2:]
    rows, columns = max(1, round(tall * height / size[0])), max(1, round(wide * width / size[1]))
    y = (2 * (top + tall * (torch.arange(rows) + 0.5) / rows) / size[0] - 1).to(features)
    x = (2 * (left + wide * (torch.arange(columns) + 0.5) / columns) / size[1] - 1).to(features)
    grid = torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], dim=-1)
    return F.grid_sample(features, grid.expand(len(features), -1, -1, -1), "bilinear", "border", align_corners=False)
