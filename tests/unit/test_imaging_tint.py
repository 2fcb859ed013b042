"""Sepia prints are told from grey and from coloured pictures."""

from __future__ import annotations

import numpy as np
import pytest

from scoreinv.colour_space import luma
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.tint import is_tinted, without_tint


def tones(height: int = 60, width: int = 90) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(np.linspace(0.1, 0.95, width)[None] + 0.1 * rng.standard_normal((height, width)), 0, 1)


def sepia(gray: np.ndarray) -> np.ndarray:
    """Dark brown over tan to a yellowish white."""
    dark, light = np.array([0.15, 0.08, 0.03]), np.array([0.98, 0.93, 0.8])
    return dark + gray[..., None] * (light - dark)


def eight_bit(rgb: np.ndarray, noise: float = 0.0) -> Picture:
    rgb = rgb + noise * np.random.default_rng(1).standard_normal(rgb.shape)
    return Picture(np.rint(255 * rgb.clip(0, 1)).astype(np.uint8))


def test_prints_of_one_tint() -> None:
    assert is_tinted(eight_bit(sepia(tones())))
    assert is_tinted(eight_bit(sepia(tones()), noise=0.01))
    assert is_tinted(eight_bit(tones()[..., None] * np.array([0.9, 1.0, 0.95])))


def test_grey_and_coloured_pictures_are_none() -> None:
    gray = np.repeat(tones()[..., None], 3, 2)
    assert not is_tinted(eight_bit(gray))
    assert not is_tinted(Picture(np.rint(255 * tones()).astype(np.uint8)))
    coloured = gray.copy()
    coloured[:, :45] *= (1.0, 0.8, 0.6)
    coloured[:, 45:] *= (0.7, 0.9, 1.0)
    coloured[20:40] *= (1.0, 0.7, 1.0)
    assert not is_tinted(eight_bit(coloured))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (50, 3)])
def test_small_pictures(size: tuple[int, int]) -> None:
    assert is_tinted(eight_bit(sepia(tones(*size)))) in (True, False)


def test_the_lightest_tone_becomes_white() -> None:
    picture = eight_bit(sepia(tones()))
    gray = without_tint(picture)
    assert gray.mode == "L"
    old, new = luma(picture.rgb()), gray.luma()
    light = old >= np.quantile(old, 0.99)
    assert new[light].mean() > old[light].mean() + 0.02
    assert np.corrcoef(old.ravel(), new.ravel())[0, 1] > 0.999
