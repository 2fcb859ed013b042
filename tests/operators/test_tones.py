"""Tone curves: sRGB's own, those through given light, and luminance."""

import numpy as np
import pytest

from scoreinv.operators.tones import ToneCurve, srgb, tone_curve
from scoreinv.system.errors import InputError

VALUES = np.linspace(0, 1, 1024)


def test_srgb_is_linear_near_black() -> None:
    light = srgb().light
    dark = VALUES <= 0.04045
    np.testing.assert_allclose(light[dark], VALUES[dark] / 12.92, atol=1e-12)
    np.testing.assert_allclose(light[~dark], ((VALUES[~dark] + 0.055) / 1.055) ** 2.4, atol=1e-12)


def test_curves_begin_at_0_end_at_1_and_have_a_least_slope_at_black() -> None:
    """Steep powers have a 32nd of the slope of a line there; given light is scaled, and interpolated between."""
    np.testing.assert_allclose(tone_curve(np.array([3.0, 4.0, 7.0])).light[::341], [0, 1 / 6, 0.5, 1], atol=1e-3)
    power = tone_curve(VALUES**3).light
    np.testing.assert_allclose(power, np.maximum(VALUES**3, VALUES / 32), atol=1e-12)
    for wrong in (np.array([1.0, 0.0]), np.array([2.0, 3.0, 2.0])):
        with pytest.raises(InputError, match="must increase"):
            tone_curve(wrong)


@pytest.mark.parametrize(
    "light", [[0.0], [[0.0, 1.0]], [0.1, 1.0], [0.0, 0.9], [0.0, 0.5, 0.5, 1.0], [0.0, 0.7, 0.5, 1.0]]
)
def test_wrong_curves_are_refused(light: list[float]) -> None:
    with pytest.raises(InputError, match="a tone curve"):
        ToneCurve(np.array(light))


def test_luminance_weighs_light() -> None:
    curve = ToneCurve(np.array([0.0, 0.25, 1.0]))
    colours = np.array([[0.5, 0.0, 0.0], [0.0, 0.75, 0.0], [0.0, 0.0, 1.0], [0.25, 0.25, 0.25]])
    expected = [0.2126 * 0.25, 0.7152 * 0.625, 0.0722, 0.125]
    np.testing.assert_allclose(curve.luminance(colours), expected, atol=1e-6)
