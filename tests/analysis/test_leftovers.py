"""Masks that are too small: what they leave of an object is noticed, and edges of the scene are not taken for it."""

import numpy as np
import pytest
from scipy import ndimage

from scoreinv.analysis.leftovers import _leftover_slivers, _leftover_widths, find_leftover
from scoreinv.imaging.picture import Picture

HEIGHT, WIDTH = 140, 180
DOWN, ACROSS = np.mgrid[:HEIGHT, :WIDTH]
AWAY = np.hypot(DOWN - 70, ACROSS - 90)
RADIUS = 34


def disk(radius: float) -> np.ndarray:
    """The pixels within a radius of the object's middle."""
    return radius > AWAY


def ground() -> np.ndarray:
    """Grass, say: blotches of a few pixels and of all shades between two colours."""
    grain = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(HEIGHT, WIDTH)), 1.5)
    shade = (0.5 + 2 * grain).clip(0, 1)[..., None]
    return np.array([0.1, 0.3, 0.05]) + shade * np.array([0.25, 0.3, 0.15])


def with_object(colour: tuple[float, float, float] = (0.9, 0.6, 0.5)) -> Picture:
    """A disk on the ground, with an edge as soft as a lens makes it, in 8 bits."""
    share = ndimage.gaussian_filter(disk(RADIUS).astype(float), 0.7)[..., None]
    return as_picture(share * np.array(colour) + (1 - share) * ground())


def as_picture(rgb: np.ndarray) -> Picture:
    return Picture(np.rint(255 * rgb).astype(np.uint8))


@pytest.mark.parametrize("left", [2, 3, 4, 5, 6])
def test_a_rim_of_the_object_is_noticed_and_growing_takes_it_in(left: int) -> None:
    hole = disk(RADIUS - left)
    leftover = find_leftover(with_object(), hole)
    assert leftover is not None
    assert leftover.share > 0.8
    assert left < leftover.grow <= left + 3
    grown = disk(RADIUS - left + leftover.grow)
    assert find_leftover(with_object(), grown) is None


def test_grey_pictures_and_pictures_of_16_bits() -> None:
    gray = with_object().luma()
    hole = disk(RADIUS - 4)
    for pixels in (np.rint(255 * gray).astype(np.uint8), np.rint(65535 * gray).astype(np.uint16)):
        leftover = find_leftover(Picture(pixels), hole)
        assert leftover is not None
        assert leftover.grow in (5, 6, 7)


def test_what_other_holes_hide_is_no_ground() -> None:
    """Pieces around the object have its colour, and are in the mask."""
    pieces = (np.abs(AWAY - RADIUS - 16) < 6) & (np.sin(8 * np.arctan2(DOWN - 70, ACROSS - 90)) > 0.3)
    pixels = with_object().pixels.copy()
    pixels[pieces] = pixels[70, 90]
    leftover = find_leftover(Picture(pixels), disk(RADIUS - 4) | ndimage.binary_dilation(pieces, iterations=2))
    assert leftover is not None
    assert leftover.share > 0.8


def test_masks_with_room_around_the_object_are_good() -> None:
    for room in (3, 5, 8):
        assert find_leftover(with_object(), disk(RADIUS + room)) is None


def test_guided_upsampling_of_the_scene_along_the_rim_are_not_the_object() -> None:
    """The hole stands on the ground: for one of its sides, the sky ends 4 pixels above it."""
    scene = np.where((DOWN < 40)[..., None], np.array([0.5, 0.7, 0.95]), ground())
    hole = (DOWN >= 44) & (DOWN < 100) & (ACROSS >= 60) & (ACROSS < 120)
    assert find_leftover(as_picture(scene), hole) is None
    hole = (DOWN >= 36) & (DOWN < 100) & (ACROSS >= 60) & (ACROSS < 120)
    assert find_leftover(as_picture(scene), hole) is None


def test_scratches_and_holes_at_the_border_and_of_nearly_all() -> None:
    picture = with_object()
    scratch = np.abs(DOWN - ACROSS) < 5
    assert find_leftover(picture, scratch) is None
    assert find_leftover(picture, (DOWN < 40) & (ACROSS < 30)) is None
    assert find_leftover(picture, (DOWN > 0) | (ACROSS > 0)) is None
    assert find_leftover(picture, np.zeros((HEIGHT, WIDTH), dtype=bool)) is None


SLIVERS = (np.abs(ACROSS - 82) < 3) & (DOWN < 64) | (np.abs(DOWN - 80) < 4) & (ACROSS > 98)


def test_slivers_within_the_outline_are_noticed() -> None:
    """The mask is large enough, but for two strips that it misses."""
    hole = disk(RADIUS + 4) & ~SLIVERS
    leftover = find_leftover(with_object(), hole)
    assert leftover is not None
    assert leftover.share < 0.6
    assert 3 <= leftover.grow <= 6
    assert find_leftover(with_object(), ndimage.binary_dilation(hole, iterations=leftover.grow)) is None


def test_slivers_of_a_large_object_are_searched_in_a_reduced_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    hole, picture = disk(RADIUS + 4) & ~SLIVERS, with_object()
    monkeypatch.setattr("scoreinv.analysis.leftovers._SIDE", 60)
    twice = Picture(picture.pixels.repeat(2, 0).repeat(2, 1))
    leftover = find_leftover(twice, hole.repeat(2, 0).repeat(2, 1))
    assert leftover is not None
    assert leftover.grow in (8, 10, 12)


def test_gaps_through_which_the_ground_is_seen_are_no_slivers_of_the_object() -> None:
    share = ndimage.gaussian_filter((disk(RADIUS) & ~SLIVERS).astype(float), 0.7)[..., None]
    picture = as_picture(share * np.array([0.9, 0.6, 0.5]) + (1 - share) * ground())
    assert find_leftover(picture, ndimage.binary_dilation(disk(RADIUS) & ~SLIVERS, iterations=2)) is None


def test_another_hole_is_not_looked_into() -> None:
    """What is beside a hole but in another is as good as not there, whatever values it has."""
    hole = disk(RADIUS + 3)
    other = (AWAY >= RADIUS + 5) & (AWAY < RADIUS + 9)
    values = ground()
    values[other] = 1.0
    assert find_leftover(as_picture(values), hole | other) is None


@pytest.mark.parametrize("width", [1, 3, 6])
def test_widths_end_by_a_jump_to_the_ground_that_goes_on(width: int) -> None:
    """The ground has two colours; the distances of the last cases are about that which counts as equal."""
    ground, thing = np.array([[0.2, 0.4, 0.1], [0.3, 0.6, 0.1]]), np.array([0.9, 0.6, 0.5])
    colours = ground[np.random.default_rng(0).integers(2, size=(40, 26))]
    colours[:, :width] = thing
    known = np.ones((40, 26), bool)
    cases = {"plain": (colours, known, width), "unknown": (colours, known.copy(), 0)}
    cases["unknown"][1][:, 7] = False
    for name, column, value, found in (
        ("rare again", 7, thing, 0),
        ("no jump", slice(width - 1, 8), ground[0] - [0.105, 0, 0], 0),
        ("a jump", slice(width + 1, 8), ground[0] + [0.05, 0, 0], width),
    ):
        cases[name] = (colours.copy(), known, found)
        cases[name][0][:, column] = value
    cases["no jump"][0][:, width + 1 : 8] = ground[0] - [0.095, 0, 0]
    for name, (values, there, expected) in cases.items():
        found = _leftover_widths(values, there, np.zeros((40, 40)))
        assert (found == expected).all(), (name, found)


def test_points_count_if_most_of_their_neighbours_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nearly all of their widths give how much to grow."""
    hole, shares = disk(RADIUS), {}
    for together in (True, False):
        rng = np.random.default_rng(1)

        def widths(colours: np.ndarray, *_: np.ndarray, rng=rng, together=together) -> np.ndarray:
            count = len(colours)
            chosen = np.arange(count) < 0.4 * count if together else rng.random(count) < 0.4
            return np.where(chosen, np.where(np.arange(count) % 20, 3, 6), 0)

        monkeypatch.setattr("scoreinv.analysis.leftovers._leftover_widths", widths)
        shares[together] = find_leftover(with_object(), hole)
    assert shares[False] is None
    found = shares[True]
    assert found is not None
    assert found.share == pytest.approx(0.4, abs=0.03)
    assert found.grow == 5


@pytest.mark.parametrize(("side", "found"), [(6, False), (7, True)])
def test_slivers_have_forty_pixels_or_more(side: int, found: bool) -> None:
    hole = disk(RADIUS + 4)
    hole[66 : 66 + side, 86 : 86 + side] = False
    assert (find_leftover(with_object(), hole) is not None) == found


def test_without_ground_nothing_is_compared() -> None:
    hole = np.ones((60, 60), bool)
    hole[26:34, 26:34] = False
    assert _leftover_slivers(np.zeros((60, 60, 3)), hole, hole) is None


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
def test_a_sliver_is_compared_with_the_object_on_all_its_sides(turn: int, axes: tuple[int, int]) -> None:
    """The object has two colours: that of the sliver is on one of its sides alone."""
    gap = (np.abs(ACROSS - 90) < 4) & (DOWN < 66)
    colours = np.where(((ACROSS < 94) & (DOWN < 66))[..., None], (0.9, 0.6, 0.5), (0.1, 0.1, 0.9))
    scene = np.where(disk(RADIUS)[..., None], colours, ground())[30:110, 50:130]
    hole = (disk(RADIUS + 4) & ~gap)[30:110, 50:130][:, ::turn].transpose(axes)
    assert _leftover_slivers(scene[:, ::turn].transpose(*axes, 2), hole, hole) is not None


def test_what_other_holes_hide_is_neither_ground_nor_rim() -> None:
    """The other hole has the object's colour, and covers a quarter of its rim."""
    scene = np.where((disk(RADIUS) | (DOWN > 104))[..., None], (0.9, 0.6, 0.5), ground())
    hole = disk(RADIUS + 4) & ~SLIVERS
    found, alone = (
        _leftover_slivers(each, hole, hole | other)
        for each, other in ((scene, DOWN > 102), (np.where((DOWN > 104)[..., None], ground(), scene), DOWN < 0))
    )
    assert found is not None
    assert alone is not None
    assert found.share > 1.1 * alone.share
    assert found.grow == alone.grow
