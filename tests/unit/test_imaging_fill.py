"""Push-pull interpolation of holes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from scoreinv.imaging.fill import push_pull


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (37, 53), (64, 64)])
def test_known_pixels_stay_and_holes_are_within_their_range(size):
    rng = np.random.default_rng(0)
    values = rng.random((*size, 3)).astype(np.float32)
    hole = rng.random(size) < 0.6
    hole[0, 0] = False
    given = values.copy()
    given[hole] = np.nan  # whatever stands in holes is not looked at
    filled = push_pull(given, hole)
    assert filled.dtype == np.float32
    assert_array_equal(filled[~hole], values[~hole])
    known = values[~hole]
    assert (filled >= known.min(axis=0) - 1e-6).all()
    assert (filled <= known.max(axis=0) + 1e-6).all()


def test_a_constant_is_continued_exactly():
    hole = np.ones((50, 70), bool)
    hole[49, 3] = False
    filled = push_pull(np.full((50, 70, 2), 0.3, np.float32), hole)
    assert_allclose(filled, 0.3, atol=1e-6)


def test_a_ramp_is_continued_across_a_scratch():
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32)[:, None, None], (64, 64, 1))
    hole = np.zeros((64, 64), bool)
    hole[:, 30:33] = True
    assert np.abs(push_pull(ramp, hole) - ramp).max() < 0.03


def test_channels_are_filled_apart_and_linearly():
    rng = np.random.default_rng(0)
    values, hole = rng.random((40, 40, 2)).astype(np.float32), rng.random((40, 40)) < 0.5
    filled = push_pull(values, hole)
    assert_allclose(push_pull(values[..., :1], hole), filled[..., :1], atol=1e-7)
    assert_allclose(push_pull(values @ np.float32([[2], [-1]]), hole), filled @ np.float32([[2], [-1]]), atol=1e-5)


def test_without_a_known_pixel_there_is_mid_grey():
    assert_array_equal(push_pull(np.zeros((4, 5, 3)), np.ones((4, 5), bool)), 0.5)
