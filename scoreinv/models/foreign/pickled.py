"""Read pickled weights (`.pth`, `.bin`) without executing code and with bounded memory."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoreinv.models.weights import FLOATS, Shapes
from scoreinv.system.errors import CheckpointError
from scoreinv.system.memory import shortage
from scoreinv.system.text import shown


def read_pickled(path: Path) -> Any:
    """Read tensors, numbers and plain containers from a pickled file, on the CPU.

    Raises CheckpointError if it is missing, truncated, of another kind, holds code or other objects, or would expand
    beyond its own size or the memory.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    try:
        size = path.stat().st_size
        if lacking := shortage(size):
            raise CheckpointError(f"{path}: {lacking}")
        if _uncompressed_size(path) > size:
            raise CheckpointError(f"{path}: not a readable checkpoint (its entries are larger than the file)")
        with warnings.catch_warnings():  # torch warns before it raises
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # unpickling may raise any kind of error
        reason = "it holds code or objects other than tensors" if "weights_only" in str(error) else "truncated?"
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason}); nothing was executed") from error


def plain_tensors(path: Path, tensors: Any) -> dict[str, Tensor]:
    """Return a pickled file's tensors by name, checked to be plain floating-point tensors stored in the file.

    Raises CheckpointError otherwise: a pickle may expand one stored number to a tensor of a billion values.
    """
    if not isinstance(tensors, Mapping):
        raise CheckpointError(f"{path}: not the weights of a network")
    for name, value in tensors.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
        if not isinstance(name, str) or not plain or value.dtype not in FLOATS.values():
            raise CheckpointError(f"{path}: {shown(name)} is not a plain tensor of floating-point numbers")
    if sum(value.numel() * value.element_size() for value in tensors.values()) > path.stat().st_size:
        raise CheckpointError(f"{path}: its tensors are larger than the file")
    return {name: value.detach() for name, value in tensors.items()}


@contextmanager
def opened_pickle(path: Path) -> Iterator[tuple[dict[str, str], Shapes, Callable[[str], Tensor]]]:
    """Read a pickled file of tensors; yield the same as `weights.opened`."""
    tensors = plain_tensors(path, read_pickled(path))
    yield {}, {name: tuple(value.shape) for name, value in tensors.items()}, tensors.__getitem__


def _uncompressed_size(path: Path) -> int:
    """Return the sum of the declared sizes of a zip file's entries; 0 for other files."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return 0
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())
