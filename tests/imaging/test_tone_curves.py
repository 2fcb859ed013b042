"""Tone curves: fading by known gains and stains is undone, and no curve clips what was not."""

from dataclasses import replace

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab

from scoreinv.imaging.picture import Picture
from scoreinv.imaging.tone_curves import ToneCurves, mean_difference, tone_changes, with_tones

GAIN, STAIN, INK = np.array([0.45, 0.7, 0.9]), np.array([1.0, 0.95, 0.8]), np.array([0.1, 0.05, 0.02])


def faded(rgb: np.ndarray) -> np.ndarray:
    """Dyes of which a fraction is left, on stained paper, with ink that is no longer black."""
    return INK + (STAIN - INK) * rgb**GAIN


def undoing(low: float, high: float) -> ToneCurves:
    ends = faded(np.array([[low] * 3, [high] * 3]))
    return ToneCurves(INK, STAIN, 1 / GAIN, *ends)


def scene() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.02, 0.98, (40, 50, 3))


@pytest.mark.parametrize(("dtype", "off"), [(np.uint8, 0.02), (np.uint16, 1e-4), (np.float32, 1e-5)])
def test_fading_by_known_gains_is_undone(dtype, off):
    peak = np.iinfo(dtype).max if dtype != np.float32 else 1.0
    scan = faded(scene()) * peak
    pixels = np.rint(scan).astype(dtype) if dtype != np.float32 else scan.astype(dtype)
    restored = with_tones(Picture(pixels), undoing(0.02, 0.98)).pixels
    assert restored.dtype == dtype
    assert abs(restored / peak - scene()).max() < off


def test_the_curve_of_a_channel_is_its_formula():
    """A power between the tones, and lines to 0 and to 1 outside them."""
    curves = ToneCurves(
        *(np.array(values) for values in ([0.1, 0, 0], [0.9, 1, 1], [0.5, 1, 1], [0.2, 0.3, 0], [0.8, 0.6, 1]))
    )
    values = np.array([0.0, 0.1, 0.2, 0.5, 0.8, 0.9, 1.0])
    at_low, at_high = 0.125**0.5, 0.875**0.5
    expected = [0, at_low / 2, at_low, 0.5**0.5, at_high, (at_high + 1) / 2, 1]
    np.testing.assert_allclose(curves.channel(values, 0), expected, atol=1e-6)
    assert curves.channel(values, 1) is values
    whole = replace(curves, low=np.zeros(3), high=np.ones(3), black=np.full(3, -0.1), white=np.full(3, 1.1))
    with np.errstate(all="raise"):  # without lines outside
        np.testing.assert_allclose(whole.channel(values, 0), ((values + 0.1) / 1.2) ** 0.5, atol=1e-6)
    toned = curves.toned(np.stack([values] * 3, axis=1))
    np.testing.assert_allclose(toned, np.stack([expected, values, values], axis=1), atol=1e-6)


@pytest.mark.parametrize(
    ("hue", "name"),
    [
        *((5, "magenta"), (35, "red"), (60, "orange"), (90, "yellow")),
        *((150, "green"), (200, "cyan"), (270, "blue"), (340, "magenta")),
    ],
)
def test_casts_have_the_name_of_their_hue(hue: float, name: str):
    """From a shift of 3 in CIELAB on; a change of the lightness's spread counts from 5 % on."""
    lightness = np.linspace(40, 60, 50)

    def colours(chroma: float, spread: float = 1.0) -> np.ndarray:
        shift = chroma * np.array([np.cos(np.radians(hue)), np.sin(np.radians(hue))])
        return lab2rgb(np.stack([50 + spread * (lightness - 50), *np.full((50, 2), shift).T], axis=1)[None])[0]

    assert tone_changes(colours(3.3), colours(0)) == {"contrast": 0.0, "cast": name}
    assert tone_changes(colours(2.7), colours(0)) == {"contrast": 0.0, "cast": ""}
    for spread in (0.96, 1.0, 1.04):
        assert tone_changes(colours(0), colours(0, spread))["contrast"] == 0
    for spread in (0.9, 1.08, 1.5):
        assert tone_changes(colours(0), colours(0, spread))["contrast"] == pytest.approx(spread - 1, abs=2e-3)
    assert np.isfinite(tone_changes(np.full((50, 3), 0.5), colours(0))["contrast"])


def test_the_difference_is_the_mean_over_colours():
    one = np.array([[0.5, 0.5, 0.5], [0.2, 0.4, 0.6]])
    other = np.array([[0.6, 0.5, 0.5], [0.2, 0.4, 0.6]])
    alone = deltaE_ciede2000(rgb2lab(one), rgb2lab(other))
    assert alone[1] == 0
    assert mean_difference(one, other) == pytest.approx(alone[0] / 2)
