"""Noise that was cut off at black and white, against the truncated normal distribution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import kstest, truncnorm

from scoreinv.samplers import NoiseStream
from scoreinv.tasks.censored import censored, drawn, expected
from scoreinv.tasks.linear import _BORROWED, _around

STD = 0.1
PICTURES = torch.tensor([-0.2, -0.05, 0.0, 0.03, 0.25])
"""Near black; near white are their mirror images."""


def beyond(x):
    """scipy's distribution of the values x + noise that are not above 0."""
    return truncnorm(-np.inf, -x / STD, loc=x, scale=STD)


def test_what_was_cut_off_is_the_mean_of_the_truncated_normal():
    black, white = torch.zeros(5), torch.ones(5)
    means = [beyond(float(x)).mean() for x in PICTURES]
    np.testing.assert_allclose(expected(black, PICTURES, STD), means, rtol=1e-4)
    np.testing.assert_allclose(1 - expected(white, 1 - PICTURES, STD), means, rtol=1e-4)


def test_it_is_near_the_end_for_a_picture_far_within():
    """Of the order of s^2 / x below it, by the series of Mills's ratio, in float32 too."""
    far = STD * torch.linspace(3, 1000, 9971)
    found = expected(torch.zeros_like(far), far, STD)
    most = float(torch.finfo(far.dtype).eps) * far
    assert (found <= 0).all()
    assert (found >= -(STD**2) / far - 4 * most).all()


@pytest.mark.parametrize("white", [False, True])
def test_what_is_drawn_has_the_truncated_normal(white):
    x = PICTURES[:4].reshape(1, 1, 1, 4).expand(2, 1, 2000, 4)
    y = torch.full((1, 1, 2000, 4), float(white))
    values = drawn(y, 1 - x if white else x, STD, NoiseStream(0, 2))
    values = 1 - values if white else values
    for k in range(4):
        assert kstest(values[..., k].flatten().numpy(), beyond(float(PICTURES[k])).cdf).pvalue > 1e-3
    assert not torch.equal(values[0], values[1])


@pytest.mark.parametrize("deviations", [4, 5, 6, 7, 100])
def test_what_is_drawn_for_a_picture_far_within_is_near_the_end(deviations):
    """Its deviation from there falls as s^2 / x."""
    x = torch.full((1, 1, 1, 5000), deviations * STD)
    values = drawn(torch.zeros_like(x), x, STD, NoiseStream(0, 1))
    assert -0.35 * STD < values.mean() < 0
    assert values.min() > -3 * STD


def test_values_within_stay_as_they_are():
    y, x = torch.tensor([0.001, 0.5, 0.999]), torch.tensor([0.0, 0.5, 1.0])
    assert torch.equal(expected(y, x, STD), y)
    assert torch.equal(drawn(y[None], x[None], STD, NoiseStream(0, 1))[0], y)


def test_far_from_the_end_a_value_there_is_a_rare_one():
    y, x = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.2]), torch.tensor([0.1, 0.5, 0.9, 0.5, 0.1])
    assert censored(y, x, STD).tolist() == [True, False, True, False, False]
    assert torch.isfinite(expected(y, torch.tensor([9.0, 9.0, -9.0, -9.0, 0.0]), STD)).all()


def test_a_pixel_that_was_cut_off_is_looked_at_with_a_square_around_it():
    where = torch.zeros(1, 3, 100, 90, dtype=torch.bool)
    where[0, 1, 50, 40] = True
    expected = torch.zeros(100, 90, dtype=torch.bool)
    expected[50 - _BORROWED : 51 + _BORROWED, 40 - _BORROWED : 41 + _BORROWED] = True
    assert torch.equal(_around(where), expected)
