"""The effective resolution of scans. Oversampled scans are filled at a smaller size, where cracks are thinner."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy import ndimage

from scoreinv.imaging.picture import STRIP_ROWS, Fill, Picture
from scoreinv.imaging.resizing import resized, touched_blocks

_MOST, _LEAST_SIDE = 8, 384  # maximum reduction, and minimum longer side after it, in pixels
_LOST, _MAX_LOST_SHARE = 4 / 255, 0.001
"""Change of luma by a reduction above which it is visible, and the maximum share of pixels with a visible change. In
photographs that are not oversampled, a thousandth of the pixels change by more than 11/255."""
_AROUND = 2  # distance from a hole within which its content affects pixels of the reduced picture


def oversampling(picture: Picture, hole: np.ndarray) -> int:
    """Return the largest reduction, 1 to 8, that keeps the visible detail of a picture outside a hole (HxW bool)."""
    factor = 1
    while 2 * factor <= min(_MOST, max(picture.size) / _LEAST_SIDE) and _is_kept(picture, hole, 2 * factor):
        factor *= 2
    return factor


def reduced(picture: Picture, factor: int) -> Picture:
    """Return the means of blocks of factor x factor pixels as a float picture; the last blocks may be smaller."""
    strips = [_reduced(picture.rgb(box), factor) for box in _strips(picture)]
    rgb = np.concatenate(strips)
    return Picture(rgb[..., 0] if picture.is_gray_mode else rgb)


def enlarged_fills(small: Picture, picture: Picture, hole: np.ndarray, factor: int) -> Iterator[Fill]:
    """Yield the fills of a hole, enlarged from the filled picture of `reduced`."""
    rgb = small.rgb()
    for top, left, rows, width in _strips(picture):
        inside = hole[top : top + rows]
        if inside.any():
            yield Fill((top, left, rows, width), inside, _enlarged(rgb, top / factor, rows, width, factor))


def _is_kept(picture: Picture, hole: np.ndarray, factor: int) -> bool:
    """Return whether a reduction by `factor` keeps the visible detail of a picture outside a hole (HxW bool)."""
    near = ndimage.binary_dilation(touched_blocks(hole, factor), np.ones((3, 3), bool), _AROUND)
    total = lost = 0
    for top, left, rows, width in _strips(picture):
        gray = picture.luma((top, left, rows, width))[..., None]
        inner = slice(_AROUND * factor, rows - _AROUND * factor)  # strips are interpolated separately
        beside = near[top // factor : -(-(top + rows) // factor)].repeat(factor, 0).repeat(factor, 1)[:rows, :width]
        change = np.abs(_enlarged(_reduced(gray, factor), 0, rows, width, factor) - gray)[inner, :, 0]
        known = ~beside[inner]
        total, lost = total + int(known.sum()), lost + int((change[known] > _LOST).sum())
    return lost <= _MAX_LOST_SHARE * total and total > 0


def _strips(picture: Picture) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, picture.height, STRIP_ROWS):
        yield top, 0, min(STRIP_ROWS, picture.height - top), picture.width


def _reduced(values: np.ndarray, factor: int) -> np.ndarray:
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(values, -1, 0)]
    return np.stack([np.asarray(plane.reduce(factor)) for plane in planes], axis=-1)


def _enlarged(values: np.ndarray, first: float, rows: int, width: int, factor: int) -> np.ndarray:
    """Enlarge values (h, w, C) by `factor`: `rows` rows, beginning at the source row `first`."""
    view = (0, first, width / factor, first + rows / factor)
    return resized(values, (rows, width), Image.Resampling.BICUBIC, view)
