"""Kinds of pictures: grey, coloured, or tinted prints such as sepia, in which the colour is a function of the tone."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from scoreinv.imaging.picture import STRIP_ROWS, Picture, scaled, to_float, to_samples
from scoreinv.operators.colour_space import luma

Found = Literal["grey", "tinted", "coloured"]
"""Kind of a picture; `tinted` has one colour for each tone, as sepia has."""

ANALYSED_SIDE = 512
"""Maximum longer side in pixels of the picture in which borders and colours are searched."""
_COLOURED = 0.06
"""Minimum channel difference, averaged over a few pixels, of a coloured place, as a fraction of the range."""
_KNOWN = 0.25
"""Minimum share of known pixels of a reduced pixel that counts as known."""
_SIDE = 128
"""Maximum longer side in pixels of the picture in which a tint is searched."""
_BINS = 12
_GRAY = 0.01
"""Chroma (rms, in [0, 1]) below which a picture is grey."""
_MAX_RESIDUAL = 0.015
"""Maximum residual chroma (rms) of a tinted picture given its tones: noise, stains, compression."""
_PALE_RESIDUAL = 0.006
"""Residual chroma that is accepted in a print however pale."""
_ACROSS = 0.17
"""Maximum chroma of a print across its hue, as a fraction of that along it."""
_OBJECT_CHROMA = (0.035, 0.003)
"""Maximum chroma (rms) along the hue that neither tones nor slow changes explain, relative and absolute. More comes
from coloured objects: red rock, leaves, the sea."""
_WORN_OBJECT_CHROMA = 0.1
"""The relative limit for a worn print, whose grain, dirt and faded patches have other colours."""
_DAMAGED = 0.1
"""Share of a print that may be scratched or stained, with other colours."""
_OPPOSITE = 0.02
"""Maximum share of a print with the opposite hue."""
_HUES = (0.25, 1.3)
"""Hues of prints, from yellow to red brown: excess of red over grey, divided by the deficit of blue."""
_RARE_HUES = (0.15, 1.6)
"""Hues of pale prints, including greenish and purplish ones, whose tones explain nearly all chroma."""
_RARE_CHROMA = 0.08
_RARE_RESIDUAL = 0.007


def seen(picture: Picture, hole: np.ndarray | None = None) -> Picture:
    """Return a picture as it is analysed: small, in floats, and with a hole (HxW bool, not all true) covered.

    A small picture without a hole is returned unchanged.
    """
    size = scaled(picture.size, min(1.0, ANALYSED_SIDE / max(picture.size)))
    if hole is None or not hole.any():
        return picture if size == picture.size else Picture(picture.resized_rgb(*size))
    if size == picture.size:
        return picture.covered(hole)
    pixels = picture.pixels.copy()
    pixels[hole] = 0
    known = Picture((~hole).astype(np.float32)).resized_rgb(*size)
    rgb = picture.with_pixels(pixels).resized_rgb(*size) / np.maximum(known, 1e-6)
    return Picture(rgb.clip(0, 1)).covered(known[..., 0] < min(_KNOWN, known.max()))


def found_in(picture: Picture) -> Found:
    """Return the kind of a picture; even a tint too pale to count as colour is found."""
    small = seen(picture)
    if small.is_gray():
        return "grey"
    if is_tinted(small):
        return "tinted"
    return "coloured" if coloured_at(small).any() else "grey"


def coloured_at(picture: Picture) -> np.ndarray:
    """Return where a picture is coloured, HxW bool."""
    from scipy import ndimage  # slow to import, and few commands need it

    rgb = picture.rgb()
    return np.asarray(ndimage.uniform_filter(rgb.max(-1) - rgb.min(-1), 5) > _COLOURED)


def is_tinted(picture: Picture) -> bool:
    """Return whether the picture's chroma is a function of its luma, and not zero.

    The means of 12 luma classes predict the chroma. The residual must be small, and less than a third of the chroma.
    """
    if picture.is_gray_mode:
        return False
    chroma, residual = _chroma(picture)
    return _rms(chroma) >= _GRAY and residual < min(_MAX_RESIDUAL, _rms(chroma) / 3)


def is_print(picture: Picture, *, worn: bool = False) -> bool:
    """Return whether a picture is certainly a print of one tint, with a hue from red brown to yellow, as in sepia.

    Purplish and greenish prints count too, if they are pale and their tones explain nearly all chroma. Colour
    photographs of fog, the sea or a leaf may be tinted, but with another hue, several hues, or a larger residual: of
    275 colour photographs 13 are tinted, and none is a print.

    worn: the picture is damaged as prints are, and may have a larger residual; even so none of the 275 is a print.
    """
    if not is_tinted(picture):
        return False
    chroma, residual = _chroma(picture)
    _, sizes, axes = np.linalg.svd(chroma, full_matrices=False)
    along = chroma @ axes[0]
    red, _, blue = axes[0] * np.sign(along.sum())
    one_hue = (sizes[1:] < _ACROSS * sizes[0]).all() and np.mean(along * np.sign(along.sum()) < -_GRAY) < _OPPOSITE
    if not one_hue or blue >= 0 or residual >= max(_rms(chroma) / 4, _PALE_RESIDUAL):
        return False
    share, least_chroma = _OBJECT_CHROMA
    if _object_chroma(picture, along) >= max((_WORN_OBJECT_CHROMA if worn else share) * _rms(chroma), least_chroma):
        return False
    least, most = _RARE_HUES if residual < _RARE_RESIDUAL and _rms(chroma) < _RARE_CHROMA else _HUES
    return bool(least < red / -blue < most)


def _chroma(picture: Picture) -> tuple[np.ndarray, float]:
    """Return the chroma of `_small_colours`, Nx3, and the rms of its residual given the tones."""
    rgb = _small_colours(picture).reshape(-1, 3)
    gray = luma(rgb)
    chroma = rgb - gray[:, None]
    edges = np.unique(np.quantile(gray, np.linspace(0, 1, _BINS + 1)))
    member = np.clip(np.searchsorted(edges, gray, side="right") - 1, 0, max(0, len(edges) - 2))
    counts = np.maximum(np.bincount(member, minlength=len(edges)), 1)[:, None]
    centre = np.bincount(member, gray, minlength=len(edges))[:, None] / counts
    tones = np.stack([np.bincount(member, plane, minlength=len(edges)) for plane in chroma.T], axis=1) / counts
    used = np.bincount(member, minlength=len(edges)) > 0
    expected = np.stack([np.interp(gray, centre[used, 0], plane) for plane in tones[used].T], axis=1)
    return chroma, _rms(chroma - expected)


def _object_chroma(picture: Picture, along: np.ndarray) -> float:
    """Return the rms of the smoothed residual of the chroma along a hue (N,), regressed on tones and position.

    Tones are piecewise linear in the luma, slow changes of second order in the position, and each may grow with the
    luma.
    """
    from scipy import ndimage  # see coloured_at

    gray = luma(_small_colours(picture))
    (height, width), gray = gray.shape, gray.ravel()
    y, x = (place.ravel() for place in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    places = [x, y, x * x, y * y, x * y]
    tones = [np.maximum(gray - knot, 0) for knot in np.quantile(gray, np.linspace(0, 1, 9)[:-1])]
    terms = np.stack([np.ones_like(x), *tones, *places, *(gray * place for place in places)], axis=1)
    left = along - terms @ np.linalg.lstsq(terms, along, rcond=None)[0]
    sound = abs(left) <= np.quantile(abs(left), 1 - _DAMAGED)
    left = along - terms @ np.linalg.lstsq(terms[sound], along[sound], rcond=None)[0]
    smooth = np.sort(abs(ndimage.uniform_filter(left.reshape(height, width), 3)), axis=None)
    return _rms(smooth[: math.ceil((1 - _DAMAGED) * smooth.size)])


def untinted(picture: Picture, weights: str = "rec601", tones: Picture | None = None) -> Picture:
    """Return a colour picture with its luma in all channels, brightened so that its lightest tone is white.

    White is as bright as the brightest channel of that tone.

    Args:
        picture: a picture of colour mode; mode, metadata and alpha are kept.
        weights: grey weights.
        tones: the picture that determines the lightest tone, for example without borders. None: `picture`.
    """
    gray = picture.gray(weights).pixels
    gray = gray[..., 0] if picture.has_alpha else gray
    rgb = _small_colours(tones or picture).reshape(-1, 3)
    level = luma(rgb, weights)
    white = rgb[level >= np.quantile(level, 0.99)].mean(0)
    factor = np.float32(white.max() / max(float(luma(white, weights)), 1e-3))
    pixels = picture.pixels.copy()
    for top in range(0, picture.height, STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        pixels[rows, :, :3] = to_samples(to_float(gray[rows]) * factor, pixels.dtype)[..., None]
    return picture.with_pixels(pixels)


def _small_colours(picture: Picture) -> np.ndarray:
    """Return the colours averaged to 128 pixels or fewer a side, hxwx3, which removes most noise."""
    return picture.resized_rgb(*scaled(picture.size, min(1.0, _SIDE / max(picture.size))))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
