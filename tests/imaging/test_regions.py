"""Regions around holes."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from scoreinv.imaging.regions import (
    Region,
    clusters,
    extent,
    halvings_of_holes,
    hole_regions,
    overlap,
    regions_to_fill,
    widened,
)
from scoreinv.imaging.resizing import mask_of_blocks, means_of_blocks, touched_blocks
from scoreinv.windows.boxes import crop


def holes(shape: tuple[int, int], *boxes: tuple[int, int, int, int]) -> np.ndarray:
    hole = np.zeros(shape, dtype=bool)
    for top, left, height, width in boxes:
        hole[top : top + height, left : left + width] = True
    return hole


def filled(hole: np.ndarray, window: int, multiple: int, *, deep: bool) -> list[Region]:
    """The regions in the order in which they are filled."""
    return [region for (region,) in regions_to_fill(hole, window, multiple, deep=deep)]


def check(hole: np.ndarray, regions: list[Region]) -> None:
    """Every hole pixel belongs to exactly one region, and every box is inside the picture."""
    owners = np.zeros(hole.shape, dtype=int)
    for region in regions:
        top, left, height, width = region.box
        assert min(top, left) >= 0
        assert min(height, width) >= 1
        assert top + height <= hole.shape[0]
        assert left + width <= hole.shape[1]
        assert region.hole.shape == (height, width)
        assert region.hole.any()
        owners[top : top + height, left : left + width] += region.hole
    assert_array_equal(owners, hole)


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("known", [(slice(-9, None), slice(None)), (slice(300, 310), slice(-20, None))])
def test_a_hole_in_blocks_is_filled_from_what_is_known_on(known: tuple[slice, slice], deep: bool) -> None:
    """Of a hole larger than a block the first block in order may show nothing."""
    hole = np.ones((800, 450), bool)
    hole[known] = False
    regions = filled(hole, 16, 4, deep=deep)
    check(hole, regions)
    assert len(regions) > 3
    unknown = hole.copy()
    for region in regions:
        assert not crop(unknown, region.box).all()
        crop(unknown, region.box)[region.hole] = False


def test_boxes_do_not_overlap_where_the_maximum_is_the_picture():
    rng = np.random.default_rng(0)
    for count in (5, 40, 300):
        hole = np.zeros((900, 1100), bool)
        hole[rng.integers(0, 900, count), rng.integers(0, 1100, count)] = True
        regions = hole_regions(hole, context=20, multiple=16, minimum=48, maximum=1100)
        check(hole, regions)
        covered = np.zeros(hole.shape, int)
        for region in regions:
            top, left, height, width = region.box
            covered[top : top + height, left : left + width] += 1
        assert covered.max() == 1


def test_halvings_bring_every_pixel_of_a_hole_within_reach():
    hole = np.zeros((200, 300), dtype=bool)
    hole[20:34, 20:50] = True  # 7 pixels deep
    hole[20:36, 60:90] = True  # 8 deep, half of the reach
    hole[60:190, 100:230] = True  # 65 deep
    hole[100:110, 230:260] = True  # a thin arm of the same hole
    hole[5:9, 100:290] = True
    hole[150:200, 0:20] = True  # 20 deep, since the picture ends there
    times = halvings_of_holes(hole, 16)
    assert times.dtype == np.int8
    assert set(times[20:34, 20:50].flat) == {0}
    assert set(times[20:36, 60:90].flat) == {1}
    assert set(times[60:190, 100:230].flat) == {3}
    assert set(times[100:110, 230:246].flat) == {3}
    assert set(times[5:9, 100:290].flat) == {0}
    assert set(times[150:200, 0:20].flat) == {1}
    assert not times[~hole].any()


@pytest.mark.parametrize("depth", [20, 40])
def test_the_arms_of_a_deep_hole_are_scratches(depth: int) -> None:
    """What is narrow of it and 24 pixels from what is 8 deep is not drawn at a coarser scale."""
    hole = holes((300, 400), (60, 60, 2 * depth, 2 * depth))
    scratch = holes((300, 400), (60 + depth, 60, 6, 300))
    times = halvings_of_holes(hole | scratch, 16)
    assert set(times[hole].flat) == {int(np.ceil(np.log2(depth / 16)))}
    end = 60 + 2 * depth - 8 + 24
    assert not times[scratch & (np.arange(400) > end)].any()
    assert times[scratch & (np.arange(400) < end - 1)].all()
    narrow = [region for region in filled(hole | scratch, 64, 16, deep=True) if region.narrow]
    assert sum(region.hole.sum() for region in narrow) == (scratch & (times == 0)).sum()
    assert {region.window for region in narrow} == {48}


@pytest.mark.parametrize(("window", "side"), [(64, 320 + 128), (256, 1280 + 256)])
def test_a_wide_crack_is_drawn_in_short_blocks(window: int, side: int) -> None:
    """And the context around them, however long it is."""
    crack = np.zeros((1500, 2100), bool)
    crack[700 : 700 + window // 2] = True
    regions = filled(crack, window, 8, deep=True)
    check(crack, regions)
    assert {region.halvings for region in regions} == {1}
    assert max(max(region.hole.shape) for region in regions) <= side


@pytest.mark.parametrize("place", [(30, 40), (0, 0), (97, 179)])
def test_a_region_is_widened_to_all_of_the_picture_in_a_few_steps(place):
    hole = holes((101, 203), (*place, 4, 24))
    (region,) = hole_regions(hole, context=8, maximum=200, multiple=4, minimum=16)
    for _ in range(5):
        wide = widened(region, hole.shape, 4)
        check(hole, [wide])
        for side, before, whole in zip(wide.box[2:], region.box[2:], hole.shape, strict=True):
            assert min(2 * before, whole) <= side + 4
        region = wide
    assert region.box == (0, 0, 101, 203)


def drawn_hole(rng: np.random.Generator) -> np.ndarray:
    """Return specks, scratches and blots in a picture, not all of it."""
    hole = np.zeros(rng.integers(1, 260, 2), bool)
    height, width = hole.shape
    for _ in range(rng.integers(1, 9)):
        tall, wide = rng.choice((1, 3, 20, 90, 300), 2)
        top, left = rng.integers(-5, height), rng.integers(-5, width)
        hole[max(0, top) : top + tall, max(0, left) : left + wide] = True
    hole.flat[rng.integers(hole.size)] = False
    return hole


def test_regions_of_drawn_holes():
    """Each hole pixel once, beside known pixels, in sides and groups as promised."""
    rng = np.random.default_rng(1)
    for _ in range(40):
        hole, deep = drawn_hole(rng), bool(rng.random() < 0.5)
        window, multiple = [(16, 4), (32, 1), (48, 16), (64, 16)][rng.integers(4)]
        at_once = int(rng.choice((0, 4 * window**2)))
        groups = regions_to_fill(hole, window, multiple, deep=deep, at_once=at_once)
        regions = [region for group in groups for region in group]
        check(hole, regions)
        unknown = hole.copy()
        for region in regions:
            assert not crop(unknown, region.box).all()
            crop(unknown, region.box)[region.hole] = False
            tops = zip(region.box[:2], region.box[2:], extent(region.hole), hole.shape, strict=True)
            context = max(window // 4, 32 if region.halvings else 0) << region.halvings
            for start, side, own, size in tops:
                assert side == size or (side % multiple == 0 and side >= min(window, size // multiple * multiple))
                length, end = own.stop - own.start, start + side
                assert side - length >= min(context, size - length) / 2
                if side >= length + 2 * context:  # no border of the picture is near
                    assert start == 0 or own.start >= context or end == size
                    assert end == size or side - own.stop >= context or start == 0
            assert region.in_one_window == (not region.halvings and max(region.hole.shape) <= region.window)
            if region.narrow:
                assert not region.halvings
                assert deep
        for group in groups:
            kinds = {(region.narrow, region.hole.shape, region.in_one_window) for region in group}
            apart = all(not overlap(a.box, b.box) for a, b in combinations(group, 2))
            assert len(group) == 1 or (len(kinds) == 1 and group[0].in_one_window and apart)
            assert len(group) == 1 or sum(region.hole.size for region in group) <= at_once


def test_overlaps_are_those_of_painted_boxes():
    rng = np.random.default_rng(1)
    for _ in range(200):
        a, b = (tuple(map(int, (*rng.integers(0, 8, 2), *rng.integers(1, 6, 2)))) for _ in range(2))
        both = holes((14, 14), a) & holes((14, 14), b)
        found = overlap(a, b)
        assert (found is not None) == both.any()
        for box, place in zip((a, b), found or (), strict=False):
            expected = np.zeros(box[2:], bool)
            expected[place] = True
            assert_array_equal(expected, crop(both, box))


def test_clusters_are_of_holes_in_cells_of_16_pixels_that_touch():
    """By their first row, each with its own pixels of the bounding box."""
    hole = holes((70, 90), (14, 70, 2, 3), (17, 60, 1, 2), (1, 2, 3, 4), (60, 80, 10, 10), (17, 20, 2, 2))
    found = [(box, int(own.sum())) for box, own in clusters(hole)]
    assert found == [((1, 2, 18, 20), 16), ((14, 60, 4, 13), 8), ((60, 80, 10, 10), 100)]
    for box, own in clusters(hole):
        assert_array_equal(own, crop(hole, box))


def test_blocks_of_pixels():
    values = np.arange(7 * 9).reshape(7, 9).astype(float)
    means = means_of_blocks(values, 3)
    assert means.tolist() == [[values[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].mean() for j in range(3)] for i in range(2)]
    colours = np.stack([values, -values], axis=-1)
    assert_array_equal(means_of_blocks(colours, 3), np.stack([means, -means], axis=-1))
    hole = holes((7, 9), (2, 5, 2, 1), (6, 8, 1, 1))
    touched = touched_blocks(hole, 3)
    assert touched.tolist() == [[False, True, False], [False, True, False], [False, False, True]]
    whole = mask_of_blocks(touched[:2], 3, (7, 9))
    assert whole.shape == (7, 9)
    assert_array_equal(whole, holes((7, 9), (0, 3, 6, 3)))
