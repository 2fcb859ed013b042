"""Grey weights, luma, and the orthonormal basis of colour space that goes with them.

With grey weights w (w_r + w_g + w_b = 1) the luma of a colour x is `w.x`, and its chroma `x - (w.x)(1,1,1)` has no
luma. A colour is written in an orthonormal basis whose first axis is the grey direction `w/|w|`: the first coefficient
is `luma/|w|`, which a grey photograph observes, and the other two are free (Song et al. 2021, appendix I.3, with the
weights that real grey photographs were made with in place of equal ones).
"""

from __future__ import annotations

import numpy as np

from scoreinv.system.errors import InputError

GRAY_WEIGHTS: dict[str, tuple[float, float, float]] = {
    "rec601": (0.299, 0.587, 0.114),
    "average": (1 / 3, 1 / 3, 1 / 3),
    "rec709": (0.2126, 0.7152, 0.0722),
}
"""Weights of R, G and B in the luma; each sums to 1 and none has a channel heavier than green."""


def luma_weights(name: str) -> np.ndarray:
    """The weights called `name` as float64 (3,); `InputError` for an unknown name."""
    try:
        return np.array(GRAY_WEIGHTS[name], dtype=np.float64)
    except KeyError:
        raise InputError(f"unknown grey weights {name!r}: choose {', '.join(GRAY_WEIGHTS)}") from None


def colour_basis(name: str = "rec601") -> np.ndarray:
    """Orthonormal basis of colour space as the rows of a 3x3 float64 array; row 0 is w/|w|.

    Row 1 is the (red - blue) direction made orthogonal to row 0, row 2 their cross product: no sign or order is left
    to a decomposition, so the basis is the same everywhere.
    """
    gray = luma_weights(name)
    gray /= np.linalg.norm(gray)
    second = np.array([1.0, 0.0, -1.0])
    second -= (second @ gray) * gray
    second /= np.linalg.norm(second)
    return np.stack([gray, second, np.cross(gray, second)])


def luma(rgb: np.ndarray, name: str = "rec601") -> np.ndarray:
    """w.rgb over the last axis, in the array's own float type: (..., 3) to (...)."""
    weights = luma_weights(name).astype(rgb.dtype)
    # three scaled planes, not a matrix product: equal channels must give that very value up to rounding, in any order
    return rgb[..., 0] * weights[0] + rgb[..., 1] * weights[1] + rgb[..., 2] * weights[2]
