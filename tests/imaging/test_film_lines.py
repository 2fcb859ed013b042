"""Lines along a film, on pictures that have others."""

from __future__ import annotations

import numpy as np
import pytest

from scoreinv.imaging.film_lines import film_lines


def scene(height: int = 160, width: int = 200) -> np.ndarray:
    """Smooth shades with grain, a step across, and a step and a mast that are upright."""
    rows, columns = np.mgrid[:height, :width] / 25
    gray = 0.5 + 0.2 * np.sin(rows) * np.cos(columns) + np.random.default_rng(1).normal(0, 0.02, (height, width))
    gray[100:] -= 0.1
    gray[:, 150:] += 0.1
    gray[60:, 90:92] = 0.1
    return gray.clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("colour", [0.05, 0.95])
@pytest.mark.parametrize("turned", [False, True])
def test_a_line_from_border_to_border_is_marked_where_it_is(colour, turned):
    gray = scene()
    line = np.zeros(gray.shape, bool)
    line[np.arange(160), 40 + np.arange(160) // 80] = True  # it leans a little
    line[70:80] = False  # and is interrupted
    gray[line] = colour
    marks = film_lines(gray.T).T if turned else film_lines(gray)
    assert marks[line].mean() > 0.9
    near = np.zeros_like(line)
    near[:, 37:46] = True
    assert not marks[~near].any()
    assert marks.sum() < 3 * line.sum()


def test_what_is_no_line_of_a_film_is_left():
    """Masts and steps; lines that end in the picture, bend, or lean; small pictures."""
    rows = np.arange(160)
    assert not film_lines(scene()).any()
    for columns in (40 + rows // 8, np.rint(40 + 8 * np.sin(rows / 40)).astype(int)):
        gray = scene()
        gray[rows, columns] = 0.05
        assert not film_lines(gray).any()
    gray = scene()
    gray[40:, 40] = 0.05
    assert not film_lines(gray).any()
    assert not film_lines(np.tile([0.5, 0.1, 0.5], (95, 40))).any()
