"""Named models and where they lie."""

from __future__ import annotations

from pathlib import Path

from scoreinv.checkpoints.files import load_model
from scoreinv.errors import CheckpointError
from scoreinv.prior import ScorePrior

WEIGHTS = "model.safetensors"


def bundled_folder() -> Path:
    """The folder of bundled models: inside the installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "pretrained"
    return installed if installed.is_dir() else package.parent / "pretrained"


def bundled_names() -> list[str]:
    """Names of the bundled models, sorted."""
    return sorted(path.parent.name for path in bundled_folder().glob(f"*/{WEIGHTS}"))


def locate(model: str) -> Path:
    """The file of a model: anything with `/` or a suffix is a path (a folder holds `model.safetensors`), else a name.

    Raises CheckpointError naming the bundled models when there is none of that name.
    """
    path = Path(model)
    if "/" in model or path.suffix:
        if path.is_dir():
            path = path / WEIGHTS
        if not path.is_file():
            raise CheckpointError(f"{path}: no such model file")
        return path
    bundled = bundled_folder() / model / WEIGHTS
    if not bundled.is_file():
        names = ", ".join(bundled_names()) or "none"
        raise CheckpointError(f"no bundled model is named {model!r} (there are: {names}); a path needs a / or a suffix")
    return bundled


def load(model: str | Path) -> ScorePrior:
    """The prior of a bundled name or a file: float32, on the CPU, until `prior.to` moves it.

    Raises CheckpointError as `locate` and `load_model` do.
    """
    return load_model(locate(str(model)))
