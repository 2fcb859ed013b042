"""Where windows lie: on a grid, or around what matters."""

import numpy as np
import pytest

from scoreinv.windows.boxes import Box
from scoreinv.windows.placement import cheapest_tile, covering_tile, grid, windows_around


def inner(boxes: list[Box], shape: tuple[int, int], edge: int) -> np.ndarray:
    """Which pixels are so far from a window's border, or at the picture's, HxW bool."""
    found = np.zeros(shape, bool)
    for top, left, tall, wide in boxes:
        rows = slice(top + edge * (top > 0), top + tall - edge * (top + tall < shape[0]))
        columns = slice(left + edge * (left > 0), left + wide - edge * (left + wide < shape[1]))
        found[rows, columns] = True
    return found


@pytest.mark.parametrize("shape", [(300, 400), (64, 400), (50, 90), (48, 48), (20, 21), (7, 30)])
@pytest.mark.parametrize("share", [0.0005, 0.01, 1.0])
def test_windows_have_what_is_needed_within_them(shape: tuple[int, int], share: float) -> None:
    needed = np.random.default_rng(shape[1]).random(shape) < share
    boxes = windows_around(needed, 48, 8, 16)
    assert len({box[2:] for box in boxes}) <= 1
    for top, left, tall, wide in boxes:
        assert tall % 16 == wide % 16 == 0
        assert 0 <= top <= max(0, shape[0] - tall)
        assert 0 <= left <= max(0, shape[1] - wide)
        assert needed[top : top + tall, left : left + wide].any()
    assert not (needed & ~inner(boxes, shape, 4)).any()
    if shape[0] % 16 == shape[1] % 16 == 0:
        assert len(boxes) <= len(grid(*shape, 48, 8, 16))


def test_a_grid_covers_a_picture_evenly() -> None:
    boxes = grid(100, 512, 64, 8, 16)
    assert inner(boxes, (100, 512), 4).all()
    assert {box[2:] for box in boxes} == {(64, 64)}
    assert [box[0] for box in boxes[::9]] == [0, 36]
    assert np.ptp(np.diff([box[1] for box in boxes[:9]])) <= 1


def test_a_speck_is_in_the_middle_of_its_window() -> None:
    needed = np.zeros((200, 300), bool)
    needed[90:96, 140:150] = True
    assert windows_around(needed, 64, 8, 16) == [(61, 113, 64, 64)]
    needed[90:96, 292:299] = True
    assert windows_around(needed, 64, 8, 16) == [(61, 113, 64, 64), (61, 236, 64, 64)]
    assert windows_around(np.zeros((200, 300), bool), 64, 8, 16) == []


def test_a_scratch_takes_fewer_windows_than_the_grid_has_on_its_way() -> None:
    scratch = np.zeros((640, 640), bool)
    for column in range(640):
        row = int(100 + 0.6 * column)
        scratch[row : row + 4, column] = True
    on_its_way = [box for box in grid(640, 640, 64, 8, 16) if scratch[box[0] : box[0] + 64, box[1] : box[1] + 64].any()]
    assert len(windows_around(scratch, 64, 8, 16)) < 0.8 * len(on_its_way)


def test_the_cheapest_windows_of_what_is_needed() -> None:
    everywhere = np.ones((512, 512), bool)
    assert cheapest_tile(everywhere, 8, 16, 64, 192) == 176  # three along a side, where 64 takes nine
    assert cheapest_tile(everywhere[:96, :96], 8, 16, 64, 192) == 96
    line = np.zeros((512, 512), bool)
    line[250, :] = True
    assert cheapest_tile(line, 8, 16, 48, 192) == 48
    assert cheapest_tile(everywhere[:10, :40], 8, 16, 64, 192) == 64
    assert cheapest_tile(everywhere[:64, :30], 8, 16, 64, 192) == 64


def test_a_single_window_may_have_more_pixels() -> None:
    crossing = np.zeros((112, 112), bool)
    crossing[10] = crossing[:, 20] = True
    several = sum(high * wide for _, _, high, wide in windows_around(crossing, 48, 8, 16))
    assert 112**2 / 1.5 < several < 112**2
    assert cheapest_tile(crossing, 8, 16, 48, 192) == 112
    uneven = np.zeros((100, 130), bool)  # no single window covers it
    uneven[10] = uneven[:, 20] = True
    assert cheapest_tile(uneven, 8, 16, 48, 192) == 48
    speck = np.zeros((112, 112), bool)
    speck[10, 10] = True
    assert cheapest_tile(speck, 8, 16, 48, 192) == 48


def test_windows_that_cover_a_picture_are_few() -> None:
    assert covering_tile(512, 512, 32, 16, 128, 192) == 192  # three along a side, where 128 takes five
