"""Borders of scans: paper and lids are found as they lie, what a photograph shows at its rim is none."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scoreinv.analysis.borders import within_border
from scoreinv.imaging.picture import Picture
from scoreinv.training.data.pictures import BUILTIN

PHOTO = np.asarray(Image.open(sorted(BUILTIN.glob("*.jpg"))[3]).convert("RGB").resize((200, 150)))


def bordered(level: int, noise: float = 0.0) -> np.ndarray:
    framed = np.pad(PHOTO, ((12, 20), (15, 11), (0, 0)), constant_values=level).astype(np.float64)
    return np.clip(framed + noise * np.random.default_rng(0).standard_normal(framed.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("level", [12, 240])
def test_a_plain_border_is_found_to_the_pixel(level):
    for within in (within_border, partial(within_border, certain=True)):
        assert within(Picture(bordered(level, 3.0))) == (12, 15, 150, 200)


def test_three_sides_are_a_border_and_two_are_none():
    framed = bordered(240, 3.0)
    for within in (within_border, partial(within_border, certain=True)):
        assert within(Picture(framed[:, 15:])) is not None
        assert within(Picture(framed[:162, 15:])) is None


def test_borders_of_a_large_picture_are_in_its_own_pixels():
    """It is analysed at 512 pixels or fewer a side, and none of a border is left."""
    large = bordered(240).repeat(3, 0).repeat(3, 1)
    torn = np.zeros(large.shape[:2], bool)
    torn[:45] = True
    for within in (within_border, partial(within_border, certain=True)):
        found = np.array(within(Picture(large)))
        assert abs(found - (36, 45, 450, 600)).max() <= 2
        assert (found[:2] >= (36, 45)).all()
        assert (found[:2] + found[2:] <= (486, 645)).all()
    assert within_border(Picture(large), torn)[0] in range(45, 48)


def test_an_end_that_is_not_straight_is_no_end_of_paper():
    """Of one side of three; the border itself ends where most of a line is plain no longer."""
    framed = bordered(240)[:, 15:]
    ragged = framed.copy()
    ragged[12:40, :80] = 240
    assert within_border(Picture(framed), certain=True) is not None
    assert within_border(Picture(ragged), certain=True) is None
    assert within_border(Picture(ragged))[0] == 12


@pytest.mark.parametrize(("share", "left"), [(0.8, 4), (0.6, 4), (0.4, 0)])
def test_guided_upsampling_that_are_torn_away_are_border(share, left):
    """Of more than half a line."""
    torn = np.zeros(PHOTO.shape[:2], bool)
    torn[:8] = True
    torn[8:, :4] = np.random.default_rng(1).random((142, 4)) < share
    assert within_border(Picture(PHOTO), torn) == (8, left, 142, 200 - left)


def test_photographs_have_none():
    for path in (*BUILTIN.glob("*.jpg"), *(Path(__file__).parents[2] / "examples" / "photos").glob("*.jpg")):
        assert within_border(Picture(np.asarray(Image.open(path).convert("RGB").reduce(4)))) is None, path.name
    assert within_border(Picture(np.full((40, 50), 128, np.uint8))) is None


@pytest.mark.parametrize(("ground", "subject"), [(240, 90), (10, 200)])
def test_the_plain_ground_around_a_subject_is_no_paper(ground, subject):
    y, x = np.mgrid[:150, :200]
    depth = 1 - ((y - 75) / 52) ** 2 - ((x - 100) / 74) ** 2
    shaded = ground + (subject - ground) * np.clip(3 * depth, 0, 1) * (0.8 + 0.2 * x / 200)
    assert within_border(Picture(shaded.astype(np.uint8))) is not None  # it may be cut off where that is asked for
    assert within_border(Picture(shaded.astype(np.uint8)), certain=True) is None
