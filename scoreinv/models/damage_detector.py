"""The detector of damage in scans of photographs."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from scoreinv.networks.detector import DetectorNetwork
from scoreinv.networks.encoder import Encoder
from scoreinv.prior import Model


class DamageDetector(Model):
    """The probability that a pixel shows damage instead of the photograph.

    Args:
        network, image_size: see `Model`.
        encoder: frozen encoder of picture content; no part of the model file.
    """

    def __init__(self, network: DetectorNetwork, image_size: int, encoder: Encoder) -> None:
        super().__init__(network, image_size)
        self.encoder = encoder

    def to(self, *args: torch.device | torch.dtype | str) -> Self:  # type: ignore[override]  # as in `Model`
        super().to(*args)  # checks them, and moves the encoder to a device
        for target in args:
            if isinstance(target, torch.dtype):
                self.encoder.to(target)
        return self

    def logits(self, pictures: Tensor) -> Tensor:
        """Return log p / (1 - p) of each pixel, (B, 1, H, W).

        pictures: (B, 3, H, W) in [0, 1], with sides in multiples of 32.
        """
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            maps = self.encoder.all_maps(pictures)
        return self.network(pictures, maps).to(pictures.dtype)
