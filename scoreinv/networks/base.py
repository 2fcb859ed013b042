"""Base classes of networks and models.

Each kind of network has a module with a frozen dataclass of its options, which model files store, and the class that
it builds. A table in `scoreinv.models.config` maps the name in files to the kind.
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
    """Load the weights of a bundled network, possibly on the device `meta`: float32, on the CPU, in evaluation mode.

    Args:
        path: a safetensors file of the weights.
        name: name of the network in the error.

    Raises CheckpointError if the file is missing or does not fit.
    """
    try:
        with torch.device("cpu"):  # overrides the device context of the caller
            weights = {key: value.to(torch.float32, copy=True) for key, value in load_file(path).items()}
        network.load_state_dict(weights, assign=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise CheckpointError(f"{path}: not the weights of the {name}: install scoreinv again") from error
    return network.eval().requires_grad_(False)


class Network(nn.Module):
    """Base of networks on pictures (B, C, H, W).

    The network of a prior is F(x, label, condition): pictures, noise labels (B,) and conditions (B, D, H, W) to
    (B, C, H, W), differentiable in x. No condition is equivalent to zeros. If its configuration has
    `feature_channels`, feature maps are the fourth argument. Labels are float64 on the CPU, like times, whatever the
    device and dtype of x.

    Weights and buffers are in the state dictionary, and only in modules without children (`set_precision`). Other
    constants are created on the CPU explicitly, since a file's network is built on the device `meta`.
    """

    config: Any
    """The options that it was built from, which the model file stores."""
    channels: int
    """C."""
    stride: int
    """Divisor of H and W."""

    def exact_parts(self) -> list[nn.Module]:
        """Return the modules kept in float32, where rounding would lose weak noise beside the picture."""
        return []

    def set_precision(self, dtype: torch.dtype) -> None:
        """Evaluate in a dtype; below float32 the `exact_parts` stay in float32."""
        exact = self.exact_parts() if dtype.itemsize < 4 else []
        kept = {module for part in exact for module in part.modules()}
        for module in self.modules():
            if next(module.children(), None) is None:
                module.to(torch.float32 if module in kept else dtype)


class NetworkConfig(Protocol):
    """Options of a prior's network: a frozen dataclass of numbers, strings, and tuples of these."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def channels(self) -> int:
        """Channels of the picture."""

    @property
    def condition_channels(self) -> int:
        """Channels of the condition; 0 for an unconditional network."""

    @property
    def feature_channels(self) -> tuple[int, ...]:
        """Channels of the feature maps; empty for a network without."""

    @property
    def stride(self) -> int:
        """Divisor of the sides of pictures."""

    def __hash__(self) -> int:
        """Hash all options, as a key of caches."""

    def build(self) -> Network:
        """Return the network with new weights."""


class Model(nn.Module):
    """Base of models: a network and its interpretation, as stored in a model file (prior, classifier, detector).

    Attributes:
        kind: the kind of model in messages.
        dtypes: supported dtypes of evaluation.
        network: the trained network.
        image_size: side of the training pictures or crops, in pixels.
    """

    kind: ClassVar[str]
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32, torch.bfloat16)
    network: Network
    image_size: int

    def parts(self) -> dict[str, nn.Module]:
        """Return the networks whose weights the model file stores, by the prefix of their names."""
        return {"": self.network}

    @property
    def weights(self) -> int:
        """Number of weights of all parts."""
        return sum(weight.numel() for part in self.parts().values() for weight in part.parameters())

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.network.parameters()).device

    def to(self, *args: torch.device | torch.dtype | str) -> Self:  # type: ignore[override]  # fewer arguments
        """Move to a device or a dtype of evaluation; below float32 the network's `exact_parts` stay in float32.

        Raises InputError for a dtype not in `dtypes`, and for a missing device.
        """
        for target in args:
            if not isinstance(target, torch.dtype):
                try:
                    super().to(device=target)
                except torch.OutOfMemoryError:
                    raise
                except (AssertionError, RuntimeError) as error:  # torch without CUDA, no driver, an unknown name
                    reason = str(error).partition("\n")[0]
                    raise SettingError("device", f"{target}: not available ({reason})") from error
            elif target in self.dtypes:
                self.network.set_precision(target)
            else:
                known = " or ".join(str(dtype).removeprefix("torch.") for dtype in self.dtypes)
                raise InputError(f"{self.kind} supports {known}, not {target}")
        return self
