"""Masks that are too small: what they leave of an object is noticed, and edges of the scene are not taken for it."""

import numpy as np
import pytest
from scipy import ndimage

from scoreinv.analysis.leftovers import find_leftover
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


def test_pixels_in_other_holes_are_no_ground() -> None:
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


SLIVERS = (np.abs(ACROSS - 82) < 3) & (DOWN < 64) | (np.abs(DOWN - 80) < 4) & (ACROSS > 98)


def test_slivers_within_the_outline_are_noticed() -> None:
    """The mask is large enough, but for two strips that it misses."""
    hole = disk(RADIUS + 4) & ~SLIVERS
    leftover = find_leftover(with_object(), hole)
    assert leftover is not None
    assert leftover.share < 0.6
    assert 3 <= leftover.grow <= 6
    assert find_leftover(with_object(), ndimage.binary_dilation(hole, iterations=leftover.grow)) is None


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


@pytest.mark.parametrize(("side", "found"), [(6, False), (7, True)])
def test_slivers_have_forty_pixels_or_more(side: int, found: bool) -> None:
    hole = disk(RADIUS + 4)
    hole[66 : 66 + side, 86 : 86 + side] = False
    assert (find_leftover(with_object(), hole) is not None) == found
