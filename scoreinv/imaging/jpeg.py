"""How a JPEG was compressed: what can be known of its pixels besides them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, JpegImagePlugin


@dataclass(frozen=True, eq=False)
class Coding:
    """How the planes of a JPEG were rounded, in the picture as it is shown.

    Attributes:
        luma, chroma: 8x8, the steps to which the coefficients of a block are rounded.
        cell: height and width in pixels of a sample of chroma.
        origin: row and column, 0 or above, at which the first whole unit of blocks begins.
    """

    luma: np.ndarray
    chroma: np.ndarray
    cell: tuple[int, int]
    origin: tuple[int, int] = (0, 0)


def coding_of(image: Image.Image, orientation: int = 1) -> Coding | None:
    """The coding of an opened JPEG of grey or YCbCr samples, shown in an EXIF orientation; None of other pictures."""
    if not isinstance(image, JpegImagePlugin.JpegImageFile) or image.mode not in ("L", "RGB"):
        return None
    layers = image.layer  # of each plane: its number, samples across and down in a unit, number of its table
    _, across, down, _ = layers[0]
    unusual = any(layer[3] not in image.quantization or layer[1:3] not in (layers[0][1:3], (1, 1)) for layer in layers)
    if unusual or max(across, down) > 2 or image.info.get("adobe_transform") == 0:
        return None
    of_luma, of_chroma = (np.reshape(image.quantization[layers[at][3]], (8, 8)).astype(float) for at in (0, -1))
    cell, size = (down // layers[-1][2], across // layers[-1][1]), (image.height, image.width)
    if orientation >= 5:  # rows and columns change places
        of_luma, of_chroma, cell, size = of_luma.T, of_chroma.T, cell[::-1], size[::-1]
    cut_first = (orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7))  # the unit that the border cuts
    rows, columns = (side % (8 * each) if cut else 0 for side, each, cut in zip(size, cell, cut_first, strict=True))
    return Coding(of_luma, of_chroma, cell, (rows, columns))
