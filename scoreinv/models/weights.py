"""Read weights of safetensors and pickled files, within bounds and without running code, and put them into models."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scoreinv.errors import CheckpointError
from scoreinv.machine import shortage
from scoreinv.models.codec import cut, in_file
from scoreinv.models.config import AnyConfig, AnyModel
from scoreinv.text import shown

_HEADER_BYTES = 10_000_000
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

Shapes = dict[str, tuple[int, ...]]
"""Shapes of tensors by name, which are known before values are read."""


def unfilled(path: Path, config: AnyConfig) -> AnyModel:
    """Build the model of a configuration with its networks on the device `meta`, without memory for their weights.

    Raises CheckpointError when the configuration cannot be built.
    """
    with in_file(path), torch.device("meta"):
        return config.build()


def install(path: Path, model: AnyModel, shapes: Shapes, read: Callable[[str], Tensor]) -> None:
    """Give an unfilled model its weights, in the memory layout that convolutions want.

    Args:
        shapes: of the tensors, by name.
        read: gives the values of a tensor, floating-point numbers of any kind.

    Raises CheckpointError unless they are all there, and nothing else, of the right shapes and finite, and fit into
    memory; before that is taken.
    """
    check_shapes(path, model, shapes)
    if lacking := shortage(4 * sum(math.prod(shape) for shape in shapes.values())):
        raise CheckpointError(f"{path}: {lacking}")
    for prefix, part in model.parts().items():
        weights = {}
        for name in part.state_dict():
            shape = shapes[prefix + name]
            layout = torch.channels_last if len(shape) == 4 else torch.preserve_format
            value = read(prefix + name).reshape(shape).to(torch.float32, copy=True, memory_format=layout)
            if not (value.sum().isfinite() or value.isfinite().all()):  # a sum, which may overflow, is sooner made
                raise CheckpointError(
                    f"{path}: weights are not finite ({prefix}{name}); the file is damaged or training diverged"
                )
            weights[name] = value
        part.load_state_dict(weights, assign=True)


def check_shapes(path: Path, model: AnyModel, shapes: Shapes) -> None:
    """Raise CheckpointError unless the tensors are those of the model's networks, of the same shapes."""
    apart = "file and configuration do not belong together"
    expected = {
        prefix + name: tuple(value.shape)
        for prefix, part in model.parts().items()
        for name, value in part.state_dict().items()
    }
    for name in expected.keys() - shapes.keys():
        raise CheckpointError(f"{path}: lacks the tensor {name}: {apart}")
    for name in shapes.keys() - expected.keys():
        raise CheckpointError(f"{path}: has the unknown tensor {cut(name)}: {apart}")
    for name, shape in expected.items():
        if shape != shapes[name]:
            raise CheckpointError(f"{path}: {name} has shape {shapes[name]}, the configuration says {shape}")


@contextmanager
def opened(path: Path) -> Iterator[tuple[dict[str, str], Shapes, Callable[[str], Tensor]]]:
    """Open a safetensors file: its metadata, the shapes of its tensors, and what reads the values of one.

    Raises CheckpointError if it is damaged, its header is unreasonably large, or a tensor does not hold floating-point
    numbers.
    """
    try:
        with path.open("rb") as header:
            if int.from_bytes(header.read(8), "little") > _HEADER_BYTES:
                raise SafetensorError("header too large")
        with safe_open(path, framework="pt") as file:
            shapes: Shapes = {}
            for name in file.keys():  # noqa: SIM118
                part = file.get_slice(name)
                if part.get_dtype() not in _DTYPES:
                    raise CheckpointError(f"{path}: {cut(name)} holds {part.get_dtype()}, which no weights are of")
                shapes[name] = tuple(part.get_shape())
            yield file.metadata() or {}, shapes, file.get_tensor
    except (SafetensorError, OSError) as error:
        hint = "`scoreinv convert` reads an official .pth" if path.suffix in {".pth", ".pt"} else "truncated?"
        raise CheckpointError(f"{path}: not a readable safetensors file ({hint})") from error


def read_pickled(path: Path) -> Any:
    """Read tensors, numbers and plain containers from a pickled file (`.pth`, `.bin`), on the CPU.

    Raises CheckpointError when it is missing, truncated, of another kind, holds code or other objects, or would unfold
    to more than its own size or the memory.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        size = path.stat().st_size
        if lacking := shortage(size):
            raise CheckpointError(f"{path}: {lacking}")
        if _unfolded(path) > size:
            raise CheckpointError(f"{path}: not a readable checkpoint (its entries are larger than the file)")
        with warnings.catch_warnings():  # torch's, of what it may not be able to read: it says so, then
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # the reader of pickles lets every kind of error through
        reason = "it holds code or objects other than tensors" if "weights_only" in str(error) else "truncated?"
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason}); nothing was executed") from error


def plain_tensors(path: Path, tensors: Any) -> dict[str, Tensor]:
    """Check that a pickled file's content is named tensors of floating-point numbers which all lie in the file.

    Raises CheckpointError when it is no such thing: a pickle may hold a tensor of a billion values that are one number.
    """
    if not isinstance(tensors, Mapping):
        raise CheckpointError(f"{path}: not the weights of a network")
    for name, value in tensors.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
        if not isinstance(name, str) or not plain or value.dtype not in _DTYPES.values():
            raise CheckpointError(f"{path}: {shown(name)} is not a plain tensor of floating-point numbers")
    if sum(value.numel() * value.element_size() for value in tensors.values()) > path.stat().st_size:
        raise CheckpointError(f"{path}: its tensors are larger than the file")
    return {name: value.detach() for name, value in tensors.items()}


def _unfolded(path: Path) -> int:
    """Sum the declared sizes of a zip file's entries; 0 for another file."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return 0
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())
