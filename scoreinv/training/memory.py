"""How much memory training takes, found from the shapes of all tensors."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from scoreinv.checkpoints.memory import PROGRAM_BYTES, PeakMemory
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
        network = model.network.build()
        weights = sum(parameter.numel() for parameter in network.parameters())
        with torch.enable_grad(), PeakMemory() as peak:
            network(torch.empty(shape), torch.ones(shape[0])).square().mean().backward()
    features = max(0, peak.most - 4 * weights)  # the gradients are counted apart
    features = features if config.precision == "float32" else features // 2
    pictures = 4 * values * (2 * config.batch_size + config.validated_images)
    return PROGRAM_BYTES + 5 * 4 * weights + pictures + features
