"""Shared parts of recipes: command-line options, photographs, and files of weights."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from scoreinv.system.files import PRETRAINED


def arguments(about: str, output: Path, *folders: str, **numbers: float) -> ArgumentParser:
    """Return the parser of a recipe: its folders, its numbers with their defaults, a seed and the output file."""
    parser = ArgumentParser(description=about.splitlines()[0])
    for name in folders:
        parser.add_argument(name, type=Path)
    for name, value in {**numbers, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    parser.add_argument("-o", "--output", type=Path, default=output)
    return parser


def photographs(folder: Path, model: str | None = None) -> list[Path]:
    """Return the picture files of a folder and its subfolders, except those that a bundled model holds out."""
    held_out = set() if model is None else set((PRETRAINED / model / "held_out.txt").read_text().split())
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [path for path in files if path.stem not in held_out]


def store(network: nn.Module, path: Path, *, half: bool = False) -> None:
    """Write the weights of a network; `half`: matrices and filters in float16."""
    path.parent.mkdir(exist_ok=True)
    weights = {name: value.half() if half and value.ndim > 1 else value for name, value in network.state_dict().items()}
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
