"""How much memory training takes, found from the shapes of all tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
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
        shown = torch.empty(shape)
        if config.trained == "chroma":
            chroma = ChromaNetwork()
            chroma.train_last_stages()
            network: nn.Module = chroma
            side = model.image_size * config.encoder_scale
            inputs: tuple[Any, ...] = (shown.new_empty(len(shown), 1, side, side),)
        else:
            network = model.network.build()
            if config.frozen_norms:
                freeze_norms(network)
            inputs = (shown, Encoder().all_maps(shown) if isinstance(model, DetectorConfig) else torch.ones(len(shown)))
        weights = sum(parameter.numel() for parameter in network.parameters())
        with torch.enable_grad(), PeakMemory() as peak:
            outputs = network(*inputs)
            (outputs[0] if isinstance(outputs, tuple) else outputs).square().mean().backward()
    features = max(0, peak.most - 4 * weights)  # the gradients are counted apart
    features = features if config.precision == "float32" else features // 2
    pictures = 4 * values * (2 * config.batch_size + config.validated_images)
    return PROGRAM_BYTES + 5 * 4 * weights + pictures + features
