"""What a person wants to know of a model before using it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from scoreinv.models.bundled import bundled_folder, bundled_names
from scoreinv.models.catalogue import full_name, locate, sha256
from scoreinv.models.config import AnyConfig, AnyNetworkConfig, ClassifierConfig, ModelConfig
from scoreinv.models.diffusers_folder import read_diffusers_config
from scoreinv.models.model_file import read_metadata
from scoreinv.models.published import FIGURES, PUBLISHED, published, source
from scoreinv.networks.chroma import ChromaNetwork

BUNDLED_LICENCE = "Apache-2.0"
BUNDLED_SOURCE = "trained for scoreinv, on the pictures that its card names"
"""Of bundled models whose notes name no other."""


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
        """What it is for: a prior, a classifier of noisy pictures, or to find damage."""
        if isinstance(self.config, ModelConfig):
            return "prior"
        return "classifier" if isinstance(self.config, ClassifierConfig) else "damage"

    @property
    def megabytes(self) -> float:
        """Size of its file, or of one with float32 weights."""
        return (self.file.stat().st_size if self.file and self.file.is_file() else 4 * self.parameters) / 1e6


def describe(name: str) -> ModelDescription:
    """A bundled or published name, a file, a folder or `hf:NAME`; raises CheckpointError when there is none such."""
    return describe_published(name) if name in PUBLISHED else _describe_located(name)


def describe_all() -> list[ModelDescription]:
    """The bundled models, then the paper's."""
    return [*map(_describe_located, bundled_names()), *map(describe_published, PUBLISHED)]


def describe_published(name: str) -> ModelDescription:
    """A model of the paper, by its published name."""
    config = published(name).config
    reported = vars(FIGURES[name]) if name in FIGURES else {}
    return ModelDescription(
        name=name,
        kind="published",
        parameters=_parameters(config),
        config=config,
        licence="Apache-2.0",
        source=source(name),
        figures={figure: value for figure, value in reported.items() if value is not None},
    )


def _describe_located(name: str) -> ModelDescription:
    path = locate(name)
    config, notes = (read_diffusers_config(path), {}) if path.is_dir() else read_metadata(path)
    bundled = path.parent.parent == bundled_folder()
    return ModelDescription(
        name=full_name(name, path),
        kind="bundled" if bundled else "file",
        parameters=_parameters(config),
        config=config,
        licence=str(notes.get("licence", BUNDLED_LICENCE if bundled else "unknown")),
        source=str(notes.get("source", BUNDLED_SOURCE if bundled else "unknown")),
        card=path.parent / "README.md" if bundled else None,
        figures={key: value for key, value in notes.items() if key.endswith("_loss")},
        file=path,
        sha256=sha256(path),
        notes=notes,
    )


def _parameters(config: AnyConfig) -> int:
    """Weights of all that a file of the configuration holds."""
    chroma = isinstance(config, ModelConfig) and config.chroma
    return _weights(config.network) + (_chroma_weights() if chroma else 0)


@cache
def _weights(network: AnyNetworkConfig) -> int:
    return _count(network.build)


@cache
def _chroma_weights() -> int:
    return _count(ChromaNetwork)


def _count(build: Callable[[], nn.Module]) -> int:
    """Weights of a network, counted without memory for them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build().parameters())
