"""Boxes: rectangular parts of a picture. Imports no torch."""

from __future__ import annotations

import numpy as np

Box = tuple[int, int, int, int]
"""A rectangle in a picture: top, left, height and width, in pixels."""


def crop(values: np.ndarray, box: Box) -> np.ndarray:
    """Return the values HxW(xC) within a box, as a view."""
    top, left, height, width = box
    return values[top : top + height, left : left + width]
