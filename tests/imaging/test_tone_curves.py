"""Tone curves: fading by known gains and stains is undone, and no curve clips what was not."""

import numpy as np
import pytest

from scoreinv.imaging.picture import Picture
from scoreinv.imaging.tone_curves import ToneCurves, changes, with_tones

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


def test_the_curves_rise_everywhere_and_clip_nothing():
    values = np.linspace(0, 1, 1001)[:, None].repeat(3, axis=1)
    toned = undoing(0.05, 0.9).toned(values)
    assert (np.diff(toned, axis=0) > 0).all()
    assert (toned[0] == 0).all()
    assert toned[-1] == pytest.approx(1)


def test_no_part_of_the_way_is_the_picture_itself_and_half_of_it_lies_between():
    curves = undoing(0.02, 0.98)
    scan = faded(scene())
    assert curves.part(0).toned(scan) == pytest.approx(scan, abs=1e-6)
    half = curves.part(0.5).toned(scan)
    assert abs(half - scene()).mean() < abs(scan - scene()).mean()


def test_alpha_and_grey_modes_are_kept():
    gray = np.linspace(60, 180, 200).astype(np.uint8).reshape(10, 20)
    alpha = np.full_like(gray, 77)
    flat = np.full(3, 0.2)
    curves = ToneCurves(flat, np.full(3, 0.75), np.ones(3), np.full(3, 60 / 255), np.full(3, 180 / 255))
    both = with_tones(Picture(np.dstack([gray, alpha])), curves).pixels
    assert (both[..., 1] == 77).all()
    assert (both[..., 0] == with_tones(Picture(gray), curves).pixels).all()
    assert np.ptp(both[..., 0].astype(int)) > 1.5 * np.ptp(gray.astype(int))


def test_changes_of_contrast_and_cast():
    gray = np.linspace(0.3, 0.7, 500)[:, None] * np.ones(3)
    red = np.clip(gray * [1.15, 1, 0.95], 0, 1)
    assert changes(red, gray)["cast"] in ("red", "orange")
    stretched = changes(gray, (gray - 0.5) * 1.5 + 0.5)
    assert (stretched["contrast"], stretched["cast"]) == (pytest.approx(0.55, abs=0.05), "")
    assert changes(gray, gray) == {"contrast": 0.0, "cast": ""}
