"""How much memory an evaluation of a model takes, told without taking it: followed on shapes alone."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scoreinv.checkpoints.config import ModelConfig
from scoreinv.prior import ScorePrior
from scoreinv.tasks.common import PIXELS_AT_ONCE
from scoreinv.training.config import TrainingConfig

_WORKSPACE = 1.25
"""What convolutions take besides the features, to reorder their inputs."""
_PROGRAM = 300_000_000
"""What torch and this package take themselves."""


def process_bytes(config: ModelConfig, *, itemsize: int = 4) -> int:
    """Peak memory of a process that evaluates a model at its own size, as many pictures at once as tasks do.

    The program, the weights (as loaded, in float32, and as evaluated), and what is alive of the features, followed
    through the network on shapes alone. Measured at 32, 256 and 1024 pixels in both precisions, it is within 30 %.

    itemsize: bytes of a number, 4 of float32 or 2 of bfloat16.
    """
    side = config.image_size
    batch = max(1, PIXELS_AT_ONCE // side**2)
    with FakeTensorMode():
        network = config.network.build()
        weights = sum(parameter.numel() for parameter in network.parameters())
        with torch.no_grad(), _Peak() as peak:
            network(torch.empty(batch, config.network.channels, side, side), torch.ones(batch))
    converted = 0 if itemsize == 4 else itemsize * weights
    return round(_PROGRAM + 4 * weights + converted + itemsize * _WORKSPACE * peak.most / 4)


def gradient_bytes(prior: ScorePrior, size: tuple[int, int]) -> int:
    """Memory that a vector-Jacobian product of the noise prediction of one picture of a size (height, width) takes.

    All features are kept for it. Measured with `photo` and `cifar10` at 512 pixels, it is within 15 %.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), torch.enable_grad(), _Peak() as peak:
        x = torch.empty(1, prior.channels, *size, requires_grad=True)
        noise = prior.noise(x, 0.5)
        torch.autograd.grad(noise, x, noise)
    return peak.most


def training_bytes(config: TrainingConfig) -> int:
    """Least memory of a process that trains: one with less cannot do a step, though one with so much may not either.

    Weights, their average, their gradients and Adam's two moments; two batches of pictures with their noise (of which
    one is being drawn), the held-out ones, and what a step keeps of its features, in bfloat16 unless it is float32.
    """
    model = config.model
    channels = model.network.channels
    values = channels * (config.drawn_side**2 + model.image_size**2)
    shape = (config.batch_size, channels, model.image_size, model.image_size)
    with FakeTensorMode():
        network = model.network.build()
        weights = sum(parameter.numel() for parameter in network.parameters())
        with torch.enable_grad(), _Peak() as peak:
            network(torch.empty(shape), torch.ones(shape[0])).square().mean().backward()
    features = max(0, peak.most - 4 * weights)  # the gradients are counted apart
    features = features if config.precision == "float32" else features // 2
    pictures = 4 * values * (2 * config.batch_size + config.validated_images)
    return _PROGRAM + 5 * 4 * weights + pictures + features


class _Peak(TorchDispatchMode):
    """The most bytes that tensors made under it hold at once; tensors of one storage count once."""

    def __init__(self) -> None:
        super().__init__()
        self.most = self.held = 0
        self.users: Counter[int] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._follow(tensor)
        self.most = max(self.most, self.held)
        return result

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        self.users[key] += 1
        if self.users[key] == 1:
            self.held += size
        weakref.finalize(tensor, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self.users[key] -= 1
        if not self.users[key]:
            self.held -= size
