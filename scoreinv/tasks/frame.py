"""Framing of a picture: turn, straighten, crop, cut off its border."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from scoreinv.analysis.borders import within_border
from scoreinv.imaging.opencv import load_opencv
from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.options import Number, check

MOST_ANGLE = 45.0
"""Largest angle of straightening, in degrees."""
_BLOCK = 16384
"""Side of the blocks that are turned one by one: before version 5, OpenCV refuses sides above 32,766 pixels."""
_MARGIN = 3
"""Pixels around a block's source that cubic interpolation reads, with one for rounding."""


def turn_picture(picture: Picture, quarters: int) -> Picture:
    """Return a picture turned clockwise by quarter turns, pixels unchanged."""
    return picture.with_pixels(np.ascontiguousarray(np.rot90(picture.pixels, -quarters)))


def straighten_picture(picture: Picture, degrees: float) -> Picture:
    """Return a picture turned clockwise by an angle, cropped to the largest rectangle of its aspect ratio within it.

    Raises SettingError for an angle of more than `MOST_ANGLE`.
    """
    check("angle", degrees, Number(-MOST_ANGLE, MOST_ANGLE))
    if not degrees:
        return picture
    cv2, (height, width) = load_opencv(), picture.size
    angle = math.radians(abs(degrees))
    scale = 1 / max(math.cos(angle) + math.sin(angle) * side for side in (height / width, width / height))
    wide, high = max(1, int(width * scale)), max(1, int(height * scale))
    back = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    back[:, 2] += back[:, :2] @ ((width - wide) / 2, (height - high) / 2)
    turned = np.empty((high, wide, *picture.pixels.shape[2:]), picture.pixels.dtype)
    for top in range(0, high, _BLOCK):
        for left in range(0, wide, _BLOCK):
            block = turned[top : top + _BLOCK, left : left + _BLOCK]
            rows, columns = block.shape[:2]
            corners = np.array([(x, y, 1) for x in (left, left + columns) for y in (top, top + rows)]) @ back.T
            x, y = np.maximum(np.floor(corners.min(axis=0)).astype(int) - _MARGIN, 0)
            right, bottom = np.ceil(corners.max(axis=0)).astype(int) + _MARGIN
            shifted = back.copy()
            shifted[:, 2] += back[:, :2] @ (left, top) - (x, y)
            block[:] = cv2.warpAffine(
                picture.pixels[y:bottom, x:right],
                shifted,
                (columns, rows),
                flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REPLICATE,
            )
    return picture.with_pixels(turned)


def crop_picture(picture: Picture, box: Sequence[float]) -> Picture:
    """Return the part of a picture in a box (x, y, width, height) in pixels.

    Raises SettingError for a box of less than a pixel in the picture, or with a number that is not finite.
    """
    for number in box:
        check("box", number, Number(-math.inf))
    left, top, width, height = box
    columns = np.clip([round(left), round(left + width)], 0, picture.width)
    rows = np.clip([round(top), round(top + height)], 0, picture.height)
    wide, high = int(columns[1] - columns[0]), int(rows[1] - rows[0])
    if wide < 1 or high < 1:
        raise SettingError("box", "has no pixel of the photograph")
    return picture.part((int(rows[0]), int(columns[0]), high, wide))


def cut_border(picture: Picture) -> Picture:
    """Return the part of a picture inside its paper border; raise InputError if no border is found."""
    inside = within_border(picture)
    if inside is None:
        raise InputError("No paper border was found")
    return picture.part(inside)
