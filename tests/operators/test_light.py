"""Tone curves, and operators on light."""

import numpy as np
import pytest
import torch

from scoreinv.operators import Blur, InLight, kernels, valid_blur
from scoreinv.operators.tones import ToneCurve, srgb, tone_curve
from scoreinv.system.errors import InputError

HEIGHT, WIDTH = 9, 12
LOPSIDED = torch.tensor([[0.1, 0.6, 0.0, 0.1], [0.0, 0.15, 0.05, 0.0]])
GENERATOR = torch.Generator().manual_seed(0)


def picture(low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    """Return values in and a little beyond the range."""
    values = torch.rand(2, 3, HEIGHT, WIDTH, generator=GENERATOR, dtype=torch.float64)
    return low + (high - low) * (1.2 * values - 0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("data_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_encoding_inverts_decoding(dtype, data_range):
    x = picture(*data_range).to(dtype)
    nothing = Blur(torch.ones(1, 1), HEIGHT, WIDTH)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(InLight(nothing, srgb(), data_range)(x), x, atol=tolerance, rtol=0)


@pytest.mark.parametrize("data_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_a_blur_of_light_is_that_of_srgb(data_range):
    low, high = data_range
    x = picture().clamp(0, 1)
    blur = Blur(LOPSIDED, HEIGHT, WIDTH)
    light = blur(torch.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4))
    values = torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    found = InLight(blur, srgb()).in_range(low, high)(low + (high - low) * x)
    torch.testing.assert_close((found - low) / (high - low), values, atol=2e-5, rtol=0)


@pytest.mark.parametrize("data_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_the_derivative_is_that_of_differences(data_range):
    weights = torch.rand(1, 3, HEIGHT, WIDTH, generator=GENERATOR)
    operator = InLight(valid_blur(LOPSIDED, HEIGHT - 1, WIDTH - 3, 7), srgb(), data_range).weighted(weights)
    x, way = picture(*data_range), torch.randn(2, 3, HEIGHT, WIDTH, generator=GENERATOR, dtype=torch.float64)
    # The curve has knots: the median leaves out the values whose difference crosses one.
    seen, derivative = operator.linearised(x)
    assert derivative.iterations == 7
    torch.testing.assert_close(seen, operator(x))
    errors = (operator(x + 1e-7 * way) - operator(x - 1e-7 * way)) / 2e-7 - derivative(way)
    assert errors.abs().median() < 1e-6
    y = torch.randn(x.shape, generator=GENERATOR, dtype=torch.float64)
    torch.testing.assert_close((derivative(way) * y).sum(), (way * derivative.adjoint(y)).sum())


def test_gauss_newton_finds_the_picture_of_an_observation():
    x = torch.nn.functional.avg_pool2d(picture(), 3, 1, 1).clamp(0.05, 0.95)
    operator = InLight(Blur(torch.from_numpy(kernels.gaussian(0.5)), HEIGHT, WIDTH), srgb())
    y = operator(x)
    found = y
    for _ in range(6):
        found = operator.replace(found, y)
    torch.testing.assert_close(found, x, atol=1e-4, rtol=0)


@pytest.mark.parametrize("light", [[0, 0], [1, 0.5], [0, np.nan], [0, 0.7, 0.2, 1]])
def test_curves_that_do_not_increase_are_refused(light):
    with pytest.raises(InputError):
        tone_curve(np.array(light))
    with pytest.raises(InputError):
        ToneCurve(np.array(light))
