"""scoreinv's model file: safetensors, its configuration as JSON in the metadata. Reading one never runs code."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from scoreinv.checkpoints.config import ClassifierConfig, ModelConfig, model_from_dict
from scoreinv.classifier import NoiseClassifier
from scoreinv.errors import CheckpointError, InputError
from scoreinv.prior import ScorePrior

_FORMAT = "scoreinv"

Model = TypeVar("Model", ScorePrior, NoiseClassifier)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, flushed to disk, when the block ends without an error."""
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist")
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_model(
    path: Path,
    model: ScorePrior | NoiseClassifier,
    config: ModelConfig | ClassifierConfig,
    *,
    half: bool,
    notes: dict[str, Any],
) -> None:
    """Write the weights of a prior or classifier with its configuration and free notes, atomically.

    `half`: matrices and filters in float16, which has the digits that bfloat16 lacks; vectors (biases, normalisation,
    the embedding's frequencies) stay in float32.
    """
    tensors = {
        name: value.detach().to("cpu", torch.float16 if half and value.ndim > 1 else torch.float32).contiguous()
        for name, value in model.network.state_dict().items()
    }
    metadata = {"format": _FORMAT, "config": json.dumps(config.to_dict()), "notes": json.dumps(notes)}
    with atomic_write(path) as temporary:
        temporary.write_bytes(save(tensors, metadata))


def load_model(path: Path) -> ScorePrior:
    """The prior of a model file: float32, on the CPU, in evaluation mode.

    Raises CheckpointError when the file is missing, truncated, of another kind, does not fit its configuration, or has
    values that are not finite.
    """
    config, _ = read_prior_metadata(path)
    return _loaded(path, config.build())


def load_classifier(path: Path) -> NoiseClassifier:
    """The classifier of a model file, as `load_model`; raises CheckpointError also when it is that of a prior."""
    config, _ = read_metadata(path)
    if not isinstance(config, ClassifierConfig):
        raise CheckpointError(f"{path}: is a prior, not a classifier (`scoreinv train --classifier` makes one)")
    return _loaded(path, config.build())


def _loaded(path: Path, model: Model) -> Model:
    with _opened(path) as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    install(path, model, tensors)
    return model


def install(path: Path, model: ScorePrior | NoiseClassifier, tensors: dict[str, torch.Tensor]) -> None:
    """Give a model's network the weights of a file, in the memory layout that convolutions want.

    Raises CheckpointError unless they are all there, and nothing else, of the right shapes and finite.
    """
    _check_keys(path, model.network.state_dict(), tensors)
    broken = next((name for name, value in tensors.items() if not value.isfinite().all()), None)
    if broken is not None:
        raise CheckpointError(f"{path}: weights are not finite ({broken}); the file is damaged or training diverged")
    model.network.load_state_dict(tensors)
    model.network.to(memory_format=torch.channels_last)


def read_prior_metadata(path: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """`read_metadata` of a prior; CheckpointError for a classifier."""
    config, notes = read_metadata(path)
    if isinstance(config, ClassifierConfig):
        raise CheckpointError(f"{path}: is a classifier, not a prior: it goes with one, by `sample --class`")
    return config, notes


def read_metadata(path: Path) -> tuple[ModelConfig | ClassifierConfig, dict[str, Any]]:
    """Configuration and notes of a model's file, without reading its weights; CheckpointError when there is none."""
    if not path.exists():
        raise CheckpointError(f"{path}: no such model file")
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if metadata.get("format") != _FORMAT:
        raise CheckpointError(f"{path}: safetensors, but not a scoreinv model (convert it by `scoreinv convert`)")
    try:
        config, notes = json.loads(metadata["config"]), json.loads(metadata.get("notes", "{}"))
        return model_from_dict(config), notes
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: unreadable configuration: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, as configurations are written; raises CheckpointError naming the file."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not a JSON configuration: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: not a configuration, which is a JSON object")
    return content


def _check_keys(path: Path, expected: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    for name in expected.keys() - found.keys():
        raise CheckpointError(f"{path}: lacks the tensor {name}: file and configuration do not belong together")
    for name in found.keys() - expected.keys():
        raise CheckpointError(f"{path}: has the unknown tensor {name}: file and configuration do not belong together")
    for name, value in expected.items():
        if value.shape != found[name].shape:
            raise CheckpointError(
                f"{path}: {name} has shape {tuple(found[name].shape)}, the configuration says {tuple(value.shape)}"
            )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        hint = "an official .pth is read by `scoreinv convert`" if path.suffix in {".pth", ".pt"} else "truncated?"
        raise CheckpointError(f"{path}: not a readable safetensors file ({hint})") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
