"""Scans that are finer than what they show: filled smaller, where a crack is as thin as it was on the print."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy import ndimage

from scoreinv.imaging.picture import STRIP_ROWS, Fill, Picture
from scoreinv.imaging.regions import touched_blocks

_MOST, _LEAST_SIDE = 8, 384  # times smaller at most, and the longer side that is left at least, in pixels
_LOST, _SELDOM = 4 / 255, 0.001
"""Luma that is lost of what is seen, and the share of the pixels that may lose more: of photographs it is over 11."""
_AROUND = 2  # pixels at that size from a hole, whose own values are none of the picture's


def oversampling(picture: Picture, hole: np.ndarray) -> int:
    """How many times smaller, 1 to 8, a picture with a hole (HxW bool) still shows all that it shows."""
    factor = 1
    while 2 * factor <= min(_MOST, max(picture.size) / _LEAST_SIDE) and _is_kept(picture, hole, 2 * factor):
        factor *= 2
    return factor


def reduced(picture: Picture, factor: int) -> Picture:
    """The means of blocks of so many pixels a side, in floats; the last ones may be smaller."""
    strips = [_reduced(picture.rgb(box), factor) for box in _strips(picture)]
    rgb = np.concatenate(strips)
    return Picture(rgb[..., 0] if picture.is_gray_mode else rgb)


def enlarged_fills(small: Picture, picture: Picture, hole: np.ndarray, factor: int) -> Iterator[Fill]:
    """A hole's values from those of the picture that `reduced` gives, filled."""
    rgb = small.rgb()
    for top, left, rows, width in _strips(picture):
        inside = hole[top : top + rows]
        if inside.any():
            yield Fill((top, left, rows, width), inside, _enlarged(rgb, top / factor, rows, width, factor))


def _is_kept(picture: Picture, hole: np.ndarray, factor: int) -> bool:
    near = ndimage.binary_dilation(touched_blocks(hole, factor), np.ones((3, 3), bool), _AROUND)
    seen = lost = 0
    for top, left, rows, width in _strips(picture):
        gray = picture.luma((top, left, rows, width))[..., None]
        inner = slice(_AROUND * factor, rows - _AROUND * factor)  # each strip ends for itself
        beside = near[top // factor : -(-(top + rows) // factor)].repeat(factor, 0).repeat(factor, 1)[:rows, :width]
        away = np.abs(_enlarged(_reduced(gray, factor), 0, rows, width, factor) - gray)[inner, :, 0]
        known = ~beside[inner]
        seen, lost = seen + int(known.sum()), lost + int((away[known] > _LOST).sum())
    return lost <= _SELDOM * seen and seen > 0


def _strips(picture: Picture) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, picture.height, STRIP_ROWS):
        yield top, 0, min(STRIP_ROWS, picture.height - top), picture.width


def _reduced(values: np.ndarray, factor: int) -> np.ndarray:
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, -1, 0)]
    return np.stack([np.asarray(plane.reduce(factor)) for plane in planes], axis=-1)


def _enlarged(values: np.ndarray, first: float, rows: int, width: int, factor: int) -> np.ndarray:
    """Rows of values (h, w, C) at so many times the size, from `first` of theirs on."""
    box = (0, first, width / factor, first + rows / factor)
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, -1, 0)]
    larger = [plane.resize((width, rows), Image.Resampling.BICUBIC, box=box) for plane in planes]
    return np.stack([np.asarray(plane) for plane in larger], axis=-1)
