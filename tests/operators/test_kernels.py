"""Blur kernels: their sum, centre, spread, direction and name."""

import numpy as np
import pytest
from scipy.signal import fftconvolve

from scoreinv.operators import kernels
from scoreinv.operators.kernels import PointSpread
from scoreinv.system.errors import InputError

EVERY = [
    kernels.gaussian(0.3),
    kernels.gaussian(2.5),
    kernels.disk(0.4),
    kernels.disk(3),
    kernels.disk(4.7),
    kernels.motion(0.5, 10),
    kernels.motion(15, 30),
    kernels.motion(8, 200),
]


def moments(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance (down, across) of where a point goes, from the kernel's centre."""
    places = np.stack(np.indices(kernel.shape)) - np.array([n // 2 for n in kernel.shape]).reshape(2, 1, 1)
    mean = (places * kernel).sum((1, 2))
    return mean, np.einsum("iyx,jyx,yx->ij", places, places, kernel) - np.outer(mean, mean)


@pytest.mark.parametrize("kernel", EVERY)
def test_light_is_neither_lost_nor_moved(kernel):
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    assert kernel.min() >= 0
    assert abs(moments(kernel)[0]).max() < 1e-9
    assert [n % 2 for n in kernel.shape] == [1, 1]
    assert kernel[0].any()
    assert kernel[:, 0].any()


def test_a_kernel_may_have_zeros_but_no_negative_values():
    values = np.array([[0.0, 1.0], [1.0, 2.0]])
    np.testing.assert_allclose(kernels.normalised(values, "kernel"), values / 4)
    wrong = (values - 1, 0 * values, values[0], values[:0], values * np.nan, values * 1j, values.astype(str), [[1.0]])
    for each in wrong:
        with pytest.raises(InputError, match=r"^mine: "):
            kernels.normalised(each, "mine")


def test_zeros_around_a_kernel_are_trimmed_as_far_as_its_centre_stays():
    rng = np.random.default_rng(0)
    for _ in range(60):
        values = np.zeros(rng.integers(1, 8, 2))
        values.flat[rng.integers(values.size, size=2)] = rng.uniform(0.5, 1, 2)
        places = np.argwhere(values) - np.array(values.shape) // 2
        kernel = kernels.normalised(values, "kernel")
        np.testing.assert_array_equal(np.argwhere(kernel) - np.array(kernel.shape) // 2, places)
        reach = np.abs(places).max(0)
        assert (np.array(kernel.shape) <= 2 * reach + 1).all()


@pytest.mark.parametrize("size", [0.09, 201.0, np.nan])
@pytest.mark.parametrize("kind", [kernels.gaussian, kernels.disk, lambda size: kernels.motion(size, 30)])
def test_kernels_out_of_range(kind, size):
    with pytest.raises(InputError, match=r"must be from 0\.1 to 200 pixels"):
        kind(size)
    with pytest.raises(InputError, match="angle"):
        kernels.motion(3, np.inf)


def test_spreads():
    np.testing.assert_allclose(moments(kernels.gaussian(2.5))[1], 6.25 * np.eye(2), rtol=2e-3, atol=1e-9)
    # of an even disk r^2 / 4
    np.testing.assert_allclose(moments(kernels.disk(4.7))[1], 4.7**2 / 4 * np.eye(2), rtol=0.02, atol=1e-9)
    # of an even line l^2 / 12 along it, and across what the pixels' own width adds
    down, across = -np.sin(np.radians(30)), np.cos(np.radians(30))
    covariance = moments(kernels.motion(15, 30))[1]
    along = np.array([down, across])
    assert along @ covariance @ along == pytest.approx(15**2 / 12, rel=0.02)
    aside = np.array([across, -down])
    assert aside @ covariance @ aside < 0.2


def test_a_movement_upwards_to_the_right():
    kernel = kernels.motion(9, 45)
    assert kernel[1, -2] > 0.05
    assert kernel[1, 1] == 0
    np.testing.assert_allclose(kernels.motion(9, 225), kernel, atol=1e-12)
    assert kernels.motion(9, 0).shape[0] == 1


@pytest.mark.parametrize(
    ("blur", "text", "kernel"),
    [
        (PointSpread("gaussian", 1.5), "gaussian:1.5", kernels.gaussian(1.5)),
        (PointSpread("disk", 3), "disk:3", kernels.disk(3)),
        (PointSpread("motion", 15, 30), "motion:15,30", kernels.motion(15, 30)),
    ],
)
def test_a_blur_is_written_as_the_command_line_takes_it(blur, text, kernel):
    assert str(blur) == text
    np.testing.assert_array_equal(blur.kernel(), kernel)
    assert f"{blur.size:g}" in blur.words


def test_the_moments_of_random_kernels_are_those_of_the_blurred_picture():
    """Three kernels differ from their mean in two dimensions, so that two components are exact."""
    some, weights = [np.ones((1, 1)), kernels.gaussian(0.8), kernels.motion(5, 30)], [1.0, 2.0, 5.0]
    mean, components = kernels.kernel_moments(some, weights)
    picture = np.random.default_rng(0).random((24, 24))
    blurred = np.stack([fftconvolve(picture, kernel, "same") for kernel in some])
    expected = np.average(blurred, axis=0, weights=weights)
    variance = np.average(np.square(blurred - expected), axis=0, weights=weights)
    np.testing.assert_allclose(fftconvolve(picture, mean, "same"), expected, atol=1e-12)
    found = sum(np.square(fftconvolve(picture, component, "same")) for component in components)
    np.testing.assert_allclose(found, variance, atol=1e-12)
