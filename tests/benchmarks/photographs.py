"""Photographs for the benchmarks, of which no bundled model may have been trained on any."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scoreinv.files.read import SUFFIXES, read_picture
from scoreinv.imaging.picture import Picture


def files_in(folder: Path) -> list[Path]:
    """The pictures below a folder, by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


def pictures_in(folder: Path, count: int) -> Iterator[Picture]:
    """The first so many."""
    return map(read_picture, files_in(folder)[:count])


def middle(rgb: np.ndarray, side: int) -> np.ndarray:
    """The middle of HxWx3, at most so many pixels high and wide."""
    top, left = (max(0, length - side) // 2 for length in rgb.shape[:2])
    return rgb[top : top + side, left : left + side]


def reduced(picture: Picture, shorter: int) -> np.ndarray:
    """HxWx3 in [0, 1], of a shorter side of so many pixels where it is longer."""
    scale = min(1.0, shorter / min(picture.size))
    return picture.resized_rgb(*(round(scale * side) for side in picture.size))
