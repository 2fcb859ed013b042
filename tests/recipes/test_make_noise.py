"""Losses of the recipe of the noise estimator and the denoiser's adapters."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pretrained.noise import make as recipe
from scoreinv.models.catalogue import load, load_kind
from scoreinv.networks.ffdnet import FFDNetConfig
from scoreinv.networks.noise_levels import COMPONENTS
from scoreinv.preconditioning import DataPrediction
from scoreinv.system.files import PRETRAINED


class Constant(nn.Module):
    """An estimator that returns one level."""

    def __init__(self, level: float) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: Tensor) -> Tensor:
        return torch.full((len(x), COMPONENTS, x.shape[2] // 2, x.shape[3] // 2), self.level).log()


def test_the_likelihood_is_largest_at_the_true_level():
    clean = torch.zeros(4, 3, 64, 64)
    noisy = clean + 0.2 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    losses = {level: float(recipe.likelihood_loss(Constant(level), noisy, clean)) for level in (0.16, 0.2, 0.25)}
    assert min(losses, key=losses.__getitem__) == 0.2
    assert losses[0.2] == pytest.approx(np.log(0.2) + 0.5, abs=0.02)


def test_the_loss_of_the_adapters_trains_them_alone():
    torch.manual_seed(0)
    network = FFDNetConfig(width=8, layers=3, adapters=2).build()
    network.requires_grad_(False)
    network.adapters.requires_grad_(True)
    clean = torch.zeros(2, 3, 16, 16)
    noisy = clean + 0.1 * torch.randn(clean.shape)
    loss = recipe.denoising_loss(network, Constant(0.1), DataPrediction(), noisy, clean)
    assert loss.isfinite()
    loss.backward()
    assert network.conv_in.weight.grad is None
    assert all(weight.grad is not None for weight in network.adapters.parameters())


def pair() -> tuple[Tensor, Tensor]:
    """Draw small pictures of one colour with noise, and the same without."""
    clean = (1.6 * torch.rand(2, 3, 1, 1) - 0.8).expand(-1, -1, 32, 32)
    return clean + 0.1 * torch.randn(clean.shape), clean


def test_the_estimator_is_written_into_a_new_folder(tmp_path):
    torch.manual_seed(0)
    recipe.train_estimator(pair, 3, 1e-3, tmp_path, None)
    model = load_kind("noise", tmp_path / "noise" / "model.safetensors")
    assert model.image_size == recipe.SIDE
    assert model.levels(torch.rand(1, 3, 16, 16)).isfinite().all()


def test_the_estimator_is_trained_on_from_a_model(tmp_path):
    bundled = PRETRAINED / "noise" / "model.safetensors"
    recipe.train_estimator(pair, 1, 1e-9, tmp_path, bundled)
    before, after = (load_file(path) for path in (bundled, tmp_path / "noise" / "model.safetensors"))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-3, atol=1e-6)


def test_new_adapters_are_written_beside_the_published_weights(tmp_path):
    torch.manual_seed(0)
    recipe.train_adapters(pair, 3, 1e-3, tmp_path)
    before, after = (load(name) for name in ("denoiser", tmp_path / "denoiser" / "model.safetensors"))
    assert after.network.config == before.network.config
    weights = after.network.state_dict()
    for name, value in before.network.state_dict().items():
        assert torch.equal(weights[name], value) == ("adapters" not in name), name
        if name.endswith("down.weight"):  # not those of the bundled adapters
            assert (weights[name] - value).norm() > 0.1 * value.norm()


@pytest.mark.opencv
def test_a_batch_has_pictures_on_the_range_of_the_networks():
    photos = [[np.random.default_rng(0).integers(0, 255, (300, 320, 3), dtype=np.uint8)]]
    noisy, clean = recipe.batch(photos, 2, np.random.default_rng(1))
    assert noisy.shape == clean.shape == (2, 3, recipe.SIDE, recipe.SIDE)
    assert -1 <= min(noisy.min(), clean.min()) <= max(noisy.max(), clean.max()) <= 1
