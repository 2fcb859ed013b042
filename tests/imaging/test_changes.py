"""Masks of changes: classes, sizes and modes; and the pictures that show them."""

import numpy as np
import pytest

from scoreinv.imaging.changes import ALTERED, GENERATED, IDENTICAL, changes, differing, side_by_side
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.resizing import nearest

PIXELS = np.random.default_rng(0).integers(1, 250, (6, 8, 3)).astype(np.uint8)


def with_change(pixels: np.ndarray, row: int, column: int) -> np.ndarray:
    changed = pixels.copy()
    changed[row, column] += 1
    return changed


def test_classes():
    generated = np.zeros((6, 8), dtype=bool)
    generated[2, 2:4] = True
    results = [Picture(with_change(PIXELS, 0, 1)), Picture(with_change(PIXELS, 5, 7))]
    expected = np.full((6, 8), IDENTICAL, np.uint8)
    expected[0, 1] = expected[5, 7] = ALTERED
    expected[generated] = GENERATED  # even of the original's value
    assert np.array_equal(changes(Picture(PIXELS), results, generated), expected)
    assert not changes(Picture(PIXELS), [Picture(PIXELS.copy())], None).any()


def test_a_part_and_other_sizes():
    result = Picture(with_change(PIXELS[1:5, 2:7], 3, 4))
    assert np.argwhere(changes(Picture(PIXELS), [result], None, (1, 2, 4, 5))).tolist() == [[3, 4]]
    generated = np.zeros((6, 8), dtype=bool)
    generated[1, 1] = True
    large = changes(Picture(PIXELS), [Picture(PIXELS).blank_enlarged(2)], generated)
    assert (large[2:4, 2:4] == GENERATED).all()
    assert (large == GENERATED).sum() == 4
    assert (large != IDENTICAL).all()
    assert differing(Picture(PIXELS), Picture(PIXELS).blank_enlarged(2)).dtype == bool


def test_differences_of_drawn_modes_and_types_are_those_of_deep_colours():
    """Grey and colour, with alpha and without, 8 bits and 16: as both are in 16 bits, colour and alpha."""
    rng = np.random.default_rng(1)

    def drawn() -> tuple[Picture, np.ndarray]:
        channels, deep = int(rng.integers(1, 5)), bool(rng.integers(2))
        pixels = rng.choice(np.array([0, 255], np.uint16), (5, 6, channels)) * np.uint16(257)
        colours = pixels[..., :1].repeat(3, axis=2) if channels < 3 else pixels[..., :3]
        alpha = pixels[..., -1] if channels in (2, 4) else np.full((5, 6), 65535, np.uint16)
        stored = pixels if deep else (pixels // 257).astype(np.uint8)
        return Picture(stored[..., 0] if channels == 1 else stored), np.dstack([colours, alpha])

    for _ in range(100):
        (one, ours), (other, theirs) = drawn(), drawn()
        assert np.array_equal(differing(one, other), (ours != theirs).any(axis=-1))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_marks(dtype):
    gray = np.full((6, 8), 100, dtype) * dtype(1 if dtype == np.uint8 else 257)
    mask = np.zeros((6, 8), np.uint8)
    mask[0, 0], mask[1, 1] = GENERATED, ALTERED
    unmarked = np.zeros((6, 8), dtype=bool)
    unmarked[2, 2] = True
    shown = side_by_side(Picture(gray), Picture(gray), mask, unmarked).pixels
    assert (shown.dtype, shown.shape) == (np.uint8, (6, 18, 3))
    for side in (shown[:, :8], shown[:, 10:]):
        red, _, blue = side[0, 0].astype(int)
        assert red > blue + 50
        red, _, blue = side[1, 1].astype(int)
        assert blue > red + 50
        assert side[2, 2].tolist() == [255, 224, 0]
        assert (side[3:] == 100).all()


def test_tints_are_mixed_by_their_opacity_and_a_white_gap_divides() -> None:
    gray = np.full((2, 400), 100, np.uint8)
    mask = np.zeros((2, 400), np.uint8)
    mask[0, 0], mask[1, 1] = GENERATED, ALTERED
    shown = side_by_side(Picture(gray), Picture(gray), mask, np.zeros((2, 400), bool)).pixels
    assert shown.shape == (2, 804, 3)
    assert (shown[:, 400:404] == 255).all()
    for side in (shown[:, :400], shown[:, 404:]):
        assert side[0, 0].tolist() == [178, 50, 82]  # half of (255, 0, 64)
        assert side[1, 1].tolist() == [75, 99, 139]  # a quarter of (0, 96, 255)


def test_pictures_of_other_sizes_differ_everywhere() -> None:
    assert differing(Picture(PIXELS), Picture(PIXELS[:5])).tolist() == [[True] * 8] * 5
    smaller = np.arange(48).reshape(6, 8)
    assert nearest(smaller, (3, 4)).tolist() == smaller[::2, ::2].tolist()
    assert nearest(smaller, (4, 8)).tolist() == smaller[[0, 1, 3, 4]].tolist()
