"""Which pixels of a result are the original's: masks of changes, and pictures that show them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scoreinv.imaging.picture import Picture, colour_planes, eight_bits
from scoreinv.windows.boxes import Box

IDENTICAL, ALTERED, GENERATED = 0, 127, 255
"""Values of a mask of changes. As a mask of holes, which begin above half of the range, it has the generated pixels."""
_TINTS = {ALTERED: (0, 96, 255, 0.25), GENERATED: (255, 0, 64, 0.5)}
"""Red, green, blue and opacity by value."""
_STRAY = (255, 224, 0)
"""Colour of changes outside the mask."""


def differing(a: Picture, b: Picture) -> np.ndarray:
    """Return where b differs from a, HxW bool of b's size; everywhere if the sizes differ.

    Grey equals three equal colours, and no alpha is opaque.
    """
    if a.size != b.size:
        return np.ones(b.size, dtype=bool)
    deep = a.pixels.dtype != b.pixels.dtype  # 8 bits and 16

    def samples(picture: Picture, pixels: np.ndarray) -> np.ndarray:
        return pixels.astype(np.uint16) * np.uint16(257) if deep and picture.pixels.itemsize == 1 else pixels

    equal = (samples(a, colour_planes(a.pixels)) == samples(b, colour_planes(b.pixels))).all(axis=-1)
    if a.has_alpha or b.has_alpha:
        alphas = [
            samples(each, each.pixels[..., -1] if each.has_alpha else np.full(each.size, each.peak, each.pixels.dtype))
            for each in (a, b)
        ]
        equal &= alphas[0] == alphas[1]
    return ~equal


def changes(
    original: Picture, results: Sequence[Picture], generated: np.ndarray | None, box: Box | None = None
) -> np.ndarray:
    """Return the mask of changes of results, HxW uint8: `GENERATED`, `ALTERED` in any of them, or `IDENTICAL`.

    Args:
        generated: HxW bool, of the original's part or of the results' size; None: nothing is.
        box: the part of the original that the results show; None: all of it.
    """
    part, size = original if box is None else original.part(box), results[0].size
    mask = np.where(np.any([differing(part, result) for result in results], axis=0), np.uint8(ALTERED), np.uint8(0))
    if generated is not None:
        mask[enlarged(generated, size)] = GENERATED
    return mask


def enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return HxW(xC) values at a size (height, width), by their nearest neighbours."""
    if values.shape[:2] == size:
        return values
    rows, columns = (np.arange(to) * side // to for side, to in zip(values.shape, size, strict=False))
    return values[rows[:, None], columns]


def marked(original: Picture, result: Picture, mask: np.ndarray, stray: np.ndarray) -> Picture:
    """Return original and result side by side, 8 bits, with the mask's areas tinted: red generated, blue altered.

    Args:
        original: the part of the original that the result shows.
        mask: the mask of changes, of the result's size.
        stray: HxW bool, changes outside the mask, shown in yellow.
    """
    sides = []
    for picture in (original, result):
        pixels = picture.pixels if picture.pixels.dtype == np.uint8 else eight_bits(picture.pixels)
        colours = colour_planes(enlarged(pixels, result.size)).repeat(3 if picture.is_gray_mode else 1, axis=2)
        shown = colours.astype(np.float32)
        for value, (*colour, opacity) in _TINTS.items():
            where = mask == value
            shown[where] += opacity * (np.asarray(colour, np.float32) - shown[where])
        shown[stray] = _STRAY
        sides.append(np.rint(shown).astype(np.uint8))
    gap = np.full((result.height, max(2, result.width // 100), 3), 255, np.uint8)
    return Picture(np.concatenate([sides[0], gap, sides[1]], axis=1))
