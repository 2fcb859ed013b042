"""Borders of a scan: bare paper, an album's page, the scanner's lid, and torn edges."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from scoreinv.analysis.kind import ANALYSIS_SIDE, analysis_picture
from scoreinv.imaging.picture import Picture
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


def within_border(picture: Picture, torn: np.ndarray | None = None) -> Box | None:
    """Return the part of a picture within its border, or None if it has none.

    A plain border must be on three sides or more, since a sky is on one.

    Args:
        torn: HxW bool, the damage. An edge that is mostly torn away counts as border too.
    """
    gray = luma(analysis_picture(picture).rgb())
    gone = np.zeros(gray.shape, bool)
    if torn is not None:
        height, width = gray.shape
        gone = np.asarray(Image.fromarray(torn).resize((width, height), Image.Resampling.NEAREST))
    plain = [depth for depth, _ in _plain_sides(gray)]
    if sum(depth > 0 for depth in plain) < 3:
        plain = [0] * 4
    lost = [_depth(lines, _TORN)[0] for lines in _from_all_sides(gone)]
    return _within(picture, [max(pair) for pair in zip(plain, lost, strict=True)])


def within_paper(picture: Picture) -> Box | None:
    """Return the part of a picture surrounded by paper or a lid, or None if that is uncertain.

    Three sides or more must end along a straight line, which few subjects on a plain ground do. In 275 photographs
    without a border `within_border` finds five, this function none.
    """
    gray = luma(analysis_picture(picture).rgb())
    sides = _plain_sides(gray)
    if sum(straight for _, straight in sides) < 3:
        return None
    return _within(picture, [depth for depth, _ in sides])


def _plain_sides(gray: np.ndarray) -> list[tuple[int, bool]]:
    """Return for each side the depth of its plain border, and whether it ends along a straight line."""
    sides = _from_all_sides(gray)
    levels = [np.median(lines[0]) for lines in sides]
    return [
        _depth(np.abs(lines - level) < _PLAIN, _ALONG) if abs(level - np.median(levels)) < _PLAIN else (0, False)
        for lines, level in zip(sides, levels, strict=True)
    ]


def _within(picture: Picture, depths: list[int]) -> Box | None:
    """Return the box within borders of these depths, measured in `analysis_picture`."""
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
