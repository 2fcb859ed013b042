"""Which models are bundled, and where their weights lie. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from scoreinv.errors import CheckpointError

MODEL_FILE = "model.safetensors"
"""What a model's file is called, in a folder of its own."""

HUB_PREFIX = "hf:"
"""What the address of a model on the Hugging Face hub begins with."""


def bundled_folder() -> Path:
    """The folder of bundled models: inside the installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "pretrained"
    return installed if installed.is_dir() else package.parent / "pretrained"


def bundled_names() -> list[str]:
    """Names of the bundled models, sorted."""
    return sorted(path.parent.name for path in bundled_folder().glob(f"*/{MODEL_FILE}"))


def names_bundled(model: str | Path) -> bool:
    """Whether it is the name of a bundled model: no path, which has a / or a suffix, and no address on the hub."""
    return isinstance(model, str) and not model.startswith(HUB_PREFIX) and "/" not in model and not Path(model).suffix


def bundled_model(name: str) -> Path:
    """The file of a bundled model; CheckpointError, with the names that there are, where there is none such."""
    file = bundled_folder() / name / MODEL_FILE
    if not file.is_file():
        names = ", ".join(bundled_names()) or "none"
        raise CheckpointError(f"no bundled model is named {name!r} (there are: {names}); a path needs a / or a suffix")
    return file
