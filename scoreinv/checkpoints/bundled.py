"""Where the bundled weights lie."""

from __future__ import annotations

from pathlib import Path


def bundled_folder() -> Path:
    """The folder of bundled models: inside the installed package, or beside the package in a checkout."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "pretrained"
    return installed if installed.is_dir() else package.parent / "pretrained"
