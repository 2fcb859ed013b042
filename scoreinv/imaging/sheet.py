"""Many small pictures as one."""

from __future__ import annotations

import math

import numpy as np


def sheet_size(count: int, size: tuple[int, int], columns: int | None = None) -> tuple[int, int]:
    """Height and width of the `contact_sheet` of so many pictures of a size (height, width)."""
    columns, rows = _grid(count, columns)
    return rows * size[0], columns * size[1]


def contact_sheet(pictures: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Pictures (N, H, W, C) row by row in one of so many columns, black where the last row is short.

    Without `columns` it is about square. Returns HxWxC of the same type; HxW for one channel.
    """
    count, height, width, channels = pictures.shape
    columns, rows = _grid(count, columns)
    sheet = np.zeros((rows * columns, height, width, channels), pictures.dtype)
    sheet[:count] = pictures
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    return sheet[..., 0] if channels == 1 else sheet


def _grid(count: int, columns: int | None) -> tuple[int, int]:
    """Columns and rows."""
    columns = columns or math.ceil(math.sqrt(count))
    return columns, math.ceil(count / columns)
