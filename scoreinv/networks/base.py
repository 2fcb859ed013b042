"""Base classes of networks and of the models that read them.

A kind of network is a module here: a frozen dataclass of its options, which is what a file keeps, and the class that it
builds. A line in a table of `scoreinv.models.config` gives it the name that files call it by.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol, Self, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from scoreinv.system.errors import CheckpointError, InputError, SettingError

Module = TypeVar("Module", bound=nn.Module)


def with_weights(network: Module, path: Path, name: str) -> Module:
    """Fill a bundled network, which may lie on the device `meta`: float32, in evaluation mode, on the CPU.

    Args:
        path: a safetensors file of its weights alone.
        name: of the network, for the error.

    Raises CheckpointError when the file is missing or is not that of one.
    """
    try:
        with torch.device("cpu"):  # whatever the device that the model around it is built on
            weights = {key: value.to(torch.float32, copy=True) for key, value in load_file(path).items()}
        network.load_state_dict(weights, assign=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not the weights of the {name}: install scoreinv again") from error
    return network.eval().requires_grad_(False)


class Network(nn.Module):
    """Base of networks on pictures (B, C, H, W).

    A prior's is F(x, label, condition): pictures, noise labels (B,), conditions (B, D, H, W) to (B, C, H, W),
    differentiable in x; no condition is one of zeros. One whose configuration has `feature_channels` takes maps of
    features besides, as a fourth argument. Labels come as they are computed from times, in float64 on the CPU, whatever
    the device and dtype of x.

    Weights and what is kept with them are in its state dictionary, and lie in modules that have no others within
    (`set_precision`); other constants it makes on the CPU, whatever the device that it is built on: a file's network is
    built without memory for its weights, on the device `meta`.
    """

    config: Any
    """The options it was built from, which its model's file keeps."""
    channels: int
    """C."""
    stride: int
    """H and W are multiples of it."""

    def exact_parts(self) -> list[nn.Module]:
        """Return the modules kept in float32, where weak noise, small beside the picture, would lose its digits."""
        return []

    def set_precision(self, dtype: torch.dtype) -> None:
        """Evaluate in a dtype; below float32 the `exact_parts` stay in float32."""
        exact = self.exact_parts() if dtype.itemsize < 4 else []
        kept = {module for part in exact for module in part.modules()}
        for module in self.modules():
            if next(module.children(), None) is None:
                module.to(torch.float32 if module in kept else dtype)


class NetworkConfig(Protocol):
    """Options of a prior's network: a frozen dataclass whose fields are numbers, words, and tuples of them."""

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


class Model(nn.Module):
    """A network and how it is read, which a model's file holds: a prior, a classifier, a damage detector.

    Attributes:
        kind: what it is, in messages.
        dtypes: that it can be evaluated in.
        network: what is trained.
        image_size: side of the training pictures or crops, in pixels.
    """

    kind: ClassVar[str]
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32, torch.bfloat16)
    network: Network
    image_size: int

    def parts(self) -> dict[str, nn.Module]:
        """Return the networks whose weights its file keeps, by the prefix of their names there."""
        return {"": self.network}

    @property
    def weights(self) -> int:
        """Number of weights of all parts."""
        return sum(weight.numel() for part in self.parts().values() for weight in part.parameters())

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.network.parameters()).device

    def to(self, *args: torch.device | torch.dtype | str) -> Self:  # type: ignore[override]  # it takes less on purpose
        """Move to a device or to a dtype of evaluation; below float32 the network's `exact_parts` stay in float32.

        Raises InputError for a dtype that is none of `dtypes`, and for a device that is not there.
        """
        for target in args:
            if not isinstance(target, torch.dtype):
                try:
                    super().to(device=target)
                except torch.OutOfMemoryError:
                    raise
                except (AssertionError, RuntimeError) as error:  # by a torch without CUDA, no driver, an unknown name
                    reason = str(error).partition("\n")[0]
                    raise SettingError("device", f"{target}: cannot be used here ({reason})") from error
            elif target in self.dtypes:
                self.network.set_precision(target)
            else:
                known = " or ".join(str(dtype).removeprefix("torch.") for dtype in self.dtypes)
                raise InputError(f"{self.kind} is evaluated in {known}, not in {target}")
        return self
