"""Chroma on a given luma: gamut and rounding, and how it is raised along edges."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from scoreinv.imaging.colour import (
    ChromaAlongEdges,
    reach,
    with_luma,
)
from scoreinv.operators.luma import GRAY_WEIGHTS, luma


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


def test_strokes_reach_over_smooth_ground_and_not_across_edges():
    gray = np.full((20, 30), 0.35, np.float32)
    gray[:, 15:] = 0.65
    gray[:, 14] = 0.5  # the edge lies within a pixel
    gray += np.random.default_rng(0).normal(0, 0.005, gray.shape).astype(np.float32)
    strokes = np.zeros(gray.shape, bool)
    strokes[8:12, 6] = True
    found = reach(gray, strokes)
    assert found[strokes].min() == 1
    assert found[:, :13].min() > 0.7
    assert found[:, 16:].max() < 0.1
    smooth = reach(np.full((20, 30), 0.5, np.float32), strokes)
    assert smooth.min() > 0.7
    assert (np.diff(smooth[10, 6:]) < 0).all()  # and fade


def test_a_picture_that_is_all_stroke_or_a_line():
    assert (reach(np.zeros((3, 4), np.float32), np.ones((3, 4), bool)) == 1).all()
    line = np.array([[0.2, 0.2, 0.9, 0.9]], np.float32)
    assert_allclose(reach(line, line < 0.1 + (np.arange(4) == 0)), [[1, 1, 0, 0]], atol=0.01)


def random_chroma(height: int, width: int) -> np.ndarray:
    rgb = np.random.default_rng(1).random((height, width, 3)).astype(np.float32)
    return rgb - luma(rgb)[..., None]


def test_finer_chroma_of_smooth_ground_keeps_means_and_bounds_and_has_no_luma():
    gray = np.random.default_rng(0).random((20, 28)).astype(np.float32)
    chroma = random_chroma(5, 7)
    finer = ChromaAlongEdges.fit(gray, 4).finer(chroma)
    assert finer.shape == (20, 28, 3)
    assert finer.min() >= chroma.min()
    assert finer.max() <= chroma.max()
    flat = np.tile(chroma[:1, :1], (5, 7, 1))
    assert_allclose(ChromaAlongEdges.fit(gray, 4).finer(flat), np.tile(flat[:1, :1], (20, 28, 1)), atol=1e-6)
    smooth = ChromaAlongEdges.fit(np.full((20, 28), 0.5, np.float32), 4).finer(0.1 * chroma)
    assert_allclose(smooth.mean((0, 1)), 0.1 * chroma.mean((0, 1)), atol=0.005)
    assert_allclose(luma(smooth), 0, atol=0.005)


@pytest.mark.parametrize("scale", [2, 3])
def test_finer_chroma_is_the_minimum_that_it_says(scale):
    """No small change makes the sum, written out here, smaller; a chessboard's neighbours bound nothing."""
    rng = np.random.default_rng(2)
    gray = np.full((4 * scale, 5 * scale), 0.5, np.float32)
    gray[3:] += 0.05
    gray[:, 4:] -= 0.01
    rows, columns = np.mgrid[:4, :5]
    chroma = np.repeat((-1.0) ** (rows + columns)[..., None], 3, axis=2).astype(np.float32)
    found = ChromaAlongEdges.fit(gray, scale).finer(chroma)[..., 0].astype(np.float64)

    def total(u: np.ndarray) -> float:
        means = u.reshape(4, scale, 5, scale).mean((1, 3))
        links = [1 / (1 + (np.diff(gray, axis=axis) / 0.02) ** 2) + 1e-3 for axis in (0, 1)]
        rough = sum((links[axis] * np.diff(u, axis=axis) ** 2).sum() for axis in (0, 1))
        return float(rough + 0.05 * scale**2 * ((means - chroma[..., 0]) ** 2).sum())

    assert np.abs(found).max() < 1
    for _ in range(50):
        change = 1e-2 * rng.standard_normal(found.shape)
        assert total(found + change) > total(found)
        assert abs(total(found + change) - total(found - change)) < 1e-4 * total(found)
