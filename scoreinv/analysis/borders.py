"""What lies around a scanned picture: bare paper, an album's page, the scanner's lid, and edges that are torn away."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from scoreinv.analysis.kind import LOOKED_AT, seen
from scoreinv.imaging.picture import Picture
from scoreinv.operators.colour_space import luma
from scoreinv.windows.boxes import Box

_LEAST, _MOST = 0.01, 0.2
"""Share of the picture's side that a border takes at least, and at most: an even ground goes on."""
_PLAIN = 0.06
"""Luma by which a border's pixels differ from its own, and borders of a picture from each other, at most."""
_ALONG, _TORN, _ENDED = 0.9, 0.5, 0.1
"""Share of a line that is of a plain border, or of an edge that is torn away, and less of which is of neither."""
_LEAN = 0.02
"""Of the side that a border ends within, where it lies askew."""


def within_border(picture: Picture, torn: np.ndarray | None = None) -> Box | None:
    """The part of a picture within its border; None where it has none.

    A plain border is seen on three sides or more, the sky on one.

    Args:
        torn: HxW bool, what is damaged: an edge of which most is torn away is border, too.
    """
    gray = luma(seen(picture).rgb())
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
    """The part of a picture that paper, or a lid, surely lies around; None where it has none.

    Three sides or more of it end along a straight line each, as few subjects on a plain ground do: of 275 photographs
    without a border `within_border` finds one around five, this around none.
    """
    gray = luma(seen(picture).rgb())
    sides = _plain_sides(gray)
    if sum(straight for _, straight in sides) < 3:
        return None
    return _within(picture, [depth for depth, _ in sides])


def _plain_sides(gray: np.ndarray) -> list[tuple[int, bool]]:
    """Of each side: how deep its plain border is, and whether that ends along a straight line."""
    sides = _from_all_sides(gray)
    levels = [np.median(lines[0]) for lines in sides]
    return [
        _depth(np.abs(lines - level) < _PLAIN, _ALONG) if abs(level - np.median(levels)) < _PLAIN else (0, False)
        for lines, level in zip(sides, levels, strict=True)
    ]


def _within(picture: Picture, depths: list[int]) -> Box | None:
    """What lies within borders of these depths of what is `seen`."""
    if not any(depths):
        return None
    scale = min(1.0, LOOKED_AT / max(picture.size))
    top, bottom, left, right = (math.ceil(depth / scale) for depth in depths)
    return top, left, picture.height - top - bottom, picture.width - left - right


def _from_all_sides(values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Seen from the top, the bottom, the left and the right."""
    return values, values[::-1], values.T, values.T[::-1]


def _depth(outside: np.ndarray, least: float) -> tuple[int, bool]:
    """Lines from the first of which so much is border, 0 where it does not end; and those that it leans into.

    And whether it ends within these.
    """
    sideways = int(_MOST * outside.shape[1])  # where the border of the other sides is
    shares = outside[: math.ceil((_MOST + _LEAN) * len(outside)), sideways : -sideways or None].mean(1)
    if (shares >= least).all():
        return 0, False
    first = int((shares < least).argmax())
    if first <= _LEAST * len(outside):
        return 0, False
    ended = shares[first : first + math.ceil(_LEAN * len(outside)) + 1] < _ENDED
    return first + int(ended.argmax()), bool(ended.any())
