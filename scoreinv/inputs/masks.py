"""Masks of the holes of a picture.

Everywhere outside the operators **true is a hole**. Only `observed_from_hole` converts to the operators' polarity,
1 = observed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from scoreinv.files.read import decode
from scoreinv.imaging.picture import Picture, to_float
from scoreinv.inputs.arrays import is_tensor, picture_from_array, picture_from_pil, pictures_from_tensor
from scoreinv.system.errors import EmptyMaskError, InputError, MaskError, SettingError
from scoreinv.system.options import MASK_THRESHOLD, Number, Whole, check

_log = logging.getLogger(__name__)
_ROWS = 512
_BETWEEN = 0.2  # maximum fraction of intermediate values in a mask, from soft edges; photographs have more


def read_mask(
    path: str | os.PathLike[str] | bytes,
    size: tuple[int, int],
    *,
    threshold: float = MASK_THRESHOLD,
    invert: bool | None = False,
    grow: int = 0,
    may_be_black: bool = False,
) -> np.ndarray:
    """Read a mask file for a photo: HxW bool, true = hole.

    A pixel's value is max(R, G, B) x alpha over the type's range, with orientation applied. It is a hole if the value
    is above `threshold`.

    Args:
        path: file, "-" for standard input, or the bytes of a file.
        size: (height, width) of the photo after its orientation is applied.
        threshold: in [0, 1); use 0 for a mask of the values 0 and 1.
        invert: swap holes and known pixels; None: no, and messages do not propose it.
        grow: radius in pixels of the dilation of holes by a disk, after inversion.
        may_be_black: an all-black mask is allowed and has no hole.

    Raises:
        InputError: an unreadable file, or a size other than the photo's.
        MaskError: no known pixel; `EmptyMaskError`: no hole.
    """
    decoded = decode(path)
    return hole_from_picture(
        decoded.picture,
        size,
        name=f"{decoded.name}: the mask",
        threshold=threshold,
        invert=invert,
        grow=grow,
        may_be_black=may_be_black,
    )


def as_holes(
    mask: Any,
    sizes: Sequence[tuple[int, int]],
    *,
    threshold: float = MASK_THRESHOLD,
    invert: bool = False,
    grow: int = 0,
    may_be_black: bool = False,
    what: str = "the mask",
) -> list[np.ndarray]:
    """Convert masks given from Python to HxW bool (true = hole), one for each picture.

    Args:
        mask: array HxW or HxWx3(4), PIL image, or tensor HxW or (B)xCxHxW, of bool, uint8, uint16 or float in [0, 1].
            One mask for all pictures, or a tensor with one for each.
        sizes: (height, width) of each picture.
        threshold, invert, grow, may_be_black: as for `read_mask`.
        what: its name in messages.

    Raises:
        InputError: as `read_mask`, and for other shapes, types, NaN and values out of range.
    """
    check_mask_settings(threshold, invert, grow)
    if isinstance(mask, Image.Image):
        pictures = [picture_from_pil(mask, what)]
    elif is_tensor(mask):
        batch = mask[None] if mask.ndim == 2 and not mask.is_nested else mask
        pictures = pictures_from_tensor(batch.float() if str(batch.dtype) == "torch.bool" else batch, what)
    elif isinstance(mask, np.ndarray):
        array = mask.astype(np.uint8) * np.uint8(255) if mask.dtype == np.bool_ else mask
        pictures = [picture_from_array(array, what)]
    else:
        raise InputError(f"a mask must be an array, a tensor or a PIL image, not {type(mask).__name__}")
    if is_tensor(mask) and mask.ndim == 3 and len(mask) == len(sizes) > 1 and bool((mask != mask[:1]).any()):
        raise InputError(
            f"a mask of {'x'.join(map(str, mask.shape))}, for {len(sizes)} pictures: give masks as Bx1xHxW"
        )
    if len(pictures) not in (1, len(sizes)):
        raise InputError(f"{len(pictures)} masks for {len(sizes)} pictures: give one, or one for each")
    convert = partial(hole_from_picture, threshold=threshold, invert=invert, grow=grow, may_be_black=may_be_black)
    if len(pictures) == 1:
        # Pictures of the same size share the result.
        found = {size: convert(pictures[0], size, name=what) for size in dict.fromkeys(sizes)}
        return [found[size] for size in sizes]
    rows = enumerate(zip(pictures, sizes, strict=True))
    return [convert(picture, size, name=f"row {row} of the batch: {what}") for row, (picture, size) in rows]


def check_mask_settings(threshold: float, invert: bool, grow: int) -> None:
    """Raise SettingError for invalid mask settings."""
    check("mask_threshold", threshold, Number(0))
    if threshold >= 1:
        raise SettingError("mask_threshold", f"must be below 1, not {threshold:g}: no value is above 1")
    check("invert", invert, bool)
    check("grow", grow, Whole())


def check_mask_size(found: tuple[int, int], size: tuple[int, int], name: str) -> None:
    """Raise InputError unless a mask of (height, width) `found` has the size of its photo."""
    if found != tuple(size):
        raise InputError(
            f"{name} is {found[1]}x{found[0]}, but the photo is {size[1]}x{size[0]} (width x height, upright): "
            "make them the same size"
        )


def hole_from_picture(
    picture: Picture,
    size: tuple[int, int],
    *,
    name: str,
    threshold: float = MASK_THRESHOLD,
    invert: bool | None = False,
    grow: int = 0,
    may_be_black: bool = False,
) -> np.ndarray:
    """Convert a picture to a mask, HxW bool with true for holes; see `read_mask`.

    Log a warning if it looks like a photograph, such as a copy with painted holes.

    Args:
        name: name of the mask in messages.
    """
    check_mask_size(picture.size, size, name)
    hole = np.empty(picture.size, dtype=bool)
    highest, between = 0.0, 0
    for top in range(0, picture.height, _ROWS):
        samples = to_float(picture.pixels[top : top + _ROWS])
        values = samples if samples.ndim == 2 else samples[..., : 1 if picture.is_gray_mode else 3].max(axis=-1)
        if picture.has_alpha:
            values *= samples[..., -1]
        hole[top : top + _ROWS] = values > threshold
        highest = max(highest, float(values.max()))
        between += int(np.count_nonzero((values > 0.1) & (values < 0.9)))
    if between > _BETWEEN * hole.size:
        _log.warning("%s looks like a photograph: paint white on black, or on a transparent layer", name)
    marked = bool(hole.any())
    if invert:
        hole = ~hole
    if grow and not hole.all():
        hole = dilate(hole, grow)
        if hole.all():
            problem = f"{name}, grown by {grow} pixels, leaves no known pixel: use a smaller value"
            raise MaskError(problem, "grow")
    if (hole.any() and not hole.all()) or (highest == 0 and may_be_black and not invert):
        return hole
    if marked and invert is None:
        words, option = "mark less of it", ""
    elif marked:
        words = (
            "do not invert it" if invert else "is it the other way round? inverted, holes and known pixels are swapped"
        )
        option = "invert_mask"
    elif highest > 0:
        words, option = "if it holds 0 and 1, use a mask threshold of 0", "mask_threshold 0"
    else:
        words, option = f"paint the {'known pixels' if invert else 'holes'} white", ""
    level = f"{highest:.3g} of 1" if picture.peak == 1 else f"{highest * picture.peak:g} of {picture.peak:g}"
    what = "leaves no known pixel" if hole.any() else "has no hole"
    kind = MaskError if hole.any() else EmptyMaskError
    raise kind(f"{name} {what} (the largest value is {level}): {words}", option)


def observed_from_hole(hole: np.ndarray) -> np.ndarray:
    """Convert the masks' polarity (true = hole) to the operators' (1 = observed): float32 of the same shape."""
    return np.logical_not(hole).astype(np.float32)


def dilate(hole: np.ndarray, radius: int) -> np.ndarray:
    """Return every pixel within Euclidean distance `radius` (at least 0) of a hole, in strips to save memory."""
    out = hole.copy()
    height, width = hole.shape
    radius = min(radius, height + width)  # covers the whole picture
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        first, last = max(0, top - radius), min(height, bottom + radius)
        columns = np.flatnonzero(hole[first:last].any(axis=0))
        if not columns.size:
            continue
        left, right = max(0, columns[0] - radius), min(width, columns[-1] + radius + 1)
        distance = ndimage.distance_transform_edt(~hole[first:last, left:right])
        out[top:bottom, left:right] = distance[top - first : bottom - first] <= radius
    return out
