"""What a prior asks of its network, and what a model's file says of it.

A kind of network is a module here: a frozen dataclass of its options, which is what a file keeps, and the class that it
builds. A line in the table of `scoreinv.models.config` gives it the name that files call it by.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn


class Network(nn.Module, ABC):
    """F(x, label, condition): pictures (B, C, H, W), noise labels (B,), conditions (B, D, H, W) to (B, C, H, W).

    Labels come as they are computed from times, in float64 on the CPU, whatever the device and dtype of x. Weights and
    what is kept with them are in its state dictionary, and lie in modules that have no others within (`set_precision`);
    other constants it makes on the CPU, whatever the device that it is built on: a file's network is built without
    memory for its weights, on the device `meta`. One whose configuration has `feature_channels` takes maps of features
    besides, as a fourth argument.
    """

    config: NetworkConfig
    """The options that it was built by, which its model's file keeps."""
    channels: int
    """C, of the picture."""
    stride: int
    """H and W are multiples of it."""

    @abstractmethod
    def forward(self, x: Tensor, label: Tensor, condition: Tensor | None = None) -> Tensor:
        """Differentiable in x; no condition is one of zeros."""

    def exact_parts(self) -> list[nn.Module]:
        """What is never evaluated below float32: where weak noise, small beside the picture, would lose its digits."""
        return []

    def set_precision(self, dtype: torch.dtype) -> None:
        """Evaluate in a dtype; below float32 the `exact_parts` stay in float32."""
        exact = self.exact_parts() if dtype.itemsize < 4 else []
        kept = {module for part in exact for module in part.modules()}
        for module in self.modules():
            if next(module.children(), None) is None:
                module.to(torch.float32 if module in kept else dtype)


class NetworkConfig(Protocol):
    """Options of a network: a frozen dataclass whose fields are numbers, words, and tuples of them."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def channels(self) -> int:
        """Of the picture."""

    @property
    def condition_channels(self) -> int:
        """Of what is known of the picture, given beside it; 0 for a network that takes no observation."""

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Of maps of features of what the picture shows; empty for a network that takes none."""

    @property
    def stride(self) -> int:
        """Sides of pictures are multiples of it."""

    def __hash__(self) -> int:
        """Hash of all options, so that what is counted of a network can be cached."""

    def build(self) -> Network:
        """The network with fresh weights."""
