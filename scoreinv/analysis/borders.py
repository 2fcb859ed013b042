"""Borders of a scan: bare paper, an album's page, the scanner's lid, and torn edges."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from scoreinv.analysis.kind import ANALYSIS_SIDE, analysis_picture
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.resizing import resized
from scoreinv.operators.luma import luma
from scoreinv.windows.boxes import Box

_LEAST, _MOST = 0.01, 0.2
"""Minimum and maximum depth of a border, as a fraction of the side: a deeper plain area is part of the picture."""
_PLAIN = 0.06
"""Maximum luma difference of a border's pixels from its median, and between the borders of a picture."""
_ALONG, _TORN, _ENDED = 0.9, 0.5, 0.1
"""Minimum share of border pixels in a line of a plain border and of a torn edge. Maximum share in a line that is
inside the border, in the picture."""
_LEAN = 0.02
"""Maximum depth difference along the end of a skewed border, as a fraction of the side."""


def within_border(picture: Picture, torn: np.ndarray | None = None, *, certain: bool = False) -> Box | None:
    """Return the part of a picture within its border, or None if it has none.

    A plain border must be on three sides or more, since a sky is on one.

    Args:
        torn: HxW bool, the damage. An edge that is mostly torn away counts as border too.
        certain: three sides or more must end along a straight line, which few subjects on a plain ground do. Of 275
            photographs without a border none then has one, otherwise five.
    """
    gray = luma(analysis_picture(picture).rgb())
    sides = _from_all_sides(gray)
    levels = [np.median(lines[0]) for lines in sides]
    plain = [
        _depth(np.abs(lines - level) < _PLAIN, _ALONG) if abs(level - np.median(levels)) < _PLAIN else (0, False)
        for lines, level in zip(sides, levels, strict=True)
    ]
    depths = [depth for depth, _ in plain]
    if sum(straight if certain else depth > 0 for depth, straight in plain) < 3:
        depths = [0] * 4
    if torn is not None:
        lost = resized(torn.astype(np.uint8), gray.shape, Image.Resampling.NEAREST) > 0
        depths = [
            max(depth, _depth(lines, _TORN)[0]) for depth, lines in zip(depths, _from_all_sides(lost), strict=True)
        ]
    if not any(depths):
        return None
    scale = min(1.0, ANALYSIS_SIDE / max(picture.size))
    top, bottom, left, right = (math.ceil(depth / scale) for depth in depths)
    return top, left, picture.height - top - bottom, picture.width - left - right


def _from_all_sides(values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return views of the values whose rows run inwards from the top, the bottom, the left and the right side."""
    return values, values[::-1], values.T, values.T[::-1]


def _depth(outside: np.ndarray, least: float) -> tuple[int, bool]:
    """Return the depth of a border in lines (0 if it does not end), including skew, and whether its end is straight.

    Args:
        outside: border pixels, bool, with rows from the border inwards.
        least: minimum share of border pixels in a line of the border.
    """
    sideways = int(_MOST * outside.shape[1])  # excludes the borders of the adjacent sides
    shares = outside[: math.ceil((_MOST + _LEAN) * len(outside)), sideways : -sideways or None].mean(1)
    first = int((shares < least).argmax())  # 0 if there is none
    if first <= _LEAST * len(outside):
        return 0, False
    ended = shares[first : first + math.ceil(_LEAN * len(outside)) + 1] < _ENDED
    return first + int(ended.argmax()), bool(ended.any())
