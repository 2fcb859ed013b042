"""Which files of a folder or archive are taken for pictures: their names alone decide."""

from __future__ import annotations

from pathlib import PurePath

READABLE = frozenset(
    [".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".pnm", ".pbm", ".pgm", ".ppm"]
)
"""Suffixes of the pictures that are read; a file that is named is read whatever its suffix."""


def is_hidden(path: PurePath) -> bool:
    """Whether a path within a folder is of a hidden file, or lies in a hidden folder."""
    return any(part.startswith(".") for part in path.parts)


def is_picture(path: PurePath) -> bool:
    """Whether a path within a folder is taken for a picture."""
    return path.suffix.lower() in READABLE and not is_hidden(path)
