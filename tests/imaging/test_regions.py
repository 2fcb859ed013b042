"""Regions around holes."""

from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import ndimage

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


def test_no_hole_no_region():
    assert hole_regions(np.zeros((50, 60), bool), context=8, maximum=60) == []


def test_one_hole_has_its_context_around():
    hole = holes((400, 500), (200, 243, 10, 12))
    (region,) = hole_regions(hole, context=24, maximum=1100)
    assert region.box == (176, 219, 58, 60)
    check(hole, [region])


@pytest.mark.parametrize("place", [(0, 0), (390, 490), (195, 0)])
def test_a_box_at_the_border_is_moved_inside(place):
    hole = holes((400, 500), (*place, 10, 10))
    (region,) = hole_regions(hole, context=24, multiple=32, minimum=128, maximum=1100)
    assert region.box[2:] == (128, 128)
    check(hole, [region])


def test_sides_are_multiples_where_the_picture_allows():
    hole = holes((400, 500), (100, 100, 70, 3))
    (region,) = hole_regions(hole, context=20, multiple=32, maximum=1100)
    assert region.box[2:] == (128, 64)
    # 100 rows hold no 128, so 96 do; 20 columns hold no multiple at all
    (region,) = hole_regions(holes((100, 20), (30, 5, 40, 3)), context=30, multiple=32, maximum=100)
    assert region.box[2:] == (96, 20)
    # the hole itself needs more than 96 of the 100 rows
    (region,) = hole_regions(holes((100, 20), (1, 5, 98, 3)), context=30, multiple=32, maximum=100)
    assert region.box[2:] == (100, 20)


@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.parametrize("shape", [(75, 300), (67, 40), (300, 75)])
def test_what_little_is_known_is_shown(shape: tuple[int, int], deep: bool) -> None:
    """A band along the border, beside a hole whose length is a multiple of the network's stride."""
    hole = np.ones(shape, bool)
    hole[: shape[0] % 16 or 16, :] = False
    regions = filled(hole, 64, 16, deep=deep)
    check(hole, regions)
    assert not any(region.hole.all() for region in regions)


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


@pytest.mark.parametrize("side", [180, 192])
def test_a_hole_as_large_as_a_block_has_its_context(side: int) -> None:
    (region,) = filled(holes((300, 320), (50, 70, side, side)), 16, 4, deep=False)
    assert not region.hole[[0, -1]].any()
    assert not region.hole[:, [0, -1]].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (5, 5)])
def test_tiny_pictures(shape):
    hole = holes(shape, (0, 0, 1, 1))
    (region,) = hole_regions(hole, context=16, multiple=8, minimum=64, maximum=1100)
    check(hole, [region])


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


def test_a_maximum_bounds_boxes_of_many_holes_and_keeps_each_hole_whole():
    rng = np.random.default_rng(1)
    hole = np.zeros((1000, 1300), bool)
    for top, left in zip(rng.integers(0, 990, 150), rng.integers(0, 1290, 150), strict=True):
        hole[top : top + 6, left : left + 6] = True
    regions = hole_regions(hole, context=32, multiple=32, minimum=128, maximum=256)
    check(hole, regions)
    assert [region.box for region in regions] == sorted(region.box for region in regions)
    assert max(max(region.box[2:]) for region in regions) <= 320
    labels, count = ndimage.label(hole)
    assert sum(len(np.unique(crop(labels, region.box)[region.hole])) for region in regions) == count


def test_a_speck_within_the_extent_of_a_long_hole_is_in_one_of_its_blocks():
    hole = holes((300, 300), (20, 50, 200, 2), (120, 90, 4, 4))
    regions = hole_regions(hole, context=24, maximum=50)
    check(hole, regions)
    assert [region.box[3] for region in regions] == [50, 50, 92, 50]


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


def test_halvings_turn_with_the_picture():
    """What lies beyond a border is known at none of the four."""
    hole = holes((160, 200), (30, 40, 34, 50), (120, 0, 40, 12), (0, 150, 9, 50), (80, 60, 13, 13), (90, 130, 70, 70))
    times = halvings_of_holes(hole, 16)
    assert set(times[hole].tolist()) == {0, 1, 3}
    for turned, expected in ((hole.T, times.T), (hole[::-1], times[::-1]), (hole[:, ::-1], times[:, ::-1])):
        assert_array_equal(halvings_of_holes(turned, 16), expected)


@pytest.mark.parametrize("size", [(34, 80), (80, 34)])
def test_a_single_line_between_a_hole_and_the_border_is_known(size: tuple[int, int]) -> None:
    """34 lines are 17 deep between known ones."""
    for place in ((40, 50), (1, 1), (159 - size[0], 199 - size[1])):
        hole = holes((160, 200), (*place, *size))
        assert set(halvings_of_holes(hole, 16)[hole].tolist()) == {1}


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


def test_a_strip_that_wavers_about_what_is_deep_stays_in_one() -> None:
    half = (8 + 2 * np.sin(np.arange(900) / 40)).astype(int)
    strip = np.abs(np.arange(100)[:, None] - 50) <= half
    strip[:, :40] = strip[:, -40:] = False
    assert set(halvings_of_holes(strip, 16)[strip].flat) == {1}


@pytest.mark.parametrize(("window", "multiple"), [(64, 16), (16, 16), (28, 4), (32, 1)])
def test_the_windows_of_narrow_holes_suit_the_network(window: int, multiple: int) -> None:
    scratch = holes((150, 400), (70, 10, 3, 380))
    for region in filled(scratch, window, multiple, deep=True):
        assert region.narrow
        assert region.window % multiple == 0
        assert multiple <= region.window <= 3 * window


def test_a_scratch_beside_a_hole_makes_it_no_deeper():
    hole = holes((200, 300), (60, 60, 30, 120))
    scratch = holes((200, 300), (62, 220, 88, 3), (147, 20, 3, 203))  # an L whose box holds most of the hole
    assert set(halvings_of_holes(hole | scratch, 32)[hole].flat) == {0}


def test_a_long_scratch_in_blocks_is_no_wider_than_a_window():
    """The blocks of a scratch across a picture have the least box around them, whatever the picture's height."""
    for height in (50, 400):
        scratch = holes((height, 5000), (height // 2, 0, 3, 5000))
        parts = hole_regions(scratch, context=16, multiple=16, minimum=64, maximum=768)
        check(scratch, parts)
        assert {part.box[2] for part in parts} == {48 if height == 50 else 64}
        assert max(part.box[3] for part in parts) <= 768 + 32
        for part in parts:  # context at both ends, where there is more of the picture
            columns = np.flatnonzero(part.hole.any(axis=0)) + part.box[1]
            assert part.box[1] == 0 or columns[0] - part.box[1] >= 8
            end = part.box[1] + part.box[3]
            assert end == 5000 or end - columns[-1] > 8


@pytest.mark.parametrize(("window", "side"), [(64, 320 + 128), (256, 1280 + 256)])
def test_a_wide_crack_is_drawn_in_short_blocks(window: int, side: int) -> None:
    """And the context around them, however long it is."""
    crack = np.zeros((1500, 2100), bool)
    crack[700 : 700 + window // 2] = True
    regions = filled(crack, window, 8, deep=True)
    check(crack, regions)
    assert {region.halvings for region in regions} == {1}
    assert max(max(region.hole.shape) for region in regions) <= side


@pytest.mark.parametrize("length", [100, 320, 321, 660])
@pytest.mark.parametrize("width", [60, 100])
def test_a_deep_hole_has_its_context_whatever_its_length(width: int, length: int) -> None:
    """Of 32 pixels at the scale where it is drawn first; up to a third of its length in width it is in one piece."""
    hole = holes((1000, 500), (150, 200, length, width))
    regions = filled(hole, 64, 8, deep=True)
    check(hole, regions)
    (count,) = {region.halvings for region in regions}
    assert len(regions) == 1 or length > 160 << count
    for region in regions:
        height, wide = region.hole.shape
        rows, columns = np.flatnonzero(region.hole.any(1)), np.flatnonzero(region.hole.any(0))
        around = (rows[0], height - 1 - rows[-1], columns[0], wide - 1 - columns[-1])
        assert min(around) >= 32 << count


def narrow(hole: np.ndarray) -> bool:
    (region,) = filled(hole, 256, 1, deep=True)
    return region.narrow


@pytest.mark.parametrize(("width", "expected"), [(1, True), (10, True), (12, False), (20, False)])
@pytest.mark.parametrize("across", [False, True])
def test_scratches_are_narrow(width: int, expected: bool, across: bool) -> None:
    hole = np.zeros((64, 80), dtype=bool)
    hole[10 : 10 + width, 5:70] = True
    assert narrow(hole.T if across else hole) is expected


@pytest.mark.parametrize(("width", "expected"), [(5, True), (8, False)])
def test_beyond_the_border_of_the_picture_nothing_is_known(width: int, expected: bool) -> None:
    assert narrow(holes((64, 80), (0, 5, width, 65))) is expected


def test_few_crossings_leave_a_hole_narrow_and_a_blot_does_not() -> None:
    hole = np.zeros((96, 96), dtype=bool)
    hole[20:24, 4:90] = hole[4:90, 30:34] = True
    hole[18:26, 28:36] = True
    assert narrow(hole)
    hole[50:80, 50:80] = True
    assert not narrow(hole)


def test_neighbours_of_one_size_and_kind_are_done_together() -> None:
    hole = np.zeros((64, 900), dtype=bool)
    hole[20:23, 10:40] = hole[20:23, 210:240] = True
    hole[20:34, 400:414] = True  # wide
    groups = regions_to_fill(hole, 64, 16, deep=True, at_once=2 * 64 * 64)
    assert [[region.narrow for region in group] for group in groups] == [[True, True], [False]]
    assert len({region.hole.shape for group in groups for region in group}) == 1
    hole[20:23, 600:630] = hole[20:23, 800:830] = True
    assert [len(group) for group in regions_to_fill(hole, 64, 16, deep=False, at_once=2 * 64 * 64)] == [2, 2, 1]


def test_neighbours_that_overlap_are_done_one_after_the_other() -> None:
    """A crack is divided in blocks, and a branch crosses their corner: its second piece sees the fill of the first."""
    along = np.arange(300)
    hole = np.eye(300, dtype=bool) | np.eye(300, k=1, dtype=bool)
    branch = along[144:157]
    hole[branch, 300 - branch] = hole[branch, 299 - branch] = True
    groups = regions_to_fill(hole, 16, 4, deep=False, at_once=99 * 16 * 16)
    small = [[region.box for region in group] for group in groups if group[0].in_one_window]
    assert [len(boxes) for boxes in small] == [1, 1]
    assert overlap(*(boxes[0] for boxes in small))


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


def test_overlaps_and_extents_of_boxes():
    assert overlap((2, 3, 10, 12), (5, 1, 20, 6)) == (
        (slice(3, 10), slice(0, 4)),
        (slice(0, 7), slice(2, 6)),
    )
    assert overlap((0, 0, 5, 5), (5, 0, 5, 5)) is None
    assert overlap((0, 0, 5, 5), (0, 5, 5, 5)) is None
    assert overlap((0, 0, 5, 5), (4, 4, 5, 5)) == ((slice(4, 5), slice(4, 5)), (slice(0, 1), slice(0, 1)))
    assert extent(holes((20, 30), (3, 7, 4, 5), (9, 2, 1, 3))) == (slice(3, 10), slice(2, 12))


def test_clusters_are_of_holes_in_cells_of_16_pixels_that_touch():
    """By their first row, each with its own pixels of the bounding box."""
    hole = holes((70, 90), (14, 70, 2, 3), (17, 60, 1, 2), (1, 2, 3, 4), (60, 80, 10, 10), (17, 20, 2, 2))
    found = [(box, int(own.sum())) for box, own in clusters(hole)]
    assert found == [((1, 2, 18, 20), 16), ((14, 60, 4, 13), 8), ((60, 80, 10, 10), 100)]
    for box, own in clusters(hole):
        assert_array_equal(own, crop(hole, box))


def test_clusters_of_drawn_frames_share_no_pixel():
    """A frame's box holds other clusters, which are not part of it."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        hole, found = np.zeros((200, 260), bool), np.zeros((200, 260), int)
        for _ in range(rng.integers(1, 7)):
            top, left, (tall, wide) = rng.integers(0, 180), rng.integers(0, 240), rng.choice((2, 40, 150), 2)
            frame = hole[top : top + tall, left : left + wide]
            frame[[0, -1]] = frame[:, [0, -1]] = True
        for box, own in clusters(hole):
            assert extent(own) == (slice(0, box[2]), slice(0, box[3]))
            crop(found, box)[own] += 1
        assert_array_equal(found, hole)


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
