"""The network that reads tones: its curves clip nothing, whatever its weights, and no order of the pixels matters."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scoreinv.imaging.tone_curves import ToneCurves
from scoreinv.models.tone_estimator import PARTS, QUANTILES, ToneNetwork, load_tone, through
from scoreinv.networks.chroma import SEEN
from scoreinv.system.errors import CheckpointError


def pictures() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels, what is known of them, their quantiles, and the ends of their parts."""
    rng = torch.Generator().manual_seed(0)
    rgb = 0.1 + 0.7 * torch.rand(4, 200, 3, generator=rng)
    known = torch.randn(4, 200, 3 + SEEN, generator=rng)
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


def test_the_order_of_the_pixels_has_no_part_in_it():
    rgb, known, *tones = pictures()
    order = torch.randperm(200, generator=torch.Generator().manual_seed(2))
    one = network()
    for first, second in zip(one(rgb, known, *tones), one(rgb[:, order], known[:, order], *tones), strict=True):
        torch.testing.assert_close(first, second)


def test_training_goes_through_the_curves_that_pictures_are_given():
    rgb, known, quantiles, ends = pictures()
    raw, _ = network()(rgb, known, quantiles, ends)
    black, white, power = raw[0].double().numpy()
    low, high = quantiles[0, 1].numpy(), quantiles[0, -2].numpy()
    curves = ToneCurves(black, white, np.exp(power), low, high)
    inside = ((rgb[0].numpy() > low) & (rgb[0].numpy() < high)).all(-1)
    assert np.allclose(through(rgb, raw)[0].numpy()[inside], curves.toned(rgb[0].numpy())[inside], atol=1e-5)


def test_another_file_is_told(tmp_path):
    save_file({"weights": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"other\.safetensors: lacks the tensor"):
        load_tone(tmp_path / "other.safetensors")
