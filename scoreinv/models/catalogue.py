"""Models by name or path: locate them, load them, describe them.

Torch is imported only where a model is read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoreinv.system.errors import CheckpointError
from scoreinv.system.files import PRETRAINED
from scoreinv.system.text import shown

if TYPE_CHECKING:
    from scoreinv.models.config import AnyConfig, AnyModel, ModelConfig
    from scoreinv.models.damage_detector import DamageDetector
    from scoreinv.models.noise_classifier import NoiseClassifier
    from scoreinv.prior import ScorePrior
    from scoreinv.sdes import SDE

MODEL_FILE = "model.safetensors"  # file name of a model in its own folder
HUB_PREFIX = "hf:"  # prefix of a model on the Hugging Face hub
BUNDLED_LICENCE = "Apache-2.0"
BUNDLED_SOURCE = "trained for scoreinv, on the pictures that its card names"
"""Used for bundled models whose notes name no other."""


def bundled_names() -> list[str]:
    """Return the names of the bundled models, sorted."""
    return sorted(path.parent.name for path in PRETRAINED.glob(f"*/{MODEL_FILE}"))


def bundled_file(model: str | Path) -> Path | None:
    """Return the file of a bundled model; None for a path, which has a / or a suffix, and for an address on the hub.

    Raises CheckpointError, which lists the names, where no bundled model has this one.
    """
    if not isinstance(model, str) or model.startswith(HUB_PREFIX) or "/" in model or Path(model).suffix:
        return None
    file = PRETRAINED / model / MODEL_FILE
    if not file.is_file():
        names = ", ".join(bundled_names()) or "none"
        raise CheckpointError(f"no bundled model is named {model!r} (there are: {names}); a path needs a / or a suffix")
    return file


def locate(model: str | Path) -> Path:
    """Find a model: return its file, or its folder if that is in diffusers' format.

    `hf:OWNER/NAME` is fetched from the Hugging Face hub or found in its cache; any other text with `/` or a suffix is a
    path (a folder holds `model.safetensors` or a model of diffusers), and the rest are names of bundled models.

    Raises CheckpointError when there is none such, for a name with the names that there are.
    """
    if not isinstance(model, str | Path) or not str(model):
        raise CheckpointError(f"a model is a name or a path, not {shown(model)}")
    path = Path(model)
    try:
        if (bundled := bundled_file(model)) is not None:
            return bundled
        from scoreinv.models.foreign.diffusers import fetch, is_diffusers_folder  # which no bundled model needs

        if str(model).startswith(HUB_PREFIX):
            return fetch(str(model))
        if path.is_dir() and not (path / MODEL_FILE).is_file() and is_diffusers_folder(path):
            return path
        file = path / MODEL_FILE if path.is_dir() else path
        if file.is_file():
            return file
    except OSError as error:  # a name too long, a folder that may not be looked into
        raise CheckpointError(f"{model}: {error.strerror}") from error
    from scoreinv.models.foreign.published import (  # a table of thirty models, which no model here needs
        PUBLISHED,
        source,
    )

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
    return _load("a prior", model, sde)


def load_classifier(model: str | Path, *, sde: SDE | None = None) -> NoiseClassifier:
    """Load a classifier of noisy pictures by bundled name or file; arguments and errors as those of `load`."""
    return _load("a classifier", model, sde)


def load_damage_detector(model: str | Path) -> DamageDetector:
    """Load a damage detector by bundled name or file; errors as those of `load`."""
    return _load("a damage detector", model, None)


def _load(kind: str, model: str | Path, sde: SDE | None) -> Any:
    path = locate(model)
    loaded: AnyModel
    if path.is_dir():
        from scoreinv.models.foreign.diffusers import load_diffusers

        loaded = load_diffusers(path, sde)
    else:
        from scoreinv.models.model_file import read_model

        loaded = read_model(path, sde)
    if loaded.kind != kind:
        raise CheckpointError(f"{path}: is {loaded.kind}, not {kind}")
    return loaded


def configuration(path: Path) -> ModelConfig:
    """Read the configuration of a located prior, without its weights."""
    from scoreinv.models.config import ModelConfig

    config = _read_notes(path)[0]
    if not isinstance(config, ModelConfig):
        raise CheckpointError(f"{path}: is not a prior")
    return config


def _read_notes(path: Path) -> tuple[AnyConfig, dict[str, Any]]:
    """Read configuration and notes of a located model."""
    from scoreinv.models.foreign.diffusers import read_diffusers_config
    from scoreinv.models.model_file import read_metadata

    return (read_diffusers_config(path), {}) if path.is_dir() else read_metadata(path)


def sha256(path: Path) -> str:
    """Hash the weights of a located model; hexadecimal."""
    from scoreinv.models.foreign.diffusers import weights_file

    with (weights_file(path) if path.is_dir() else path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def full_name(model: str, path: Path) -> str:
    """Return the name of a located model; a model from the hub gets its revision."""
    return f"{model.partition('@')[0]}@{path.name}" if model.startswith(HUB_PREFIX) else model


def describe_all() -> list[dict[str, Any]]:
    """Describe the bundled models, then the paper's."""
    from scoreinv.models.foreign.published import PUBLISHED

    return [describe(name) for name in (*bundled_names(), *PUBLISHED)]


def describe(name: str) -> dict[str, Any]:
    """Describe a bundled or published name, a file, a folder or `hf:NAME`; raises CheckpointError if there is none.

    Returns:
        What `scoreinv models show` prints. `kind` is `bundled`, `published` (a model of the paper, to be fetched and
        converted, of which there is no `file`) or `file`; `megabytes` are of its file, or of one with float32 weights;
        `figures` are what is reported of it, and `notes` how it was trained, or what it was made from.
    """
    from scoreinv.models.codec import encode
    from scoreinv.models.foreign.published import FIGURES, PUBLISHED, published, source

    path: Path | None = None
    card, notes = None, None
    if name in PUBLISHED:
        config: AnyConfig = published(name).config
        kind, licence, origin, figures = "published", "Apache-2.0", source(name), FIGURES.get(name, {})
    else:
        path = locate(name)
        config, notes = _read_notes(path)
        bundled = path.parent.parent == PRETRAINED
        name, kind = full_name(name, path), "bundled" if bundled else "file"
        licence = str(notes.get("licence", BUNDLED_LICENCE if bundled else "unknown"))
        origin = str(notes.get("source", BUNDLED_SOURCE if bundled else "unknown"))
        figures = {key: value for key, value in notes.items() if key.endswith("_loss")}
        card = str(path.parent / "README.md") if bundled else None
    parameters, described = _weights(config), encode(config)
    size = path.stat().st_size if path is not None and path.is_file() else 4 * parameters
    return {
        "name": name,
        "kind": kind,
        "task": config.task,
        "parameters": parameters,
        "megabytes": round(size / 1e6, 1),
        "sde": described["sde"]["name"] if "sde" in described else None,
        "image_size": config.image_size,
        "licence": licence,
        "source": origin,
        "card": card,
        "figures": figures,
        "sampler": described.pop("sampler", None),
        "file": None if path is None else str(path),
        "sha256": None if path is None else sha256(path),
        "notes": notes,
        "config": described,
    }


def _weights(config: AnyConfig) -> int:
    """Count the weights of a configuration's file, without memory for them."""
    import torch

    from scoreinv.networks.chroma import ChromaNetwork

    with torch.device("meta"):
        networks = [config.network.build(), *([ChromaNetwork()] if getattr(config, "chroma", False) else [])]
    return sum(parameter.numel() for network in networks for parameter in network.parameters())
