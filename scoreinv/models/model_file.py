"""scoreinv's model file: safetensors, its configuration as JSON in the metadata. Reading one never runs code."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialised
from torch import Tensor, nn

from scoreinv.checks import shown
from scoreinv.classifier import NoiseClassifier
from scoreinv.damage import DamageFinder
from scoreinv.errors import CheckpointError, SettingError
from scoreinv.files import atomic_write
from scoreinv.machine import shortage
from scoreinv.models.codec import cut, in_file, parse_json
from scoreinv.models.config import (
    AnyConfig,
    AnyNetworkConfig,
    ClassifierConfig,
    DamageConfig,
    ModelConfig,
    NamedSDE,
    model_from_dict,
)
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.networks.layers import channels_last
from scoreinv.prior import ScorePrior
from scoreinv.sdes import SDE

Parts = dict[str, Any]
"""Networks by what the names of their weights begin with in a file; the first has no such beginning."""

_FORMAT = "scoreinv"
_HEADER_BYTES = 10_000_000
_DTYPES = ("F64", "F32", "F16", "BF16")


AnyModel = ScorePrior | NoiseClassifier | DamageFinder
"""What a file is written of."""


def save(model: AnyModel, path: str | Path, *, half: bool = False, notes: dict[str, Any] | None = None) -> None:
    """Write a model to a file that `load` (`load_classifier`, `load_damage_finder`) reads, in place of what is there.

    Arguments:
        path: of a safetensors file; its configuration goes into the metadata.
        half: see `save_model`.
        notes: entries of anything that JSON can hold, for people to read.

    Of an SDE of your own its name is kept, and `load` must be given it.

    Raises InputError where nothing can be written there or the notes are no entries, CheckpointError for a model of
    parts that files have no name for, such as a preconditioning of your own.
    """
    if notes is not None and not isinstance(notes, dict):
        raise SettingError("notes", f"must be a dict, not {shown(notes)}")
    save_model(Path(path), model, _configuration(model), half=half, notes=notes or {})


def _configuration(model: AnyModel) -> AnyConfig:
    if isinstance(model, ScorePrior):
        return ModelConfig.of(model)
    return DamageConfig.of(model) if isinstance(model, DamageFinder) else ClassifierConfig.of(model)


def save_model(
    path: Path,
    model: AnyModel,
    config: AnyConfig,
    *,
    half: bool,
    notes: dict[str, Any],
) -> None:
    """Write the weights of a model with its configuration and free notes, atomically.

    `half`: matrices and filters in float16, which has the digits that bfloat16 lacks; vectors (biases, normalisation,
    the embedding's frequencies) stay in float32.
    """
    tensors = {
        name: value.detach().to("cpu", torch.float16 if half and value.ndim > 1 else torch.float32).contiguous()
        for name, value in _state(model.parts()).items()
    }
    metadata = {"format": _FORMAT, "config": json.dumps(config.to_dict()), "notes": json.dumps(notes)}
    with atomic_write(path) as temporary:
        temporary.write_bytes(serialised(tensors, metadata))


@dataclass(frozen=True)
class Stored:
    """A tensor of a file, whose shape is known before its values are read.

    Attributes:
        shape: of the tensor.
        read: its values, of any kind of floating-point number.
    """

    shape: tuple[int, ...]
    read: Callable[[], Tensor]


def load_model(path: Path, sde: SDE | None = None) -> ScorePrior:
    """The prior of a model file: float32, on the CPU, in evaluation mode.

    sde: in place of the one that the file names.

    Raises CheckpointError when the file is missing, truncated, of another kind, does not fit its configuration or the
    memory, or has values that are not finite; and where it has an SDE of your own and none is given.
    """
    parts, config, _ = _read(path)
    config = _check_prior(path, config)
    prior = replace(config, sde=_sde(path, config.sde, sde)).around(*parts.values())
    _fill(path, parts)
    return prior


def load_classifier(path: Path, sde: SDE | None = None) -> NoiseClassifier:
    """The classifier of a model file, as `load_model`; raises CheckpointError also when it is that of a prior."""
    parts, config, _ = _read(path)
    if not isinstance(config, ClassifierConfig):
        raise CheckpointError(f"{path}: is {_kind(config)}, not a classifier (`classifier_training` makes one)")
    classifier = replace(config, sde=_sde(path, config.sde, sde)).around(*parts.values())
    _fill(path, parts)
    return classifier


def load_damage_finder(path: Path) -> DamageFinder:
    """The finder of damage of a model file, as `load_model`; raises CheckpointError also when it is of another kind."""
    parts, config, _ = _read(path)
    if not isinstance(config, DamageConfig):
        raise CheckpointError(f"{path}: is {_kind(config)}, and finds no damage (`damage_training` makes what does)")
    finder = config.around(*parts.values())
    _fill(path, parts)
    return finder


def _sde(path: Path, stored: SDE, given: SDE | None) -> SDE:
    if given is None and isinstance(stored, NamedSDE):
        raise CheckpointError(f"{path}: {stored.missing()}")
    return given or stored


def _fill(path: Path, parts: Parts) -> None:
    with opened(path) as file:
        tensors = stored_tensors(path, file)
        _check_shapes(path, parts, tensors)
        for prefix, part in parts.items():
            install(path, part, {name: tensors[prefix + name] for name in part.state_dict()})


def unfilled(path: Path, config: AnyNetworkConfig) -> Any:
    """The network of a file's configuration without memory for its weights, on the device `meta`.

    Raises CheckpointError when the configuration cannot be built.
    """
    with in_file(path), torch.device("meta"):
        return config.build()


def _unfilled_parts(path: Path, config: AnyConfig) -> Parts:
    """`unfilled`, and the other parts of a model, which have no options."""
    parts: Parts = {"": unfilled(path, config.network)}
    if isinstance(config, ModelConfig) and config.chroma:
        with torch.device("meta"):
            parts["chroma."] = ChromaNetwork()
    return parts


def install(path: Path, network: nn.Module, tensors: Mapping[str, Stored]) -> None:
    """Give an unfilled network its weights, in the memory layout that convolutions want.

    Raises CheckpointError unless they are all there, and nothing else, of the right shapes and finite, and fit into
    memory; before that is taken.
    """
    _check_shapes(path, {"": network}, tensors)
    if lacking := shortage(4 * sum(math.prod(tensor.shape) for tensor in tensors.values())):
        raise CheckpointError(f"{path}: {lacking}")
    weights = {}
    for name, tensor in tensors.items():
        weights[name] = value = tensor.read().to(torch.float32, copy=True).reshape(tensor.shape)
        if not value.isfinite().all():
            raise CheckpointError(f"{path}: weights are not finite ({name}); the file is damaged or training diverged")
    network.load_state_dict(weights, assign=True)
    channels_last(network)


def read_prior_metadata(path: Path) -> tuple[ModelConfig, dict[str, Any]]:
    """`read_metadata` of a prior; CheckpointError for another kind."""
    config, notes = read_metadata(path)
    return _check_prior(path, config), notes


def read_metadata(path: Path) -> tuple[AnyConfig, dict[str, Any]]:
    """Configuration and notes of a model's file, whose tensors have the shapes that it asks for.

    Their values are not read. Raises CheckpointError when there is no such file, and when they do not fit.
    """
    _, config, notes = _read(path)
    return config, notes


def _read(path: Path) -> tuple[Parts, AnyConfig, dict[str, Any]]:
    """The unfilled parts of a file, its configuration and notes."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such model file")
    with opened(path) as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != _FORMAT:
            raise CheckpointError(f"{path}: safetensors, but not a scoreinv model (official ones: `load_official`)")
        tensors = stored_tensors(path, file)
    with in_file(path):
        if "config" not in metadata:
            raise CheckpointError("holds no configuration")
        config, notes = model_from_dict(parse_json(metadata["config"])), parse_json(metadata.get("notes", "{}"))
    parts = _unfilled_parts(path, config)
    _check_shapes(path, parts, tensors)
    return parts, config, notes


def _check_prior(path: Path, config: AnyConfig) -> ModelConfig:
    if isinstance(config, ClassifierConfig):
        raise CheckpointError(f"{path}: is a classifier, not a prior: it goes with one, by `generate`")
    if isinstance(config, DamageConfig):
        raise CheckpointError(f"{path}: is {_kind(config)}, not a prior: it goes with `find_damage`")
    return config


def _kind(config: AnyConfig) -> str:
    """What a model is, with its article."""
    if isinstance(config, ModelConfig):
        return "a prior"
    return "a finder of damage" if isinstance(config, DamageConfig) else "a classifier"


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A safetensors file, whose header is of bearable size; raises CheckpointError when it is damaged."""
    try:
        with path.open("rb") as file:
            if int.from_bytes(file.read(8), "little") > _HEADER_BYTES:
                raise SafetensorError("header too large")
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        hint = "an official .pth is read by `load_official`" if path.suffix in {".pth", ".pt"} else "truncated?"
        raise CheckpointError(f"{path}: not a readable safetensors file ({hint})") from error


def stored_tensors(path: Path, file: Any) -> dict[str, Stored]:
    """The tensors of an opened file; raises CheckpointError when one is not of floating-point numbers."""
    tensors = {}
    for name in file.keys():  # noqa: SIM118
        part = file.get_slice(name)
        if part.get_dtype() not in _DTYPES:
            raise CheckpointError(f"{path}: {cut(name)} holds {part.get_dtype()}, which no weights are of")
        tensors[name] = Stored(tuple(part.get_shape()), partial(file.get_tensor, name))
    return tensors


def in_memory(tensors: Mapping[str, Tensor]) -> dict[str, Stored]:
    """Tensors that were read already, as those of a file."""
    return {name: Stored(tuple(value.shape), value.detach) for name, value in tensors.items()}


def _state(parts: Parts) -> dict[str, Tensor]:
    """All weights of a model's parts, by their names in its file."""
    return {prefix + name: value for prefix, part in parts.items() for name, value in part.state_dict().items()}


def _check_shapes(path: Path, parts: Parts, tensors: Mapping[str, Stored]) -> None:
    apart = "file and configuration do not belong together"
    expected = {name: tuple(value.shape) for name, value in _state(parts).items()}
    for name in expected.keys() - tensors.keys():
        raise CheckpointError(f"{path}: lacks the tensor {name}: {apart}")
    for name in tensors.keys() - expected.keys():
        raise CheckpointError(f"{path}: has the unknown tensor {cut(name)}: {apart}")
    for name, shape in expected.items():
        if shape != tensors[name].shape:
            raise CheckpointError(f"{path}: {name} has shape {tensors[name].shape}, the configuration says {shape}")
