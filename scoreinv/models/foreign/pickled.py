"""Pickled files of weights (`.pth`, `.bin`), read within bounds and without running code."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoreinv.models.weights import FLOATS
from scoreinv.system.errors import CheckpointError
from scoreinv.system.memory import shortage
from scoreinv.system.text import shown


def read_pickled(path: Path) -> Any:
    """Read tensors, numbers and plain containers from a pickled file, on the CPU.

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
        if not isinstance(name, str) or not plain or value.dtype not in FLOATS.values():
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
