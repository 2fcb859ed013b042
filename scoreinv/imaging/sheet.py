"""Contact sheets, captions, and maps of the standard deviation with a scale."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from scoreinv.imaging.opencv import viridis

_LEAST, _PARTS = 11, 40  # least pixels, and divisor: font size by the width, height of the colour scale by the height
_QUANTILE = 0.99  # quantile of the nonzero deviations at the end of the colour scale


def sheet_size(count: int, size: tuple[int, int], columns: int | None = None) -> tuple[int, int]:
    """Return the height and width of the `contact_sheet` of `count` pictures of a size (height, width)."""
    columns, rows = _grid(count, columns)
    return rows * size[0], columns * size[1]


def contact_sheet(pictures: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Arrange pictures (N, H, W, C) row by row, with black in the rest of the last row.

    Without `columns` the sheet is about square. Returns HxWxC of the same type, or HxW for one channel.
    """
    count, height, width, channels = pictures.shape
    columns, rows = _grid(count, columns)
    sheet = np.zeros((rows * columns, height, width, channels), pictures.dtype)
    sheet[:count] = pictures
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    return sheet[..., 0] if channels == 1 else sheet


def _grid(count: int, columns: int | None) -> tuple[int, int]:
    """Return the number of columns and rows."""
    columns = columns or math.ceil(math.sqrt(count))
    return columns, math.ceil(count / columns)


def captioned(pixels: np.ndarray, words: str) -> np.ndarray:
    """Return the picture, HxW or HxWx3 uint8, with a caption on black below it, widened to fit the text."""
    font = ImageFont.load_default(max(_LEAST, pixels.shape[1] // _PARTS))
    left, top, right, bottom = map(round, font.getbbox(words))
    margin = 4
    width = max(pixels.shape[1], right - left + 2 * margin)
    strip = Image.new("L", (width, bottom - top + 2 * margin))
    ImageDraw.Draw(strip).text((margin - left, margin - top), words, fill=255, font=font)
    line = np.asarray(strip)
    line = np.repeat(line[..., None], 3, axis=2) if pixels.ndim == 3 else line
    beside = ((0, 0), (0, width - pixels.shape[1]), *((0, 0),) * (pixels.ndim - 2))
    return np.concatenate([np.pad(pixels, beside), line])


def deviation_map(std: np.ndarray) -> np.ndarray:
    """Draw a standard deviation, HxW in [0, 1] units, as a colour map with a scale and a caption below it.

    Violet is 0. Yellow is the 99 % quantile of the nonzero deviations, which resists outliers, at least one grey level.
    The caption states the scale and the maximum. Returns uint8 with 3 channels, at least as large as the map.
    """
    deviating = std[std > 0]
    top = max(float(np.quantile(deviating, _QUANTILE, method="inverted_cdf")) if deviating.size else 0.0, 1 / 255)
    scale = np.repeat(viridis(np.linspace(0, 1, std.shape[1]))[None], max(_LEAST, std.shape[0] // _PARTS), axis=0)
    shown = np.concatenate([viridis(std / top), scale])
    beyond = 255 * float(std.max())
    more = f", at most {beyond:.1f}" if beyond > 255 * top + 0.05 else ""
    return captioned(shown, f"spread of the samples: 0 (violet) to {255 * top:.1f} (yellow) of 255 grey levels{more}")
