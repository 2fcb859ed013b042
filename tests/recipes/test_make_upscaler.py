"""Degraded crops of the upscaler's recipe lie where their originals do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from pretrained.upscaler import make as recipe
from scoreinv.networks.span import Stack
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
    recipe.initialise_filter(stack, [[photo]], random)
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


def test_rates_are_relative_to_published_weights():
    stack = Stack(3, 2, 2)
    with torch.no_grad():
        stack.conv_in.weight.fill_(0.5)
        stack.conv_in.bias.fill_(1e-4)
    groups = recipe.rates(stack)
    found = {name: group["lr"] for (name, _), group in zip(stack.named_parameters(), groups, strict=True)}
    assert found["conv_in.weight"] == pytest.approx(0.5e-4)
    assert found["conv_in.bias"] == pytest.approx(1e-6)
    assert found["filter.weight"] == found["filter.bias"] == 3e-4
    assert found["modulation.weight"] == found["modulation_last.weight"] == 3e-3
    assert all(group["params"][0] is weight for group, weight in zip(groups, stack.parameters(), strict=True))


@pytest.mark.parametrize("factor", [2, 4])
def test_kernels_have_their_shapes(factor):
    """Even, of sum 1, and zero where they say: Lanczos' has three lobes, a Gaussian its width."""
    place = abs((np.arange(7 * factor) + 0.5) / factor - 3.5)
    for kind in recipe.KERNELS:
        weights = recipe.profile(kind, factor, 0.4)
        assert weights.shape == (7 * factor,)
        assert weights.sum() == pytest.approx(1)
        np.testing.assert_allclose(weights, weights[::-1], atol=1e-12)
    np.testing.assert_allclose(recipe.profile("area", factor, 0.4)[place < 0.5], 1 / factor)
    gaussian = recipe.profile("gaussian", factor, 0.4)
    assert gaussian @ place**2 == pytest.approx(0.16, rel=0.02)
    lanczos = recipe.profile("lanczos", factor, 0.4)
    near = lanczos / lanczos.max()
    assert (near[(place > 1) & (place < 2)] < 0).all()
    assert (near[(place > 2) & (place < 3)] > 0).all()
    expected = np.sinc(place) * np.sinc(place / 3)
    np.testing.assert_allclose(near, np.where(place < 3, expected, 0) / expected.max(), atol=1e-9)
