"""Prints and scans of one tint, sepia or the like: grey pictures whose tones have a colour each."""

from __future__ import annotations

import numpy as np

from scoreinv.colour_space import luma
from scoreinv.imaging.picture import Picture

_SIDE = 128
_BINS = 12
_GRAY = 0.01
"""Chroma (rms, in [0, 1]) below which a picture is grey."""
_STRAY = 0.015
"""Chroma (rms) that the tones of a tinted picture leave unexplained at most: noise, stains, compression."""


def is_tinted(picture: Picture) -> bool:
    """Whether the picture's chroma is a function of its luma alone, and not all grey.

    The chroma is predicted from the luma through its means in 12 classes of luma; what that leaves must be small, and
    less than a third of the chroma.
    """
    if picture.is_gray_mode:
        return False
    rgb = _small_colours(picture)
    gray = luma(rgb)
    chroma = rgb - gray[:, None]
    if _rms(chroma) < _GRAY:
        return False
    edges = np.unique(np.quantile(gray, np.linspace(0, 1, _BINS + 1)))
    member = np.clip(np.searchsorted(edges, gray, side="right") - 1, 0, max(0, len(edges) - 2))
    counts = np.maximum(np.bincount(member, minlength=len(edges)), 1)[:, None]
    centre = np.bincount(member, gray, minlength=len(edges))[:, None] / counts
    tones = np.stack([np.bincount(member, plane, minlength=len(edges)) for plane in chroma.T], axis=1) / counts
    used = np.bincount(member, minlength=len(edges)) > 0
    expected = np.stack([np.interp(gray, centre[used, 0], plane) for plane in tones[used].T], axis=1)
    return _rms(chroma - expected) < min(_STRAY, _rms(chroma) / 3)


def without_tint(picture: Picture, weights: str = "rec601") -> Picture:
    """The luma as a grey picture, brightened so that its lightest tone is white as far as its brightest channel is."""
    gray = picture.gray(weights)
    rgb = _small_colours(picture)
    tones = luma(rgb, weights)
    white = rgb[tones >= np.quantile(tones, 0.99)].mean(0)
    factor = float(white.max() / max(float(luma(white, weights)), 1e-3))
    return gray.brightened(factor)


def _small_colours(picture: Picture) -> np.ndarray:
    """The colours of the picture at 128 pixels or fewer a side, Nx3: averaged, so without most of their noise."""
    scale = min(1.0, _SIDE / max(picture.size))
    height, width = (max(1, round(side * scale)) for side in picture.size)
    return picture.resized_rgb(height, width).reshape(-1, 3)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
