"""How much memory training takes, found from the shapes of all tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from scoreinv.models.config import DetectorConfig
from scoreinv.models.peak_memory import PROGRAM_BYTES, PeakMemory
from scoreinv.networks.blocks import freeze_norms
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.networks.encoder import Encoder
from scoreinv.training.config import TrainingConfig


def training_bytes(config: TrainingConfig) -> int:
    """Least memory of a process that trains: one with less cannot do a step, though one with so much may not either.

    Weights, their average, their gradients and Adam's two moments; two batches of pictures with their noise (of which
    one is being drawn), the held-out ones, and what a step keeps of its features, in bfloat16 unless it is float32.
    """
    model = config.model
    channels = model.network.channels
    values = channels * (config.drawn_side**2 + model.image_size**2)
    shape = (config.batch_size // config.accumulate, channels, model.image_size, model.image_size)
    with FakeTensorMode():
        network, inputs = _trained(config, torch.empty(shape))
        weights = sum(parameter.numel() for parameter in network.parameters())
        with torch.enable_grad(), PeakMemory() as peak:
            outputs = network(*inputs)
            (outputs[0] if isinstance(outputs, tuple) else outputs).square().mean().backward()
    features = max(0, peak.most - 4 * weights)  # the gradients are counted apart
    features = features if config.precision == "float32" else features // 2
    pictures = 4 * values * (2 * config.batch_size + config.validated_images)
    return PROGRAM_BYTES + 5 * 4 * weights + pictures + features


def _trained(config: TrainingConfig, pictures: Tensor) -> tuple[nn.Module, tuple[Any, ...]]:
    """The network that is trained, and what it is given: with the pictures noise levels, or the maps of an encoder."""
    if config.trained == "chroma":
        chroma = ChromaNetwork()
        chroma.train_last_stages()
        side = config.model.image_size * config.encoder_scale
        return chroma, (pictures.new_empty(len(pictures), 1, side, side),)
    network = config.model.network.build()
    if config.frozen_norms:
        freeze_norms(network)
    if isinstance(config.model, DetectorConfig):
        return network, (pictures, Encoder().all_maps(pictures))
    return network, (pictures, torch.ones(len(pictures)))
