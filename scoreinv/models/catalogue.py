"""Named models and where they lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

from scoreinv.checks import shown
from scoreinv.classifier import NoiseClassifier
from scoreinv.damage import DamageFinder
from scoreinv.errors import CheckpointError
from scoreinv.models import model_file
from scoreinv.models.bundled import HUB_PREFIX, MODEL_FILE, bundled_model, names_bundled
from scoreinv.models.config import ModelConfig
from scoreinv.models.diffusers_folder import (
    is_diffusers_folder,
    load_diffusers,
    read_diffusers_config,
    weights_file,
)
from scoreinv.models.hub import fetch
from scoreinv.models.model_file import load_model, read_prior_metadata
from scoreinv.models.published import PUBLISHED, source
from scoreinv.prior import ScorePrior
from scoreinv.sdes import SDE


def locate(model: str | Path) -> Path:
    """Where a model lies: its file, or its folder when that is in diffusers' format.

    `hf:OWNER/NAME` is fetched from the Hugging Face hub or found in its cache; any other text with `/` or a suffix is a
    path (a folder holds `model.safetensors` or a model of diffusers), and the rest are names of bundled models.

    Raises CheckpointError when there is none such, for a name with the names that there are.
    """
    if not isinstance(model, str | Path) or not str(model):
        raise CheckpointError(f"a model is a name or a path, not {shown(model)}")
    if str(model).startswith(HUB_PREFIX):
        return fetch(str(model).removeprefix(HUB_PREFIX))
    try:
        return _located(model)
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise CheckpointError(f"{model}: {error.strerror}") from error


def _located(model: str | Path) -> Path:
    path = Path(model)
    if not names_bundled(model):
        if path.is_dir() and not (path / MODEL_FILE).is_file() and is_diffusers_folder(path):
            return path
        file = path / MODEL_FILE if path.is_dir() else path
        if not file.is_file():
            if model in PUBLISHED:
                raise CheckpointError(f"{model}: a published model, not bundled; its weights: {source(str(model))}")
            raise CheckpointError(f"{file}: no such model file")
        return file
    return bundled_model(str(model))


def load(model: str | Path, *, sde: SDE | None = None) -> ScorePrior:
    """The prior of a bundled name, a file, a folder, or `hf:NAME`: float32, on the CPU, until `prior.to` moves it.

        prior = scoreinv.load("photo")
        mine = scoreinv.load("runs/mine/model.safetensors", sde=MySDE())

    Arguments:
        sde: in place of the file's; needed by a model with an SDE of your own, which files only name.

    Raises CheckpointError as `locate`, `load_model` and `load_diffusers` do.
    """
    return load_located(locate(model), sde)


def load_located(path: Path, sde: SDE | None = None) -> ScorePrior:
    """`load` of a model that was located."""
    if path.is_dir():
        return load_diffusers(path, sde)
    return load_model(path, sde)


def load_classifier(model: str | Path, *, sde: SDE | None = None) -> NoiseClassifier:
    """The classifier of noisy pictures of a bundled name or a file; arguments and errors as those of `load`."""
    return model_file.load_classifier(locate(model), sde)


def load_damage_finder(model: str | Path) -> DamageFinder:
    """The finder of damage of a bundled name or a file; errors as those of `load`."""
    return model_file.load_damage_finder(locate(model))


def configuration(path: Path) -> ModelConfig:
    """The configuration of a prior that was located, without its weights."""
    return read_diffusers_config(path) if path.is_dir() else read_prior_metadata(path)[0]


def sha256(path: Path) -> str:
    """Hash of the weights of a model that was located, in hexadecimal."""
    with (weights_file(path) if path.is_dir() else path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def full_name(model: str, path: Path) -> str:
    """The name of a model that was located at a path, of one from the hub with its revision."""
    return f"{model.partition('@')[0]}@{path.name}" if model.startswith(HUB_PREFIX) else model
