"""Colours that nothing beside a hole has."""

import numpy as np
import pytest

from scoreinv.analysis.nearby_colours import foreign

HEIGHT, WIDTH = 97, 130


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Grey ground with grain, a hole in it, and a red block further away."""
    rng = np.random.default_rng(0)
    rgb = 0.5 + 0.05 * rng.normal(size=(HEIGHT, WIDTH, 1)).repeat(3, 2)
    rgb[40:70, 90:120] = 0.8, 0.1, 0.1
    hole = np.zeros((HEIGHT, WIDTH), dtype=bool)
    hole[30:60, 20:50] = True
    return rgb, hole


@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_places_of_other_colours_than_beside_the_hole(halvings: int) -> None:
    rgb, hole = scene()
    rgb[32, 51] = 0.8, 0.1, 0.1  # a speck beside it
    found = foreign(rgb, hole, halvings)
    assert found.shape == hole.shape
    assert found[48:60, 100:112].all()
    far = np.ones_like(hole)
    far[36:76, 84:126] = False
    assert not found[far].any()


def test_hidden_pixels_do_not_count() -> None:
    rgb, hole = scene()
    other = np.where(hole[..., None], 1.0, rgb)
    assert (foreign(rgb, hole, 2) == foreign(other, hole, 2)).all()


def test_a_block_beside_the_hole_and_specks_are_not_foreign() -> None:
    rgb, hole = scene()
    hole[40:70, 88:91] = True
    assert not foreign(rgb, hole, 0)[48:60, 100:112].any()
    rgb, hole = scene()
    rgb[40:70, 90:120] = 0.5
    rgb[45:48, 100:103] = 0.8, 0.1, 0.1
    assert not foreign(rgb, hole, 0).any()


def test_a_picture_that_is_all_hole() -> None:
    assert not foreign(np.zeros((9, 9, 3)), np.ones((9, 9), dtype=bool), 2).any()
