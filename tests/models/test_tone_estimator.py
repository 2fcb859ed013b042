"""The network that reads tones: its curves clip nothing, whatever its weights, and no order of the pixels matters."""

import numpy as np
import pytest
import torch

from scoreinv.models.tone_estimator import PARTS, QUANTILES, ToneNetwork, _moments
from scoreinv.networks.chroma import DECODER_FEATURES


def pictures() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels, what is known of them, their quantiles, and the ends of their parts."""
    rng = torch.Generator().manual_seed(0)
    rgb = 0.1 + 0.7 * torch.rand(4, 200, 3, generator=rng)
    known = torch.randn(4, 200, 3 + DECODER_FEATURES, generator=rng)
    quantiles = torch.quantile(rgb, torch.tensor([0.0, *QUANTILES, 1.0]), dim=1).transpose(0, 1)
    return rgb, known, quantiles, torch.rand(4, 2, PARTS**2, 3, generator=rng).sort(2).values


def network(strength: float = 1.0) -> ToneNetwork:
    torch.manual_seed(1)
    one = ToneNetwork().eval().requires_grad_(False)
    one.curves.weight.mul_(strength)
    return one


def test_its_curves_clip_nothing_whatever_its_weights():
    rgb, known, quantiles, ends = pictures()
    curves, odds = network(1e4)(rgb, known, quantiles, ends)
    assert (curves[:, 0] < quantiles[:, 1]).all()
    assert (curves[:, 1] > quantiles[:, -2]).all()
    assert curves.isfinite().all()
    assert odds.shape == (4,)


def test_a_picture_of_one_tone_has_curves():
    """Its black and white lie together, and nothing can be stretched between them."""
    rgb, known, quantiles, ends = (0 * values + 0.5 for values in pictures())
    curves, odds = network()(rgb, known, quantiles, ends)
    assert curves.isfinite().all()
    assert odds.isfinite().all()


def test_moments_of_two_sets_of_channels_by_hand():
    rng = np.random.default_rng(0)
    rgb, expected = rng.uniform(0.1, 1, (2, 50, 3)), rng.uniform(0.1, 1, (2, 50, 3))
    expected[1] = 0.5 * rgb[1] + 0.2
    found = _moments(torch.from_numpy(rgb), torch.from_numpy(expected)).numpy()
    for row in range(2):
        one, other = np.log(rgb[row] + 0.05), np.log(expected[row] + 0.05)
        std, expected_std = one.std(0, ddof=1), other.std(0, ddof=1)
        together = ((one - one.mean(0)) * (other - other.mean(0))).mean(0)
        chroma, there = (x - x.mean(1, keepdims=True) for x in (rgb[row], expected[row]))
        by_hand = [
            *(one.mean(0), other.mean(0), std, expected_std, together / (std * expected_std + 0.05)),
            (chroma * there).mean(0) / ((there**2).mean(0) + 1e-3),
            *(4 * chroma.mean(0), 4 * there.mean(0), 4 * np.abs(chroma).mean(0)),
        ]
        np.testing.assert_allclose(found[row], np.concatenate(by_hand), rtol=1e-6)
    assert found[1, 15:18] == pytest.approx([2] * 3, rel=0.1)  # twice the expected chroma
