"""Parts shared by the programs of bundled models: command-line options and photographs."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from scoreinv.system.files import MODEL_FILE, PRETRAINED


def arguments(about: str, model: str, *folders: str, **numbers: float) -> ArgumentParser:
    """Return the parser of the program of a bundled model: folders, numbers with their defaults, seed and output."""
    parser = ArgumentParser(description=about.splitlines()[0])
    for name in folders:
        parser.add_argument(name, type=Path)
    for name, value in {**numbers, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("-o", "--output", type=Path, default=PRETRAINED / model / MODEL_FILE)
    return parser


def photographs(folder: Path, model: str | None = None) -> list[Path]:
    """Return the picture files of a folder and its subfolders, except those that a bundled model holds out."""
    held_out = set() if model is None else set((PRETRAINED / model / "held_out.txt").read_text().split())
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [path for path in files if path.stem not in held_out]
