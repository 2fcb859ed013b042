"""The frame of an enlarged picture: its size, mode, metadata and alpha, before it has colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from scoreinv.imaging.picture import Picture
from scoreinv.imaging.source import check_size


def enlarged(picture: Picture, factor: int) -> Picture:
    """A picture of `factor` times the size and resolution, black, with the alpha of this one, interpolated.

    Raises InputError for one that would be larger than pictures may be.
    """
    height, width = factor * picture.height, factor * picture.width
    check_size(width, height, f"the picture, {factor} times as large")
    pixels = np.zeros((height, width, *picture.pixels.shape[2:]), dtype=picture.pixels.dtype)
    if picture.has_alpha:
        alpha = Image.fromarray(picture.pixels[..., -1].astype(np.float32))
        larger = np.asarray(alpha.resize((width, height), Image.Resampling.BICUBIC)).clip(0, picture.peak)
        pixels[..., -1] = np.rint(larger) if pixels.dtype.kind == "u" else larger
    dpi = picture.metadata.dpi
    scaled = None if dpi is None else (factor * dpi[0], factor * dpi[1])
    return Picture(pixels, replace(picture.metadata, dpi=scaled))
