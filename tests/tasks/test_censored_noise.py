"""Noise that was cut off at black and white, against the truncated normal distribution."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest, truncnorm

from scoreinv.samplers import NoiseStream
from scoreinv.tasks.denoise import drawn_beyond, expected, expected_around, local_mean

STD = 0.1
PICTURES = torch.tensor([-0.2, -0.05, 0.0, 0.03, 0.25])
"""Near black; near white are their mirror images."""


def beyond(x):
    """scipy's distribution of the values x + noise that are not above 0."""
    return truncnorm(-np.inf, -x / STD, loc=x, scale=STD)


def test_clipped_values_are_the_mean_of_the_truncated_normal():
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
def test_draws_have_the_truncated_normal(white):
    x = PICTURES[:4].reshape(1, 1, 1, 4).expand(2, 1, 2000, 4)
    y = torch.full((1, 1, 2000, 4), float(white))
    values = drawn_beyond(y, 1 - x if white else x, STD, NoiseStream(0, 2))
    values = 1 - values if white else values
    for k in range(4):
        assert kstest(values[..., k].flatten().numpy(), beyond(float(PICTURES[k])).cdf).pvalue > 1e-3
    assert not torch.equal(values[0], values[1])


def test_values_within_stay_as_they_are():
    y, x = torch.tensor([0.001, 0.5, 0.999]), torch.tensor([0.0, 0.5, 1.0])
    assert torch.equal(expected(y, x, STD), y)
    assert torch.equal(drawn_beyond(y[None], x[None], STD, NoiseStream(0, 1))[0], y)


@pytest.mark.parametrize("detail", [0.0, 0.1])
@pytest.mark.parametrize("deviations", [0.0, 0.5, 1.5])
def test_clipped_values_are_estimated_from_their_surroundings(deviations, detail):
    """Of a picture N(m, d^2) with its noise, near black in one channel and near white in another."""
    generator = torch.Generator().manual_seed(0)
    x = deviations * STD + math.hypot(STD, detail) * torch.randn(1, 1, 150, 150, generator=generator)
    y = torch.cat((x, 1 - x), 1)
    found = expected_around(y.clamp(0, 1), STD)
    within = (y > 0) & (y < 1)
    assert torch.equal(found[within], y[within])
    lost = (y.clamp(0, 1) - y).mean((0, 2, 3))
    np.testing.assert_allclose((found - y).mean((0, 2, 3)) / lost, 0, atol=0.3)


def test_clipped_values_beside_an_edge_are_no_darker_than_their_noise():
    """The bright side does not count as noise: with a deviation of at most 2 s, black lies 2 s sqrt(2/pi) below."""
    y = torch.zeros(1, 1, 32, 32)
    y[..., 16:] = 0.8
    assert expected_around(y, 0.02).min() >= -2 * 0.02 * math.sqrt(2 / math.pi)


def test_the_mean_nearby_is_of_what_lies_within_the_borders():
    y = torch.arange(20.0).reshape(1, 1, 4, 5)
    found = local_mean(y, 1)[0, 0]
    assert found[1, 1] == pytest.approx(float(y[0, 0, :3, :3].mean()))
    assert found[3, 4] == pytest.approx(float(y[0, 0, 2:, 3:].mean()))
