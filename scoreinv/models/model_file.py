"""Model files: safetensors with the configuration as JSON in the metadata.

A file's header is checked before memory is allocated for its weights. Weights of foreign formats are installed the same
way.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialised

from scoreinv.models.codec import encode, in_file, parse_json
from scoreinv.models.config import NamedSDE, PriorConfig, config_of, decode_model
from scoreinv.models.weights import check_shapes, install, opened
from scoreinv.prior import Model
from scoreinv.sdes import SDE, VE
from scoreinv.system.errors import CheckpointError, SettingError
from scoreinv.system.files import atomic_write
from scoreinv.system.text import shown

_FORMAT = "scoreinv"


def save(model: Model, path: str | Path, *, half: bool = False, notes: dict[str, Any] | None = None) -> None:
    """Write a model to a file that `load` or its like reads; replace an existing file.

    Args:
        path: the safetensors file.
        half: write matrices and filters in float16, which is more precise than bfloat16; vectors (biases,
            normalisation, the embedding's frequencies) stay in float32.
        notes: JSON-serialisable entries for human readers.

    A custom SDE is stored by name only, so `load` needs it as an argument.

    Raises:
        InputError: the file cannot be written, or the notes are not a dict.
        CheckpointError: a part of the model has no name in files, such as a custom preconditioning, or a weight is not
            finite in the file's precision.
    """
    if notes is not None and not isinstance(notes, dict):
        raise SettingError("notes", f"must be a dict, not {shown(notes)}")
    config = json.dumps(encode(config_of(model)))
    tensors = {}
    for prefix, part in model.parts().items():
        for name, value in part.state_dict().items():
            dtype = torch.float16 if half and value.ndim > 1 else torch.float32
            tensors[prefix + name] = stored = value.detach().to("cpu", dtype).contiguous()
            if not stored.isfinite().all():
                kind = str(dtype).removeprefix("torch.")
                raise CheckpointError(f"{path}: {prefix}{name} has values that are not finite in {kind}")
    with atomic_write(Path(path)) as temporary:
        metadata = {"format": _FORMAT, "config": config, "notes": json.dumps(notes or {})}
        temporary.write_bytes(serialised(tensors, metadata))


def read_model(path: Path, sde: SDE | None = None, kind: str | None = None) -> Any:
    """Read a model in float32, on the CPU, in evaluation mode.

    Args:
        sde: replaces the file's SDE.
        kind: the expected kind, see `config.KINDS`; `prior` stands for all priors, None for any kind.

    Raises CheckpointError if the file is missing, truncated, of another kind, too large for memory, does not fit its
    configuration or has values that are not finite, or if it needs a custom SDE and none is given.
    """
    with opened(path) as (metadata, shapes, read):
        config, _ = _described(path, metadata)
        if not (kind in (None, config.kind) or (kind == "prior" and isinstance(config, PriorConfig))):
            raise CheckpointError(f"{path}: its kind is {config.kind}, not {kind}")
        if sde is not None and config.sde is not None:
            config = replace(config, sde=sde)
        if isinstance(config.sde, NamedSDE):
            raise CheckpointError(f"{path}: {config.sde.missing()}")
        model = unfilled(path, config)
        install(path, model.parts(), shapes, read)
    return model


def read_metadata(path: Path) -> tuple[Any, dict[str, Any]]:
    """Read configuration and notes of a model's file, and check the shapes of its tensors but not their values.

    Raises CheckpointError if the file is missing or the shapes do not fit.
    """
    with opened(path) as (metadata, shapes, _):
        config, notes = _described(path, metadata)
        check_shapes(path, unfilled(path, config).parts(), shapes)
    return config, notes


def _described(path: Path, metadata: dict[str, str]) -> tuple[Any, dict[str, Any]]:
    """Decode configuration and notes of a file."""
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: safetensors, but not a scoreinv model (official ones: `scoreinv convert`)")
    with in_file(path):
        if "config" not in metadata:
            raise CheckpointError("holds no configuration")
        return decode_model(parse_json(metadata["config"])), parse_json(metadata.get("notes", "{}"))


def unfilled(path: Path, config: Any) -> Any:
    """Build a model with its networks on the device `meta`, without memory for their weights.

    Raises CheckpointError if the configuration cannot be built.
    """
    if isinstance(config.sde, NamedSDE):
        config = replace(config, sde=VE())  # a placeholder builds no model, and the SDE has no weights
    with in_file(path), torch.device("meta"):
        return config.build()
