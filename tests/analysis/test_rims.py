"""Masks that are too small: rims of the object are added."""

import numpy as np
import pytest
from scipy import ndimage

from scoreinv.analysis.rims import with_visible_rim
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
def test_a_rim_of_the_object_is_added(left: int) -> None:
    hole, wanted = disk(RADIUS - left), disk(RADIUS)
    grown, pixels = with_visible_rim(with_object(), hole)
    assert left <= pixels <= left + 2
    assert grown[wanted].all()
    assert not grown[~disk(RADIUS + 3)].any()
    again, pixels = with_visible_rim(with_object(), grown)
    assert pixels == 0
    np.testing.assert_array_equal(again, grown)


def test_only_the_hole_with_a_rim_grows() -> None:
    other = (DOWN > 120) & (ACROSS > 140)
    pixels = with_object().pixels.copy()
    pixels[other] = 255
    grown, _ = with_visible_rim(Picture(pixels), disk(RADIUS - 4) | other)
    np.testing.assert_array_equal(grown & (DOWN > 110), other)


@pytest.mark.parametrize("room", [1, 3, 5, 8])
def test_masks_with_room_around_the_object_are_kept(room: int) -> None:
    hole = disk(RADIUS + room)
    grown, pixels = with_visible_rim(with_object(), hole)
    assert pixels == 0
    np.testing.assert_array_equal(grown, hole)


def test_an_edge_of_the_scene_in_the_hole_is_not_the_object() -> None:
    scene = np.where((DOWN < 40)[..., None], np.array([0.5, 0.7, 0.95]), ground())
    hole = (DOWN >= 36) & (DOWN < 100) & (ACROSS >= 60) & (ACROSS < 120)
    assert with_visible_rim(as_picture(scene), hole)[1] == 0


@pytest.mark.parametrize("gray", [False, True])
def test_thresholded_writing_gets_its_soft_edge(gray: bool) -> None:
    strokes = (np.abs(DOWN % 24 - 12) < 3) & (ACROSS > 20) & (ACROSS < 160)
    share = ndimage.gaussian_filter(strokes.astype(float), 0.8)
    scene = ground() * (1 - share[..., None]) + share[..., None]
    picture = Picture(as_picture(scene).pixels[..., 1]) if gray else as_picture(scene)
    grown, pixels = with_visible_rim(picture, share > 0.5)
    assert 1 <= pixels <= 2
    assert share[~grown].max() < 0.1
    assert with_visible_rim(picture, share > 0.02)[1] == 0


def test_holes_without_ground_and_specks_are_kept() -> None:
    picture = with_object()
    speck = disk(5)
    for hole in (speck, ~speck, speck & ~speck, speck | ~speck):
        grown, pixels = with_visible_rim(picture, hole)
        assert pixels == 0
        np.testing.assert_array_equal(grown, hole)


def test_a_large_picture_is_compared_in_tiles() -> None:
    pixels = np.tile(as_picture(ground()).pixels, (1, 4, 1))
    hole = np.zeros(pixels.shape[:2], bool)
    hole[50:90, 60:660] = True
    pixels[47:93, 57:663] = (230, 150, 130)
    grown, rim = with_visible_rim(Picture(pixels), hole)
    assert 3 <= rim <= 5
    assert grown[47:93, 60:660].all()
    assert grown[50:90, 57:663].all()
