"""The power spectrum of a photograph in polar coordinates."""

import numpy as np
import pytest

from scoreinv.analysis.spectrum import BLOCK, block_powers, blur_misfits, polar_spectrum
from scoreinv.imaging.picture import Picture
from scoreinv.operators import kernels

ANGLES = 24


def waves(angle: float, cycles: float, size: tuple[int, int] = (160, 200)) -> Picture:
    """Waves that go on in a direction, anticlockwise from the right, `cycles` a pixel."""
    y, x = np.mgrid[: size[0], : size[1]]
    way = x * np.cos(np.radians(angle)) - y * np.sin(np.radians(angle))
    return Picture((0.5 + 0.3 * np.cos(2 * np.pi * cycles * way)).astype(np.float32))


@pytest.mark.parametrize(("angle", "cycles"), [(0, 0.1), (30, 0.2), (90, 0.15), (120, 0.2)])
def test_waves_are_seen_at_their_angle_and_radius(angle, cycles):
    spectrum = polar_spectrum(block_powers(waves(angle, cycles)), 64, ANGLES)
    assert spectrum.shape == (2, 64, ANGLES)
    for values in spectrum:
        radius, column = np.unravel_index(values.argmax(), values.shape)
        assert column * 180 / ANGLES == angle
        assert np.linspace(1.5 / 128, 0.5, 64)[radius] == pytest.approx(cycles, abs=0.01)


def test_powers_are_those_of_the_light_under_a_window():
    rgb = np.random.default_rng(0).random((BLOCK, BLOCK, 3))
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]
    hann = np.sin(np.pi * np.arange(BLOCK) / BLOCK) ** 2
    window = np.outer(hann, hann) * (8 / 3)  # of mean square 1
    expected = np.abs(np.fft.rfft2((light - light.mean()) * window)) ** 2 / BLOCK**2
    (found,) = block_powers(Picture(rgb.astype(np.float32)))
    np.testing.assert_allclose(found, expected, rtol=1e-2, atol=1e-4 * expected.mean())


def test_both_averages_are_over_the_half_of_the_blocks_with_the_stronger_edges():
    """Of powers by the roots of their edges, and of logarithms."""
    powers = np.array([400.0, 0.1, 4.0, 0.2, 100.0])[:, None, None] * np.ones((5, BLOCK, BLOCK // 2 + 1))
    found = polar_spectrum(powers, 6, ANGLES)
    expected = np.log((2 + 10 + 20) / (1 / 2 + 1 / 10 + 1 / 20)), np.log(4 * 100 * 400) / 3
    for values, value in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, value, atol=1e-3)


@pytest.mark.parametrize("kernel", [np.ones((1, 1)), kernels.motion(9, 30)], ids=["sharp", "moved"])
@pytest.mark.parametrize(("exponent", "noise"), [(2.2, 0.3), (1.6, 0.3), (2.8, 0.3)])
def test_the_misfit_of_the_true_spectrum_is_its_entropy(kernel, exponent, noise):
    """Whittle's mean of log S + I / S is least for S = I, and is then the mean of log I + 1."""
    rows, columns = np.fft.fftfreq(BLOCK)[:, None], np.fft.rfftfreq(BLOCK)
    radius = np.hypot(rows, columns)
    used = (radius > 0.03) & (radius < 0.5)
    transfer = np.abs(np.fft.rfft2(kernel, (BLOCK, BLOCK))) ** 2
    power = 1e-6 * (0.1 / 1e-6) ** (10 / 15) * transfer / np.maximum(radius, 1e-3) ** exponent + (noise / 255) ** 2
    wrong = [kernels.gaussian(1.5), kernels.motion(9, 120), kernels.motion(9, 60)]
    powers = np.stack([0.5 * power, 1.5 * power])
    misfit, *others = blur_misfits(powers, [kernel, *wrong])
    assert misfit == pytest.approx(np.mean(np.log(power[used]) + 1), abs=1e-6)
    assert min(others) > misfit + 0.05
    # Each of twelve sectors has its own power.
    sector = 12 * (np.arctan2(rows, columns) / np.pi % 1) // 1
    assert blur_misfits(powers * np.where(sector == 3, 10 ** (5 / 15), 1), [kernel])[0] < misfit + 0.2
