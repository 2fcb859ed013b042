"""Models by name or path: locate them, load them, describe them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from scoreinv.errors import CheckpointError
from scoreinv.models.bundled import HUB_PREFIX, MODEL_FILE, bundled_folder, bundled_model, bundled_names, names_bundled
from scoreinv.models.config import AnyConfig, ClassifierConfig, ModelConfig
from scoreinv.models.diffusers_folder import (
    fetch,
    is_diffusers_folder,
    load_diffusers,
    read_diffusers_config,
    weights_file,
)
from scoreinv.models.model_file import read_metadata, read_model
from scoreinv.networks.chroma import ChromaNetwork
from scoreinv.networks.classifiers import NoiseClassifier
from scoreinv.networks.detector import DamageDetector
from scoreinv.prior import ScorePrior
from scoreinv.sdes import SDE
from scoreinv.text import shown

BUNDLED_LICENCE = "Apache-2.0"
BUNDLED_SOURCE = "trained for scoreinv, on the pictures that its card names"
"""Used for bundled models whose notes name no other."""

Kind = TypeVar("Kind", ScorePrior, NoiseClassifier, DamageDetector)


def locate(model: str | Path) -> Path:
    """Find a model: return its file, or its folder if that is in diffusers' format.

    `hf:OWNER/NAME` is fetched from the Hugging Face hub or found in its cache; any other text with `/` or a suffix is a
    path (a folder holds `model.safetensors` or a model of diffusers), and the rest are names of bundled models.

    Raises CheckpointError when there is none such, for a name with the names that there are.
    """
    if not isinstance(model, str | Path) or not str(model):
        raise CheckpointError(f"a model is a name or a path, not {shown(model)}")
    if str(model).startswith(HUB_PREFIX):
        return fetch(str(model).removeprefix(HUB_PREFIX))
    path = Path(model)
    try:
        if names_bundled(model):
            return bundled_model(str(model))
        if path.is_dir() and not (path / MODEL_FILE).is_file() and is_diffusers_folder(path):
            return path
        file = path / MODEL_FILE if path.is_dir() else path
        if file.is_file():
            return file
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise CheckpointError(f"{model}: {error.strerror}") from error
    from scoreinv.models.published import PUBLISHED, source  # a table of thirty models, which no model here needs

    if model in PUBLISHED:
        raise CheckpointError(f"{model}: a published model, not bundled; its weights: {source(str(model))}")
    raise CheckpointError(f"{file}: no such model file")


def load(model: str | Path, *, sde: SDE | None = None) -> ScorePrior:
    """Load the prior of a bundled name, a file, a folder, or `hf:NAME`: float32, on the CPU, until `prior.to` moves it.

        prior = scoreinv.load("photo")
        mine = scoreinv.load("runs/mine/model.safetensors", sde=MySDE())

    Args:
        sde: in place of the file's; needed by a model with an SDE of your own, which files only name.

    Raises CheckpointError when there is none such, or its file is damaged, of another kind, or does not fit the memory.
    """
    return _load(ScorePrior, model, sde)


def load_classifier(model: str | Path, *, sde: SDE | None = None) -> NoiseClassifier:
    """Load a classifier of noisy pictures by bundled name or file; arguments and errors as those of `load`."""
    return _load(NoiseClassifier, model, sde)


def load_damage_detector(model: str | Path) -> DamageDetector:
    """Load a damage detector by bundled name or file; errors as those of `load`."""
    return _load(DamageDetector, model, None)


def _load(kind: type[Kind], model: str | Path, sde: SDE | None) -> Kind:
    path = locate(model)
    loaded = load_diffusers(path, sde) if path.is_dir() else read_model(path, sde)
    if not isinstance(loaded, kind):
        raise CheckpointError(f"{path}: is {loaded.kind}, not {kind.kind}")
    return loaded


def configuration(path: Path) -> ModelConfig:
    """Read the configuration of a located prior, without its weights."""
    config = read_diffusers_config(path) if path.is_dir() else read_metadata(path)[0]
    if not isinstance(config, ModelConfig):
        raise CheckpointError(f"{path}: is not a prior")
    return config


def sha256(path: Path) -> str:
    """Hash the weights of a located model; hexadecimal."""
    with (weights_file(path) if path.is_dir() else path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def full_name(model: str, path: Path) -> str:
    """Return the name of a located model; a model from the hub gets its revision."""
    return f"{model.partition('@')[0]}@{path.name}" if model.startswith(HUB_PREFIX) else model


@dataclass(frozen=True)
class ModelDescription:
    """A model in words and figures.

    Attributes:
        name: as it is asked for.
        kind: `bundled`, `published` (a model of the paper, to be fetched and converted) or `file`.
        parameters: number of weights.
        config: all that builds it.
        licence: of the weights.
        source: where it is from.
        card: the page that tells its data, licence and limits; None where there is none.
        figures: what is reported of it.
        file: where it lies; None for a published one.
        sha256: of its weights; None for a published one.
        notes: how it was trained, or what it was made from.
    """

    name: str
    kind: str
    parameters: int
    config: AnyConfig
    licence: str
    source: str
    figures: dict[str, float]
    card: Path | None = None
    file: Path | None = None
    sha256: str | None = None
    notes: dict[str, Any] | None = None

    @property
    def task(self) -> Literal["prior", "classifier", "damage"]:
        """What the model is for."""
        if isinstance(self.config, ModelConfig):
            return "prior"
        return "classifier" if isinstance(self.config, ClassifierConfig) else "damage"

    @property
    def megabytes(self) -> float:
        """Size of its file, or of one with float32 weights."""
        return (self.file.stat().st_size if self.file and self.file.is_file() else 4 * self.parameters) / 1e6


def describe_all() -> list[ModelDescription]:
    """Describe the bundled models, then the paper's."""
    from scoreinv.models.published import PUBLISHED

    return [describe(name) for name in (*bundled_names(), *PUBLISHED)]


def describe(name: str) -> ModelDescription:
    """Describe a bundled or published name, a file, a folder or `hf:NAME`; raises CheckpointError if there is none."""
    from scoreinv.models.published import FIGURES, PUBLISHED, published, source

    if name in PUBLISHED:
        config: AnyConfig = published(name).config
        figures = FIGURES.get(name, {})
        return ModelDescription(name, "published", _weights(config), config, "Apache-2.0", source(name), figures)
    path = locate(name)
    config, notes = (read_diffusers_config(path), {}) if path.is_dir() else read_metadata(path)
    bundled = path.parent.parent == bundled_folder()
    return ModelDescription(
        name=full_name(name, path),
        kind="bundled" if bundled else "file",
        parameters=_weights(config),
        config=config,
        licence=str(notes.get("licence", BUNDLED_LICENCE if bundled else "unknown")),
        source=str(notes.get("source", BUNDLED_SOURCE if bundled else "unknown")),
        card=path.parent / "README.md" if bundled else None,
        figures={key: value for key, value in notes.items() if key.endswith("_loss")},
        file=path,
        sha256=sha256(path),
        notes=notes,
    )


def _weights(config: AnyConfig) -> int:
    """Count the weights of a configuration's file, without memory for them."""
    chroma = isinstance(config, ModelConfig) and config.chroma
    return _count(config.network) + (_count(ChromaNetwork) if chroma else 0)


@cache
def _count(network: Any) -> int:
    """Count the weights of a network, given by its options or its class."""
    with torch.device("meta"):
        built = network() if isinstance(network, type) else network.build()
    return sum(parameter.numel() for parameter in built.parameters())
