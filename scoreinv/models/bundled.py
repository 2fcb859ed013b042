"""The models that come with the package, and where their weights are. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from scoreinv.errors import CheckpointError

MODEL_FILE = "model.safetensors"
"""File name of a model in its own folder."""

HUB_PREFIX = "hf:"
"""Prefix of a model on the Hugging Face hub."""


def bundled_folder() -> Path:
    """Return the folder of bundled models: inside the installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "pretrained"
    return installed if installed.is_dir() else package.parent / "pretrained"


def bundled_names() -> list[str]:
    """Return the names of the bundled models, sorted."""
    return sorted(path.parent.name for path in bundled_folder().glob(f"*/{MODEL_FILE}"))


def names_bundled(model: str | Path) -> bool:
    """Tell a bundled model's name from a path, which has a / or a suffix, and from an address on the hub."""
    return isinstance(model, str) and not model.startswith(HUB_PREFIX) and "/" not in model and not Path(model).suffix


def bundled_model(name: str) -> Path:
    """Return the file of a bundled model; raises CheckpointError, which lists the names, where there is none."""
    file = bundled_folder() / name / MODEL_FILE
    if not file.is_file():
        names = ", ".join(bundled_names()) or "none"
        raise CheckpointError(f"no bundled model is named {name!r} (there are: {names}); a path needs a / or a suffix")
    return file
