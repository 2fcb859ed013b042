"""Which pixels of a result are the original's: masks of changes, and pictures that show them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scoreinv.imaging.picture import Picture, colour_planes, eight_bits
from scoreinv.imaging.resizing import nearest
from scoreinv.windows.boxes import Box

IDENTICAL, ALTERED, GENERATED = 0, 127, 255
"""Values of a mask of changes. Read as a mask of holes (values above half the range), it marks the generated pixels."""
_TINTS = {ALTERED: (0, 96, 255, 0.25), GENERATED: (255, 0, 64, 0.5)}
"""Red, green and blue (0 to 255) and opacity (0 to 1) of the tint for each value of the mask."""
_UNMARKED_COLOUR = (255, 224, 0)
"""Red, green and blue of changed pixels that the mask calls identical."""


def differing(a: Picture, b: Picture) -> np.ndarray:
    """Return the pixels of b that differ from those of a, HxW bool of b's size; all if the sizes differ.

    Grey counts as equal to RGB with three equal values, 8 bits as equal to 16 bits of the same intensity, and a picture
    without alpha as opaque.
    """
    if a.size != b.size:
        return np.ones(b.size, dtype=bool)
    one_is_deep = a.pixels.dtype != b.pixels.dtype  # 8 bits and 16

    def samples(picture: Picture, pixels: np.ndarray) -> np.ndarray:
        return pixels.astype(np.uint16) * np.uint16(257) if one_is_deep and picture.pixels.itemsize == 1 else pixels

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
    """Return the mask of changes of results of one size, HxW uint8.

    Its values are `GENERATED`, `ALTERED` (in any of the results) and `IDENTICAL`.

    Args:
        generated: the generated pixels, bool, at the size of the results or of the original's part; None: no pixel.
        box: the part of the original that the results show; None: the whole original.
    """
    part, size = original if box is None else original.part(box), results[0].size
    mask = np.where(np.any([differing(part, result) for result in results], axis=0), np.uint8(ALTERED), np.uint8(0))
    if generated is not None:
        mask[nearest(generated, size)] = GENERATED
    return mask


def side_by_side(original: Picture, result: Picture, mask: np.ndarray, unmarked: np.ndarray) -> Picture:
    """Return original and result side by side, 8-bit RGB: generated pixels tinted red, altered ones blue.

    Args:
        original: the part of the original that the result shows.
        mask: the mask of changes, HxW uint8 of the result's size.
        unmarked: HxW bool, changed pixels that the mask calls identical; they become yellow.
    """
    sides = []
    for picture in (original, result):
        pixels = picture.pixels if picture.pixels.dtype == np.uint8 else eight_bits(picture.pixels)
        colours = colour_planes(nearest(pixels, result.size)).repeat(3 if picture.is_gray_mode else 1, axis=2)
        shown = colours.astype(np.float32)
        for value, (*colour, opacity) in _TINTS.items():
            where = mask == value
            shown[where] += opacity * (np.asarray(colour, np.float32) - shown[where])
        shown[unmarked] = _UNMARKED_COLOUR
        sides.append(np.rint(shown).astype(np.uint8))
    gap = np.full((result.height, max(2, result.width // 100), 3), 255, np.uint8)
    return Picture(np.concatenate([sides[0], gap, sides[1]], axis=1))
