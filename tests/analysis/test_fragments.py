"""Small parts of an object that a mask misses are found; parts of the scene, masks with room, and scratches are not."""

import numpy as np
import pytest
from scipy import ndimage

from scoreinv.analysis.fragments import find_fragments, fragments_beside
from scoreinv.imaging.picture import Picture

HEIGHT, WIDTH = 300, 400
DOWN, ACROSS = np.mgrid[:HEIGHT, :WIDTH]
BODY = np.hypot(DOWN - 150, ACROSS - 200) < 80
EAR = (np.hypot(DOWN - 66, ACROSS - 200) < 14) & ~BODY
GAP = np.hypot(DOWN - 160, ACROSS - 220) < 9
FAR = np.hypot(DOWN - 40, ACROSS - 330) < 12


def scene(*parts: np.ndarray) -> Picture:
    """Return a picture of objects with soft edges on textured ground, in 8 bits."""
    rng = np.random.default_rng(0)
    grain = ndimage.gaussian_filter(rng.normal(size=(2, HEIGHT, WIDTH)), (0, 1.5, 1.5)).clip(-0.3, 0.3)[..., None]
    objects = np.array([0.7, 0.45, 0.35]) + grain[0] * np.array([0.3, 0.2, 0.2])
    ground = np.array([0.25, 0.45, 0.15]) + grain[1] * np.array([0.3, 0.4, 0.2])
    share = ndimage.gaussian_filter(np.any(parts, axis=0).astype(float), 0.7)[..., None]
    return Picture(np.rint(255 * (share * objects + (1 - share) * ground)).astype(np.uint8))


def grown(mask: np.ndarray, pixels: int = 3) -> np.ndarray:
    return ndimage.binary_dilation(mask, iterations=pixels)


@pytest.mark.parametrize(("mask", "missed"), [(grown(BODY), EAR), (grown(BODY | EAR) & ~GAP, GAP)])
def test_a_tip_and_an_enclosed_gap_are_found(mask, missed):
    ((x, y),) = find_fragments(scene(BODY, EAR), mask)
    assert missed[y, x]


def test_fragments_come_largest_first():
    both = find_fragments(scene(BODY, EAR), grown(BODY) & ~GAP)
    assert [EAR[y, x] for x, y in both] == [True, False]
    assert [GAP[y, x] for x, y in both] == [False, True]


@pytest.mark.parametrize("room", [3, 8, 16])
def test_masks_of_all_leave_no_fragments(room):
    assert find_fragments(scene(BODY, EAR), grown(BODY | EAR, room)) == []


@pytest.mark.parametrize(("wide", "found"), [(2, False), (3, True)])
def test_parts_below_two_thousandths_of_the_object_are_no_fragments(wide, found):
    """Of 3,600 cells."""
    colours = np.full((90, 90, 3), 0.3) + np.random.default_rng(0).normal(0, 0.05, (90, 90, 3))
    mask, tip = np.zeros((90, 90)), np.zeros((90, 90), bool)
    mask[15:75, 15:75] = tip[30:33, 76 : 76 + wide] = 1
    colours[(mask > 0) | tip | np.roll(tip, -1, 1)] = (0.8, 0.5, 0.4)
    assert fragments_beside(colours.clip(0, 1), mask, mask)[tip].any() == found


@pytest.mark.filterwarnings("error")
def test_without_a_cell_that_is_wholly_of_the_object_there_are_no_fragments():
    mask = np.zeros((40, 50))
    mask[10:20, 10:20] = 0.7
    assert not fragments_beside(np.full((40, 50, 3), 0.5), mask, mask).any()
    strip = np.zeros((17, 5000), bool)  # of a picture that is lower than a cell
    strip[:, 1000:4000] = True
    assert find_fragments(Picture(np.zeros(strip.shape, np.uint8)), strip) == []


def test_parts_of_the_scene_are_no_fragments():
    picture = scene(BODY, FAR)
    assert find_fragments(picture, grown(BODY)) == []  # alike, but apart from the mask
    assert find_fragments(scene(BODY & ~GAP), grown(BODY & ~GAP)) == []  # the ground shows through the gap
    half = grown(BODY) & (ACROSS < 200)
    assert find_fragments(picture, half) == []  # too large


def test_scratches_and_masks_of_nearly_all_are_passed_over():
    picture = scene(BODY, EAR)
    assert find_fragments(picture, np.abs(DOWN - ACROSS) < 4) == []
    assert find_fragments(picture, (DOWN > 0) | (ACROSS > 0)) == []
    assert find_fragments(picture, np.ones((HEIGHT, WIDTH), bool)) == []
    assert find_fragments(picture, np.zeros((HEIGHT, WIDTH), bool)) == []


def test_pixels_in_other_holes_have_no_influence():
    picture = scene(BODY, EAR)
    hole = grown(BODY) | (ACROSS > 340)
    pixels = picture.pixels.copy()
    pixels[ACROSS > 340] = 255
    assert find_fragments(Picture(pixels), hole) == find_fragments(picture, hole) != []


def test_the_prior_decides_on_colours_of_both():
    """The ear has the colours of the ground: a network sees it."""
    colours = scene(BODY).rgb()[::2, ::2]
    mask = grown(BODY)[::2, ::2].astype(np.float32)
    prior = np.where((BODY | EAR)[::2, ::2], 6.0, -6.0)
    assert not fragments_beside(colours, mask, mask).any()
    found = fragments_beside(colours, mask, mask, prior)
    assert (found & EAR[::2, ::2]).sum() > 0.7 * (EAR & ~grown(BODY))[::2, ::2].sum()
    assert not (found & ~EAR[::2, ::2]).any()
