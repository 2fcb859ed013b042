"""Sepia prints are told from grey and from coloured pictures."""

import numpy as np
import pytest

from scoreinv.analysis.kind import analysis_picture, kind_by_colours, untinted
from scoreinv.imaging.picture import Picture
from scoreinv.operators.luma import luma

BROWN = np.array([1.0, -0.25, -1.3])
"""A chroma of nearly no luma."""


def tones(height: int = 60, width: int = 90) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(np.linspace(0.1, 0.95, width)[None] + 0.1 * rng.standard_normal((height, width)), 0, 1)


def sepia(gray: np.ndarray) -> np.ndarray:
    """Dark brown over tan to a yellowish white."""
    dark, light = np.array([0.15, 0.08, 0.03]), np.array([0.98, 0.93, 0.8])
    return dark + gray[..., None] * (light - dark)


def eight_bit(rgb: np.ndarray, noise: float = 0.0) -> Picture:
    rgb = rgb + noise * np.random.default_rng(1).standard_normal(rgb.shape)
    return Picture(np.rint(255 * rgb.clip(0, 1)).astype(np.uint8))


def is_print(picture: Picture) -> bool:
    return kind_by_colours(picture) == "tinted"


def test_grey_and_coloured_pictures() -> None:
    gray = np.repeat(tones()[..., None], 3, 2)
    assert kind_by_colours(eight_bit(gray)) == "grey"
    assert kind_by_colours(Picture(np.rint(255 * tones()).astype(np.uint8))) == "grey"
    coloured = gray.copy()
    coloured[:, :45] *= (1.0, 0.8, 0.6)
    coloured[:, 45:] *= (0.7, 0.9, 1.0)
    coloured[20:40] *= (1.0, 0.7, 1.0)
    assert kind_by_colours(eight_bit(coloured)) == "coloured"


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (50, 3)])
def test_small_pictures(size: tuple[int, int]) -> None:
    picture = eight_bit(sepia(tones(*size)))
    assert is_print(picture)


def test_the_lightest_tone_becomes_white() -> None:
    picture = eight_bit(sepia(tones()))
    old, new = luma(picture.rgb()), luma(untinted(picture).rgb())
    light = old >= np.quantile(old, 0.99)
    assert new[light].mean() > old[light].mean() + 0.02
    assert np.corrcoef(old.ravel(), new.ravel())[0, 1] > 0.999
    with np.errstate(all="raise"):
        assert not untinted(Picture(np.zeros((4, 5, 3), np.uint8))).pixels.any()


@pytest.mark.parametrize("weights", ["rec601", "average"])
def test_the_grey_of_a_print_is_its_luma_times_one_factor(weights) -> None:
    """That of the lightest tone, which may be another picture's."""
    rgb = np.array([[[0.8, 0.6, 0.2], [0.4, 0.3, 0.1]]])
    lightest = Picture(np.full((3, 3, 3), [0.9, 0.6, 0.6]))
    for tones_of, white in ((None, rgb[0, 0]), (lightest, lightest.pixels[0, 0])):
        factor = white.max() / luma(white, weights)
        found = untinted(Picture(rgb), weights, tones_of).pixels
        np.testing.assert_allclose(found, np.repeat((luma(rgb, weights) * factor)[..., None], 3, 2), atol=1e-6)


@pytest.mark.parametrize("alpha", [False, True])
def test_without_its_tint_a_print_keeps_its_mode(alpha) -> None:
    picture = eight_bit(sepia(tones()))
    if alpha:
        picture = Picture(np.dstack([picture.pixels, np.full(picture.size, 77, np.uint8)]))
    plain = untinted(picture)
    assert plain.mode == picture.mode
    assert (plain.pixels[..., :3] == plain.pixels[..., :1]).all()
    assert not alpha or (plain.pixels[..., 3] == 77).all()


def test_a_print_is_brown_to_yellow_in_all_its_tones() -> None:
    assert is_print(eight_bit(sepia(tones()), noise=0.01))
    assert is_print(eight_bit(tones()[..., None] * np.array([1.0, 0.85, 0.65])))
    assert is_print(eight_bit(tones()[..., None] * np.array([1.0, 0.97, 0.9])))
    assert is_print(eight_bit(tones()[..., None] * np.array([1.0, 0.75, 0.64]), noise=0.01))  # a woodburytype
    for greenish_or_purplish in ((0.955, 0.945, 0.85), (1.0, 0.93, 0.91)):
        assert not is_print(eight_bit(tones()[..., None] * np.array(greenish_or_purplish)))
    gray = np.repeat(tones()[..., None], 3, 2)
    assert not is_print(eight_bit(gray))
    for hue in ((0.6, 0.8, 1.0), (0.8, 1.0, 0.5), (1.0, 0.6, 0.6)):  # of the sea, a leaf, a rose
        assert kind_by_colours(eight_bit(gray * hue)) == "coloured"
    dark, light = np.array([0.15, 0.05, 0.03]), np.array([0.95, 0.9, 0.2])  # a yellow flower before brown earth
    assert not is_print(eight_bit(dark + gray * (light - dark)))
    split = gray * np.where(gray < 0.5, (1.0, 0.9, 0.7), (0.85, 0.95, 1.0))  # sand under a pale sky
    assert not is_print(eight_bit(split))


def test_red_rock_is_no_print() -> None:
    """A photograph of one hue has things of more and of less colour among the same tones; a stained print has none."""
    gray = tones()
    rows = np.sin(np.arange(60) / 4)[:, None] * np.cos(np.arange(90) / 5)
    rock = gray[..., None] + (0.05 + 0.035 * rows)[..., None] * BROWN
    assert not is_print(eight_bit(rock))
    worn = eight_bit(gray[..., None] + (0.05 + 0.006 * rows)[..., None] * BROWN)
    assert (kind_by_colours(worn), kind_by_colours(worn, worn=True)) == ("coloured", "tinted")  # grain and dirt
    stain = np.linspace(-1, 1, 90)[None] ** 2
    stained = gray[..., None] + (0.07 + 0.02 * stain)[..., None] * BROWN * np.ones((60, 1, 1))
    assert is_print(eight_bit(stained))


def test_a_reduced_picture_has_the_means_of_its_known_pixels():
    """Of each block of 2x2 pixels half is a hole."""
    hole = np.indices((8, 1024)).sum(0) % 2 == 0
    picture = Picture(np.where(hole[..., None], np.float32(1), np.float32([0.6, 0.5, 0.4])))
    np.testing.assert_allclose(
        analysis_picture(picture, hole).pixels, np.broadcast_to([0.6, 0.5, 0.4], (4, 512, 3)), atol=1e-5
    )
    hole[:] = True
    hole[3, 501] = False  # a quarter of a block, or less, is all that is known
    np.testing.assert_allclose(
        analysis_picture(picture, hole).pixels, np.broadcast_to(picture.pixels[3, 501], (4, 512, 3)), atol=1e-5
    )
