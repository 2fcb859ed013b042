"""Where windows lie: on a grid, or around what matters."""

from collections.abc import Sequence

import numpy as np

from scoreinv.windows.boxes import Box
from scoreinv.windows.placement import cheapest_tile, covering_tile, grid, windows_around


def inner(boxes: list[Box], shape: tuple[int, int], edges: Sequence[int]) -> np.ndarray:
    """Which pixels are so far from a window's border along each axis, or at the picture's, HxW bool."""
    found, (down, across) = np.zeros(shape, bool), edges
    for top, left, tall, wide in boxes:
        rows = slice(top + down * (top > 0), top + tall - down * (top + tall < shape[0]))
        columns = slice(left + across * (left > 0), left + wide - across * (left + wide < shape[1]))
        found[rows, columns] = True
    return found


def test_drawn_windows_cover_what_is_needed() -> None:
    """Inside the picture, with half of the overlap around; needed pixels take no more windows than the grid."""
    rng = np.random.default_rng(1)
    for _ in range(80):
        stride = int(rng.choice((1, 4, 16)))
        shape, tile = tuple(rng.integers(1, 120, 2).tolist()), -(-int(rng.integers(10, 60)) // stride) * stride
        overlap = int(rng.integers(3 * tile // 4))
        needed = rng.random(shape) < rng.choice((0.0005, 0.01, 1.0))
        sizes = [tile if side >= tile else max(stride, side // stride * stride) for side in shape]
        shared = [overlap if size == tile else min(overlap, size // 2) for size in sizes]
        edges = [least // 2 for least in shared]
        everywhere, around = grid(*shape, tile, overlap, stride), windows_around(needed, tile, overlap, stride)
        for boxes, covered in ((everywhere, np.ones(shape, bool)), (around, needed)):
            for top, left, tall, wide in boxes:
                assert [tall, wide] == sizes
                assert tall % stride == wide % stride == 0
                assert 0 <= top <= max(0, shape[0] - tall)
                assert 0 <= left <= max(0, shape[1] - wide)
                assert covered[top : top + tall, left : left + wide].any()
            assert not (covered & ~inner(boxes, shape, edges)).any()
        if shape[0] % stride == shape[1] % stride == 0:
            assert len(around) <= len(everywhere)
        for axis in (0, 1):
            steps = np.diff(sorted({box[axis] for box in everywhere}))
            assert steps.max(initial=0) <= min(sizes[axis] - shared[axis], 1 + steps.min(initial=300))


def test_drawn_tiles_are_the_cheapest() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        stride, shape = int(rng.choice((4, 8))), tuple(rng.integers(1, 90, 2).tolist())
        least, most = stride * int(rng.integers(2, 4)), stride * int(rng.integers(4, 9))
        tiles, overlap = range(least, most + 1, stride), int(rng.integers(least))
        needed = rng.random(shape) < 0.002
        needed.flat[rng.integers(needed.size)] = True

        def pixels(boxes: list[Box]) -> int:
            return sum(tall * wide for _, _, tall, wide in boxes)

        whole = [pixels(grid(*shape, tile, overlap, stride)) for tile in tiles]
        found = covering_tile(*shape, overlap, stride, least, most)
        assert found == max(tile for tile, cost in zip(tiles, whole, strict=True) if cost == min(whole))
        least_cost = min(pixels(windows_around(needed, tile, overlap, stride)) for tile in tiles)
        tile = cheapest_tile(needed, overlap, stride, least, most)
        assert tile in tiles
        cost = pixels(windows_around(needed, tile, overlap, stride))
        alone = max(shape) <= tile and shape[0] % stride == shape[1] % stride == 0
        assert cost == least_cost or (alone and needed.size <= 1.5 * least_cost)


def test_a_grid_covers_a_picture_evenly() -> None:
    boxes = grid(100, 512, 64, 8, 16)
    assert inner(boxes, (100, 512), (4, 4)).all()
    assert {box[2:] for box in boxes} == {(64, 64)}
    assert [box[0] for box in boxes[::9]] == [0, 36]
    assert np.ptp(np.diff([box[1] for box in boxes[:9]])) <= 1


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
