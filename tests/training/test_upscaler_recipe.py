"""Degraded crops of the upscaler's recipe lie where their originals do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from scoreinv.networks.span import Stack
from scoreinv.operators import downsampling
from scoreinv.training.recipes import upscaler as recipe


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize(("kind", "operator"), [("area", "area"), ("cubic", "bicubic")])
def test_kernels_are_those_of_the_operators(factor, kind, operator):
    large = np.random.default_rng(0).integers(0, 256, (64, 72, 3), dtype=np.uint8)
    whole = downsampling(factor, 64, 72, operator)(torch.from_numpy(large / 255).permute(2, 0, 1)[None])
    reach = recipe._REACH
    inside = whole[0].permute(1, 2, 0).numpy()[reach:-reach, reach:-reach]
    found = recipe.reduced(large, recipe.profile(kind, factor, 0.4), factor)
    np.testing.assert_allclose(found, inside, atol=1e-9)


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


def test_the_noise_of_gray_crops_is_gray(monkeypatch):
    for name, value in {"NOISY": 1.0, "COMPRESSED": 0.5, "GRAY": 1.0}.items():
        monkeypatch.setattr(recipe, name, value)
    random = np.random.default_rng(0)
    photo = random.integers(0, 256, (300, 300, 3), dtype=np.uint8)
    for _ in range(8):
        small, large, noise_std, _ = recipe.drawn([[photo]], 2, random)
        assert noise_std > 0
        assert (small == small[:1]).all()
        assert (large == large[:1]).all()


@pytest.mark.parametrize("factor", [2, 4])
def test_filtered_block_means_resemble_a_cubic_reduction(factor, monkeypatch):
    monkeypatch.setattr(recipe, "_FILTER_CROPS", 4)
    random = np.random.default_rng(0)
    smooth = Image.fromarray(random.integers(0, 256, (150, 150, 3), dtype=np.uint8))
    photo = np.asarray(smooth.resize((400, 400), Image.Resampling.BICUBIC))
    stack = Stack(3, 2, factor)
    recipe.begin_filter(stack, [[photo]], random)
    values = torch.from_numpy(photo / 255).permute(2, 0, 1)[None].float()
    means, cubic = (downsampling(factor, 400, 400, kind)(values) for kind in ("area", "bicubic"))
    after, before = ((x - cubic).square().mean() for x in (stack.filtered(means), means))
    assert after < 0.8 * before


@pytest.mark.parametrize("kind", ["area", "bicubic"])
def test_the_loss_sees_corrected_pictures(kind):
    random = np.random.default_rng(0)
    x, small = (torch.from_numpy(random.random((2, 3, side, side))) for side in (24, 12))
    level = torch.tensor([0.0, 0.02], dtype=torch.float64)
    left = (downsampling(2, 24, 24, kind)(recipe.corrected(x, small, level, kind)) - small).abs().mean((1, 2, 3))
    assert left[0] < 1e-6
    assert left[1] > 1e-3
