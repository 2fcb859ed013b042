"""Reading pickled checkpoints (`.pth`, `.bin`) without executing anything in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from scoreinv.errors import CheckpointError


def read_pickled(path: Path) -> Any:
    """What a file holds of tensors, numbers and plain containers, on the CPU.

    Raises CheckpointError when it is truncated, of another kind, or holds code or other objects.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, BadZipFile, OSError, ValueError, KeyError) as error:
        reason = "it holds code or objects other than tensors" if "weights_only" in str(error) else "truncated?"
        raise CheckpointError(f"{path}: not a readable checkpoint ({reason}); nothing was executed") from error
