"""Degraded crops of the upscaler's recipe lie where their originals do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pretrained.upscaler import make as recipe
from scoreinv.operators import downsampling


@pytest.mark.parametrize("factor", [2, 4])
def test_small_and_large_crops_are_of_one_place(factor, monkeypatch):
    """On average over many crops, the mean of each block is the pixel: a shift would move edges."""
    monkeypatch.setattr(recipe, "NOISY", 0.0)
    monkeypatch.setattr(recipe, "COMPRESSED", 0.0)
    y, x = np.mgrid[:640, :640]
    photo = np.stack([127 + 100 * np.sin(x / 40), 127 + 100 * np.sin(y / 40), (x + y) / 6], -1).astype(np.uint8)
    random = np.random.default_rng(0)
    monkeypatch.setattr(recipe, "GRAY", 0.0)
    for _ in range(8):
        small, large, noise_std, means = recipe.drawn([[photo]], factor, random)
        side = recipe.SIDE
        assert (small.shape, large.shape) == ((3, side, side), (3, factor * side, factor * side))
        assert (noise_std, means in (0, 1)) == (0, True)
        blocks = large.reshape(3, side, factor, side, factor).mean((2, 4))
        assert abs(blocks - small).mean() < 0.5


@pytest.mark.parametrize("kind", ["area", "bicubic"])
def test_the_loss_sees_corrected_pictures(kind):
    random = np.random.default_rng(0)
    x, small = (torch.from_numpy(random.random((2, 3, side, side))) for side in (24, 12))
    level = torch.tensor([0.0, 0.02], dtype=torch.float64)
    left = (downsampling(2, 24, 24, kind)(recipe.corrected(x, small, level, kind)) - small).abs().mean((1, 2, 3))
    assert left[0] < 1e-6
    assert left[1] > 1e-3


@pytest.mark.parametrize("means", [0.0, 1.0])
def test_the_loss_is_the_mean_psnr_inside_the_borders(monkeypatch, means):
    """Of a picture without noise an even error is corrected, of one with much noise not; both have the floor."""
    noises = iter([0.0, 1e3])

    def drawn(photos, factor, random):
        flat = [np.full((3, side, side), 51, np.uint8) for side in (16, 32)]
        flat[1][:, :5] = flat[1][:, :, -6:] = 255  # does not count
        flat[1][:, :5, :] = 255
        return *flat, np.float32(next(noises)), np.float32(means)

    monkeypatch.setattr(recipe, "BATCH", 2)
    monkeypatch.setattr(recipe, "drawn", drawn)
    asked = []

    def network(small, factor, noise_std, kinds):
        asked.append((small.min(), small.max(), factor, noise_std.tolist(), kinds.tolist()))
        return torch.full((2, 3, 32, 32), 0.3)

    found = recipe.loss(network, 2, [], np.random.default_rng(0))
    uncorrected = 10 * np.log10(0.1**2 + recipe.FLOOR)
    assert float(found) == pytest.approx((10 * np.log10(recipe.FLOOR) + uncorrected) / 2, abs=0.05)
    assert asked == [(pytest.approx(0.2), pytest.approx(0.2), 2, [0.0, 1e3], [means] * 2)]
