"""Embeddings of the noise level."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def _phases(label: Tensor, frequencies: Tensor) -> Tensor:
    """label x frequencies, in float64 where the device has it: phases reach thousands of radians."""
    dtype = torch.float32 if frequencies.device.type == "mps" else torch.float64
    return label.to(frequencies.device, dtype)[:, None] * frequencies.to(dtype)[None, :]


class FourierEmbedding(nn.Module):
    """Random Fourier features of the log noise level: sin, cos(2 pi w ln s), w ~ N(0, scale^2) frozen.

    (Tancik et al. 2020; Song et al. 2021, section 4.1.) Labels (B,) > 0 to (B, 2 width).
    """

    frequencies: Tensor

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.features = 2 * width
        frequencies = torch.empty(width)
        if not frequencies.is_meta:  # where torch would load half a second's worth of its parts to draw nothing
            frequencies.normal_(std=scale)
        self.register_buffer("frequencies", frequencies)

    def forward(self, label: Tensor) -> Tensor:
        phases = _phases(label.log(), self.frequencies) * (2 * math.pi)
        return torch.cat([phases.sin(), phases.cos()], dim=1).to(torch.get_default_dtype())


class PositionalEmbedding(nn.Module):
    """Transformer features of the time index: sin, cos(label 10000^(-k/(width/2 - 1))) (Vaswani et al. 2017; DDPM).

    Labels (B,) to (B, width); an odd width is padded with a zero. The frequencies are a constant, so on the CPU (see
    `Network`).
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = width
        half = width // 2
        exponents = torch.arange(half, dtype=torch.float64, device="cpu") / max(
            half - 1, 1
        )  # a constant, see `Network`
        self.register_buffer("frequencies", (-math.log(10000) * exponents).exp().float(), persistent=False)

    def forward(self, label: Tensor) -> Tensor:
        phases = _phases(label, self.frequencies)
        features = torch.cat([phases.sin(), phases.cos()], dim=1)
        if self.features % 2:
            features = nn.functional.pad(features, (0, 1))
        return features.to(torch.get_default_dtype())
