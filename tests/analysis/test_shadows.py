"""Shadows of a constant ratio are proposed; other dark regions are not."""

import numpy as np
import pytest
from scipy import ndimage

from scoreinv.analysis.shadows import _uniformity, propose_shadow
from scoreinv.imaging.picture import Picture

HEIGHT, WIDTH, FOOT = 240, 300, 170
DOWN, ACROSS = np.mgrid[:HEIGHT, :WIDTH]
OWN = ((DOWN - 120) / 50) ** 2 + ((ACROSS - 150) / 30) ** 2 <= 1
SHADOW = (((FOOT - DOWN) / 36 - 1) ** 2 + ((ACROSS - 150 - 1.5 * (FOOT - DOWN)) / 30) ** 2 <= 1) & ~OWN


def ground() -> np.ndarray:
    grain = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(HEIGHT, WIDTH)), 1.5)
    return np.array([0.5, 0.6, 0.4]) * (1 + 0.4 * grain)[..., None]


def standing(scene: np.ndarray, own: np.ndarray = OWN) -> Picture:
    """The scene with an object on it, in 8 bits."""
    colours = np.stack([0.8 + 0 * DOWN, 0.2 + DOWN / 600, 0.3 + 0.2 * (DOWN // 8 % 2)], 2)
    share = ndimage.gaussian_filter(own.astype(float), 0.7)[..., None]
    return Picture(np.rint(255 * (share * colours + (1 - share) * scene).clip(0, 1)).astype(np.uint8))


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("ratio", [0.3, 0.5, 0.7])
def test_a_shadow_is_where_light_is_less_by_one_ratio(ratio: float) -> None:
    soft = ndimage.gaussian_filter(SHADOW.astype(float), 1.5)[..., None]
    proposed = propose_shadow(standing(ground() * (1 - (1 - ratio) * soft)), OWN)
    assert proposed is not None
    assert not (proposed & OWN).any()
    assert overlap(proposed, SHADOW) > 0.8
    assert proposed[SHADOW].mean() > 0.98  # with its soft edge


def test_a_shadow_may_have_parts_on_both_sides_of_a_foot() -> None:
    parts = [((FOOT - DOWN) / 20 - 0.4) ** 2 + ((ACROSS - 150 - side) / 22) ** 2 <= 1 for side in (-45, 45)]
    shadow = np.any(parts, axis=0) & ~OWN
    soft = ndimage.gaussian_filter(shadow.astype(float), 1.5)[..., None]
    proposed = propose_shadow(standing(ground() * (1 - 0.5 * soft)), OWN)
    assert proposed is not None
    assert overlap(proposed, shadow) > 0.8


def test_nothing_is_proposed_where_there_is_none() -> None:
    assert propose_shadow(standing(ground()), OWN) is None
    assert propose_shadow(standing(ground()), np.zeros_like(OWN)) is None
    assert propose_shadow(standing(ground()), np.ones_like(OWN)) is None


def test_thin_objects_have_no_shadow() -> None:
    wire = np.zeros((120, 800), bool)
    wire[60, 200:500] = True
    assert propose_shadow(Picture(np.full((120, 800), 90, np.uint8)), wire) is None


def test_a_dark_thing_of_another_hue_and_one_that_is_apart_are_no_shadow() -> None:
    thing = np.where(SHADOW[..., None], ground() * [0.3, 0.3, 0.6], ground())
    assert propose_shadow(standing(thing), OWN) is None
    apart = np.roll(SHADOW, 100, 1)
    assert propose_shadow(standing(np.where(apart[..., None], 0.5 * ground(), ground())), OWN) is None


def test_a_dark_place_that_touches_the_object_above_its_foot_is_no_shadow() -> None:
    place = (((DOWN - 95) / 36) ** 2 + ((ACROSS - 200) / 36) ** 2 <= 1) & ~OWN
    soft = ndimage.gaussian_filter(place.astype(float), 1.5)[..., None]
    assert propose_shadow(standing(ground() * (1 - 0.5 * soft)), OWN) is None


@pytest.mark.parametrize("turn", [1, -1])
def test_a_shadow_falls_to_either_side_and_a_picture_may_end_beside_the_object(turn: int) -> None:
    soft = ndimage.gaussian_filter(SHADOW.astype(float), 1.5)[..., None]
    pixels = standing(ground() * (1 - 0.5 * soft)).pixels
    near = np.s_[66:, 116:][:2]
    scene, own, shadow = (np.ascontiguousarray(each[near][:, ::turn]) for each in (pixels, OWN, SHADOW))
    proposed = propose_shadow(Picture(scene), own)
    assert proposed is not None
    assert overlap(proposed, shadow) > 0.8


@pytest.mark.parametrize("colour", [0.05, 0.9])
def test_of_even_ground_the_shadow_is_found_beside_a_large_object(colour: float) -> None:
    """Colours are averaged over two pixels there, without those of the object."""
    down, across = np.mgrid[:330, :360]
    own = ((down - 150) / 120) ** 2 + ((across - 150) / 60) ** 2 <= 1
    shadow = (((265 - down) / 80 - 1) ** 2 + ((across - 150 - 1.5 * (265 - down)) / 70) ** 2 <= 1) & ~own
    scene = np.full((*own.shape, 3), 0.5, np.float32)
    scene[shadow], scene[own] = 0.25, colour
    proposed = propose_shadow(Picture(scene), own)
    assert proposed is not None
    assert overlap(proposed, shadow) > 0.95


def drop(light: tuple[float, ...] | float, region: np.ndarray, own: np.ndarray) -> float:
    """Return the uniformity of a drop of light, or of each colour, on even ground."""
    rgb = np.full((*region.shape, 3), 0.4)
    rgb[region] *= np.array(light)
    return _uniformity(rgb, region, own)


def test_an_edge_that_is_short_or_lies_at_the_border_tells_nothing() -> None:
    region, own = np.zeros((60, 70), bool), np.zeros((60, 70), bool)
    region[10:40, 20:50] = own[40:50, 20:50] = True
    assert drop(0.5, region[7:], own[7:]) == 0  # a third of the edge has no ground beyond it
    assert drop(0.5, region[:, 17:], own[:, 17:]) == 0
    assert drop(0.5, region[:, :53], own[:, :53]) == 0
    assert drop(0.5, region[5:, 15:55], own[5:, 15:55]) > 100
    small = np.zeros_like(region)
    small[37:40, 30:34] = True
    assert drop(0.5, small, own) == 0
    small[30:40, 30:34] = True
    assert drop(0.5, small, own) > 100
