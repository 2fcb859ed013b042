"""Model files: safetensors with the configuration as JSON in the metadata.

What a file says of itself is checked before memory is taken for it; of other formats' files weights are read so too.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialised

from scoreinv.models.codec import encode, in_file, parse_json
from scoreinv.models.config import AnyConfig, AnyModel, DetectorConfig, NamedSDE, config_of, decode_model
from scoreinv.models.weights import check_shapes, install, opened
from scoreinv.sdes import SDE
from scoreinv.system.errors import CheckpointError, SettingError
from scoreinv.system.files import atomic_write
from scoreinv.system.text import shown

_FORMAT = "scoreinv"


def save(model: AnyModel, path: str | Path, *, half: bool = False, notes: dict[str, Any] | None = None) -> None:
    """Write a model to a file that `load` (`load_classifier`, `load_damage_detector`) reads; replace an existing one.

    Args:
        path: of a safetensors file; its configuration goes into the metadata.
        half: write matrices and filters in float16, which has the digits that bfloat16 lacks; vectors (biases,
            normalisation, the embedding's frequencies) stay in float32.
        notes: entries of anything that JSON can hold, for people to read.

    Of an SDE of your own its name is kept, and `load` must be given it.

    Raises InputError where nothing can be written there or the notes are no entries, CheckpointError for a model of
    parts that files have no name for, such as a preconditioning of your own.
    """
    if notes is not None and not isinstance(notes, dict):
        raise SettingError("notes", f"must be a dict, not {shown(notes)}")
    config = json.dumps(encode(config_of(model)))
    tensors = {}
    for prefix, part in model.parts().items():
        for name, value in part.state_dict().items():
            dtype = torch.float16 if half and value.ndim > 1 else torch.float32
            tensors[prefix + name] = value.detach().to("cpu", dtype).contiguous()
    with atomic_write(Path(path)) as temporary:
        metadata = {"format": _FORMAT, "config": config, "notes": json.dumps(notes or {})}
        temporary.write_bytes(serialised(tensors, metadata))


def read_model(path: Path, sde: SDE | None = None) -> AnyModel:
    """Read the model of a file: float32, on the CPU, in evaluation mode.

    sde: in place of the one that the file names.

    Raises CheckpointError when the file is missing, truncated, of another kind, does not fit its configuration or the
    memory, or has values that are not finite; and where it has an SDE of your own and none is given.
    """
    with opened(path) as (metadata, shapes, read):
        config, _ = _described(path, metadata)
        if sde is not None and not isinstance(config, DetectorConfig):
            config = replace(config, sde=sde)
        if isinstance(config.sde, NamedSDE):
            raise CheckpointError(f"{path}: {config.sde.missing()}")
        model = unfilled(path, config)
        install(path, model.parts(), shapes, read)
    return model


def read_metadata(path: Path) -> tuple[AnyConfig, dict[str, Any]]:
    """Read configuration and notes of a model's file, and check the shapes of its tensors.

    Their values are not read. Raises CheckpointError when there is no such file, and when they do not fit.
    """
    with opened(path) as (metadata, shapes, _):
        config, notes = _described(path, metadata)
        if not isinstance(config.sde, NamedSDE):  # which builds no model
            check_shapes(path, unfilled(path, config).parts(), shapes)
    return config, notes


def _described(path: Path, metadata: dict[str, str]) -> tuple[AnyConfig, dict[str, Any]]:
    """Decode configuration and notes of a file."""
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: safetensors, but not a scoreinv model (official ones: `scoreinv convert`)")
    with in_file(path):
        if "config" not in metadata:
            raise CheckpointError("holds no configuration")
        return decode_model(parse_json(metadata["config"])), parse_json(metadata.get("notes", "{}"))


def unfilled(path: Path, config: AnyConfig) -> AnyModel:
    """Build the model of a configuration with its networks on the device `meta`, without memory for their weights.

    Raises CheckpointError when the configuration cannot be built.
    """
    with in_file(path), torch.device("meta"):
        return config.build()
