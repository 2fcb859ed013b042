"""Weights of networks in safetensors files.

Shapes are checked before memory is taken for the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from scoreinv.models.codec import cut
from scoreinv.networks.encoder import Encoder
from scoreinv.system.errors import CheckpointError
from scoreinv.system.files import MODEL_FILE, PRETRAINED
from scoreinv.system.memory import shortage

FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""Types of weights, by their names in safetensors."""
Shapes = dict[str, tuple[int, ...]]
"""Shapes of tensors by name."""
Parts = Mapping[str, nn.Module]
"""Networks by the prefix of their tensors' names."""
Module = TypeVar("Module", bound=nn.Module)


def read_network(path: Path, build: Callable[[], Module], prefix: str = "") -> Module:
    """Read a network that is a part of other models from its file: float32, frozen, on the CPU, in evaluation mode.

    Args:
        build: returns the network; called on the device `meta`.
        prefix: of the names of its tensors; others in the file are not read.

    Raises CheckpointError as `opened` and `install` do.
    """
    with torch.device("meta"):
        network = build()
    # The model around it may be built on the device `meta`.
    with torch.device("cpu"), opened(path) as (_, shapes, read):
        prefixed = {name: shape for name, shape in shapes.items() if name.startswith(prefix)}
        install(path, {prefix: network}, prefixed, read)
    return network.eval().requires_grad_(False)


def load_encoder() -> Encoder:
    """Load the image encoder that conditional priors and damage detectors share."""
    return read_network(PRETRAINED / "encoder" / MODEL_FILE, Encoder)


def install(path: Path, parts: Parts, shapes: Shapes, read: Callable[[str], Tensor]) -> None:
    """Fill networks with weights: float32, in the memory layout of convolutions.

    Args:
        parts: the networks by the prefix of their names; they may lie on the device `meta`.
        shapes: of the tensors, by name.
        read: returns the values of a tensor, floating-point numbers of any kind.

    Raises CheckpointError, before taking memory, unless the tensors are those of the networks and fit into memory.
    Raises CheckpointError for values that are not finite.
    """
    check_shapes(path, parts, shapes)
    if lacking := shortage(4 * sum(math.prod(shape) for shape in shapes.values())):
        raise CheckpointError(f"{path}: {lacking}")
    for prefix, part in parts.items():
        weights = {}
        for name in part.state_dict():
            shape = shapes[prefix + name]
            layout = torch.channels_last if len(shape) == 4 else torch.preserve_format
            value = read(prefix + name).reshape(shape).to(torch.float32, copy=True, memory_format=layout)
            if not (value.sum().isfinite() or value.isfinite().all()):  # the sum is faster, but may overflow
                raise CheckpointError(
                    f"{path}: weights are not finite ({prefix}{name}); the file is damaged or training diverged"
                )
            weights[name] = value
        part.load_state_dict(weights, assign=True)


def check_shapes(path: Path, parts: Parts, shapes: Shapes) -> None:
    """Raise CheckpointError unless the tensors are those of the networks, of the same shapes."""
    mismatch = "file and configuration do not belong together"
    expected = {
        prefix + name: tuple(value.shape) for prefix, part in parts.items() for name, value in part.state_dict().items()
    }
    for name in expected.keys() - shapes.keys():
        raise CheckpointError(f"{path}: lacks the tensor {name}: {mismatch}")
    for name in shapes.keys() - expected.keys():
        raise CheckpointError(f"{path}: has the unknown tensor {cut(name)}: {mismatch}")
    for name, shape in expected.items():
        if shape != shapes[name]:
            raise CheckpointError(f"{path}: {name} has shape {shapes[name]}, the configuration says {shape}")


@contextmanager
def opened(path: Path) -> Iterator[tuple[dict[str, str], Shapes, Callable[[str], Tensor]]]:
    """Open a safetensors file: yield its metadata, the shapes of its tensors, and a function that reads one.

    Raises CheckpointError if the file is damaged, or a tensor does not hold floating-point numbers.
    """
    try:
        with safe_open(path, framework="pt") as file:
            shapes: Shapes = {}
            for name in file.keys():  # noqa: SIM118
                tensor = file.get_slice(name)
                if tensor.get_dtype() not in FLOATS:
                    raise CheckpointError(
                        f"{path}: {cut(name)} holds {tensor.get_dtype()}, which is not a type of weights"
                    )
                shapes[name] = tuple(tensor.get_shape())
            yield file.metadata() or {}, shapes, file.get_tensor
    except (SafetensorError, OSError) as error:
        hint = "`scoreinv convert` reads an official .pth" if path.suffix in {".pth", ".pt"} else "truncated?"
        raise CheckpointError(f"{path}: not a readable safetensors file ({hint})") from error
