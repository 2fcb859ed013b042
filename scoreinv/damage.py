"""A model that says which pixels of a scan are damage: a network on the bundled image encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scoreinv.networks.damage import DamageNetwork
from scoreinv.networks.encoder import Encoder
from scoreinv.precision import Autocasting


class DamageFinder(Autocasting):
    """The probability that a pixel shows damage, not the photograph.

    Arguments:
        network: what is trained.
        encoder: frozen; it says what the picture shows, and is no part of the model's file.
        image_size: side of the training crops, in pixels.
    """

    kind = "a finder of damage"

    def __init__(self, network: DamageNetwork, encoder: Encoder, image_size: int) -> None:
        super().__init__()
        self.network = network
        self.encoder = encoder
        self.image_size = image_size

    def parts(self) -> dict[str, nn.Module]:
        """What its file keeps the weights of, by what their names begin with there."""
        return {"": self.network}

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.network.parameters()).device

    def logits(self, pictures: Tensor) -> Tensor:
        """log p / (1 - p) of each pixel, (B, 1, H, W), of pictures (B, 3, H, W) in [0, 1], sides multiples of 32."""
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        with self.autocast(pictures):
            with torch.no_grad():
                maps = self.encoder.all_maps(pictures)
            logits = self.network(pictures, maps)
        return logits.to(pictures.dtype)
