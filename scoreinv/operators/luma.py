"""Grey weights, luma, and the matching orthonormal basis of colour space.

With grey weights w (w_r + w_g + w_b = 1) the luma of a colour x is `w.x`, and its chroma `x - (w.x)(1,1,1)` has no
luma. The first axis of the basis is the grey direction `w/|w|`: its coefficient is `luma/|w|`, which a grey photograph
observes. The other two are free (Song et al. 2021, appendix I.3, with the weights of real grey photographs instead of
equal ones).
"""

from __future__ import annotations

import numpy as np

from scoreinv.system.errors import InputError

GRAY_WEIGHTS: dict[str, tuple[float, float, float]] = {
    "rec601": (0.299, 0.587, 0.114),
    "average": (1 / 3, 1 / 3, 1 / 3),
    "rec709": (0.2126, 0.7152, 0.0722),
}
"""Weights of R, G and B in the luma; they sum to 1, and none exceeds that of green."""


def luma_weights(name: str) -> np.ndarray:
    """Return the weights called `name` as float64 (3,); raise InputError for an unknown name."""
    try:
        return np.array(GRAY_WEIGHTS[name], dtype=np.float64)
    except KeyError:
        raise InputError(f"unknown grey weights {name!r}: choose {', '.join(GRAY_WEIGHTS)}") from None


def colour_basis(name: str = "rec601") -> np.ndarray:
    """Return an orthonormal basis of colour space as the rows of a 3x3 float64 array.

    Row 0 is the grey direction: the grey weights w, scaled to length 1. Row 1 is the (red - blue) direction made
    orthogonal to row 0, and row 2 the cross product of rows 0 and 1. Unlike a numerical decomposition, this has the
    same signs and order on every machine.
    """
    gray = luma_weights(name)
    gray /= np.linalg.norm(gray)
    second = np.array([1.0, 0.0, -1.0])
    second -= (second @ gray) * gray
    second /= np.linalg.norm(second)
    return np.stack([gray, second, np.cross(gray, second)])


def luma(rgb: np.ndarray, name: str = "rec601") -> np.ndarray:
    """Return w.rgb over the last axis, (..., 3) to (...), in the array's float type."""
    weights = luma_weights(name).astype(rgb.dtype)
    # Not a matrix product: equal channels must give their value up to rounding, in any order.
    return rgb[..., 0] * weights[0] + rgb[..., 1] * weights[1] + rgb[..., 2] * weights[2]
