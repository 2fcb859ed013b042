"""Gamut and rounding of chroma on a given luma."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from scoreinv.colour_space import GRAY_WEIGHTS, luma, luma_weights
from scoreinv.imaging.colour import GuidedUpsampling, is_gray, quantize_keeping_luma, with_luma


@pytest.mark.parametrize("name", GRAY_WEIGHTS)
def test_with_luma_stays_in_gamut_and_keeps_luma_and_hue(name):
    rng = np.random.default_rng(0)
    gray = rng.random(5000)
    gray[:2] = 0, 1
    rgb = rng.normal(0.5, 1, (5000, 3))
    out = with_luma(gray, rgb, name)
    assert out.min() >= 0
    assert out.max() <= 1
    assert_allclose(luma(out, name), gray, atol=1e-12)
    chroma = rgb - luma(rgb, name)[:, None]
    kept = out - gray[:, None]
    scale = (kept * chroma).sum(-1) / (chroma**2).sum(-1)
    assert_allclose(kept, scale[:, None] * chroma, atol=1e-12)  # the same direction
    full = (gray[:, None] + chroma >= 0).all(-1) & (gray[:, None] + chroma <= 1).all(-1)
    assert_allclose(scale[full], 1)
    touching = np.minimum(out.min(-1), 1 - out.max(-1))
    assert_allclose(touching[~full], 0, atol=1e-12)  # and no greyer than need be


@pytest.mark.parametrize("name", GRAY_WEIGHTS)
def test_rounding_keeps_every_grey_level(name):
    """All 256 levels with random and with the most extreme colours of each luma."""
    rng = np.random.default_rng(0)
    levels = np.repeat(np.arange(256.0), 400)
    rgb = with_luma(levels / 255, rng.normal(0, 3, (levels.size, 3)), name)
    rounded = quantize_keeping_luma(levels, rgb, np.dtype(np.uint8), name)
    assert_array_equal(np.rint(rounded @ luma_weights(name)), levels)
    assert np.abs(rounded - rgb * 255).max() <= 1.5
    assert_array_equal(rounded[levels == 0], 0)
    assert_array_equal(rounded[levels == 255], 255)


def test_guided_chroma_has_no_luma_and_agrees_at_low_resolution():
    rng = np.random.default_rng(0)
    rgb = rng.random((12, 15, 3))
    chroma = rgb - luma(rgb)[..., None]
    guide = rng.random((12, 15)).astype(np.float32)
    fit = GuidedUpsampling.fit(chroma, guide)
    assert_allclose(luma(fit.slope), 0, atol=1e-6)
    assert_allclose(luma(fit.offset), 0, atol=1e-6)
    assert_allclose(fit.rows(guide, 0, 12), chroma, atol=1e-6)
    full = rng.random((50, 61)).astype(np.float32)
    parts = [fit.rows(full[top : top + 20], top, 50) for top in (0, 20, 40)]
    assert_allclose(np.concatenate(parts), fit.rows(full, 0, 50), atol=1e-6)


def test_is_gray():
    gray = np.random.default_rng(0).integers(0, 250, (600, 8, 1), dtype=np.uint8)
    rgb = np.repeat(gray, 3, axis=2)
    assert is_gray(rgb)
    assert is_gray(np.dstack([rgb, gray[::-1]]))  # alpha does not matter
    assert is_gray(gray[..., 0])
    assert is_gray(np.dstack([gray, gray[::-1]]))
    rgb[599, 7, 2] += 5
    assert not is_gray(rgb)
    assert is_gray(rgb, tolerance=5.1 / 255)
    assert not is_gray(rgb, tolerance=4.9 / 255)
    assert not is_gray((rgb / 255).astype(np.float32), tolerance=4.9 / 255)
