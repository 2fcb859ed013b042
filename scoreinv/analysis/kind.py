"""The colours of a picture: grey, many, or one tint; `tasks.damage.kind_of` decides what counts as an old print."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from scoreinv.imaging.picture import STRIP_ROWS, Picture, scaled, to_float, to_samples
from scoreinv.operators.luma import luma

Kind = Literal["grey", "tinted", "coloured"]
"""`tinted` is a print of one tint, such as sepia: each of its tones has one colour."""

LOOKED_AT = 512
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
_STRAY = 0.015
"""Maximum residual chroma (rms) of a tinted picture given its tones: noise, stains, compression."""
_PALE_STRAY = 0.006
"""Residual chroma that is accepted in a print however pale."""
_ACROSS = 0.17
"""Maximum chroma of a print across its hue, as a fraction of that along it."""
_THINGS = (0.035, 0.003)
"""Maximum chroma (rms) along the hue that neither tones nor slow changes explain, relative and absolute. More comes
from coloured objects: red rock, leaves, the sea."""
_WORN_THINGS = 0.1
"""The relative limit for a worn print, whose grain, dirt and faded patches have other colours."""
_DAMAGED = 0.1
"""Share of a print that may be scratched or stained, and is then of another colour than its tones."""
_COLOURLESS = 1 / 255
"""Difference of the channels over a few pixels up to which a picture has no colour there: one level of 8 bits."""
_OPPOSITE = 0.02
"""Maximum share of a print with the opposite hue."""
_HUES = (0.25, 1.3)
"""Hues of prints, from yellow to red brown: excess of red over grey, divided by the deficit of blue."""
_RARE_HUES = (0.15, 1.6)
"""Hues of pale prints, including greenish and purplish ones, whose tones explain nearly all chroma."""
_RARE_CHROMA = 0.08
_RARE_STRAY = 0.007


def seen(picture: Picture, hole: np.ndarray | None = None) -> Picture:
    """Return a picture as it is analysed: small, in floats, and with a hole (HxW bool, not all true) covered.

    A small picture without a hole is returned unchanged.
    """
    size = scaled(picture.size, min(1.0, LOOKED_AT / max(picture.size)))
    if hole is None or not hole.any():
        return picture if size == picture.size else Picture(picture.resized_rgb(*size))
    if size == picture.size:
        return picture.covered(hole)
    pixels = picture.pixels.copy()
    pixels[hole] = 0
    known = Picture((~hole).astype(np.float32)).resized_rgb(*size)
    rgb = picture.with_pixels(pixels).resized_rgb(*size) / np.maximum(known, 1e-6)
    return Picture(rgb.clip(0, 1)).covered(known[..., 0] < min(_KNOWN, known.max()))


def kind_by_colours(picture: Picture, hole: np.ndarray | None = None, *, worn: bool = False) -> Kind:
    """Classify a picture by its colours alone; `tasks.damage.kind_of` adds the evidence of damage.

    The chroma of a print is a function of its luma: the means in 12 classes of luma predict it. So is that of
    photographs of fog, the sea or a leaf, which count as coloured: a print has one hue, from red brown to yellow, and
    strays less from its tones. Of 275 photographs in colours luma predicts the chroma of 13, and none is a print.

    Args:
        hole: HxW bool, pixels that do not count.
        worn: the picture is damaged; grain and dirt may stray more from the tones of a print.
    """
    small = seen(picture, hole)
    if small.is_gray():
        return "grey"
    chroma, stray = _chroma(small)
    if _rms(chroma) >= _GRAY and stray < min(_STRAY, _rms(chroma) / 3):
        return "tinted" if _is_print(small, chroma, stray, worn) else "coloured"
    return "coloured" if coloured_at(small).any() else "grey"


def coloured_at(picture: Picture) -> np.ndarray:
    """Return the pixels that have colour, HxW bool."""
    return _channel_difference(picture) > _COLOURED


def is_partly_coloured(picture: Picture) -> bool:
    """Return whether most of a picture has no colour at all, as in a grey photograph with one coloured object."""
    return bool((_channel_difference(seen(picture)) <= _COLOURLESS).mean() > 0.5)


def _channel_difference(picture: Picture) -> np.ndarray:
    """Return the range of the channels, averaged over 5x5 pixels: HxW in [0, 1]."""
    from scipy import ndimage  # slow to import, and needed by few commands

    rgb = picture.rgb()
    return np.asarray(ndimage.uniform_filter(rgb.max(-1) - rgb.min(-1), 5))


def _is_print(picture: Picture, chroma: np.ndarray, stray: float, worn: bool) -> bool:
    """Return whether a tinted picture is a print: see `kind_by_colours`.

    Purplish and greenish prints are accepted if they are pale and their tones explain nearly all of their chroma.
    """
    _, sizes, axes = np.linalg.svd(chroma, full_matrices=False)
    along = chroma @ axes[0]
    red, _, blue = axes[0] * np.sign(along.sum())
    one_hue = (sizes[1:] < _ACROSS * sizes[0]).all() and np.mean(along * np.sign(along.sum()) < -_GRAY) < _OPPOSITE
    if not one_hue or blue >= 0 or stray >= max(_rms(chroma) / 4, _PALE_STRAY):
        return False
    share, least_things = _THINGS
    if _of_things(picture, along) >= max((_WORN_THINGS if worn else share) * _rms(chroma), least_things):
        return False
    least, most = _RARE_HUES if stray < _RARE_STRAY and _rms(chroma) < _RARE_CHROMA else _HUES
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


def _of_things(picture: Picture, along: np.ndarray) -> float:
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
    rgb = _small_colours(tones or picture).reshape(-1, 3)
    level = luma(rgb, weights)
    white = rgb[level >= np.quantile(level, 0.99)].mean(0)
    factor = np.float32(white.max() / max(float(luma(white, weights)), 1e-3))
    pixels = picture.pixels.copy()
    for top in range(0, picture.height, STRIP_ROWS):
        rows = slice(top, top + STRIP_ROWS)
        gray = to_samples(luma(to_float(pixels[rows, :, :3]), weights), pixels.dtype)
        pixels[rows, :, :3] = to_samples(to_float(gray) * factor, pixels.dtype)[..., None]
    return picture.with_pixels(pixels)


def _small_colours(picture: Picture) -> np.ndarray:
    """Return the colours averaged to 128 pixels or fewer a side, hxwx3, which removes most noise."""
    return picture.resized_rgb(*scaled(picture.size, min(1.0, _SIDE / max(picture.size))))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
