"""The noise estimator in files and on pictures of any size."""

import numpy as np
import pytest
import torch

from scoreinv.models.catalogue import load_kind
from scoreinv.models.model_file import save
from scoreinv.models.noise_estimator import NoiseEstimator
from scoreinv.networks.noise_estimator import NoiseEstimatorConfig
from scoreinv.networks.noise_levels import COMPONENTS

SMALL = NoiseEstimatorConfig(fine=4, middle=4, coarse=8)


@pytest.mark.parametrize(("half", "tolerance"), [(False, 1e-6), (True, 1e-2)])
def test_a_file_holds_an_estimator(tmp_path, half, tolerance):
    torch.manual_seed(0)
    model = NoiseEstimator(SMALL.build().eval(), 64)
    torch.nn.init.normal_(model.network.out.weight, std=0.1)  # at first it is 0
    save(model, tmp_path / "noise.safetensors", half=half)
    again = load_kind("noise", tmp_path / "noise.safetensors")
    x = torch.rand(1, 3, 21, 34)
    assert (again.image_size, again.network.config) == (64, SMALL)
    levels = model.levels(x)
    torch.testing.assert_close(again.levels(x), levels, rtol=tolerance, atol=0)
    assert levels.shape == (1, COMPONENTS, 11, 17)
    assert levels.std() > 0.1 * levels.mean()


@pytest.mark.parametrize("std", [5 / 255, 15 / 255])
def test_the_level_of_white_noise_is_found_also_in_windows(std):
    """The noise of the right half is twice as strong. The windows at the ends lie in one half."""
    y, x = np.mgrid[:64, :1280] / 60
    smooth = torch.from_numpy(0.5 + 0.2 * np.sin(x) * np.cos(y)).float().expand(1, 3, -1, -1)
    noise = std * torch.randn(1, 3, 64, 1280, generator=torch.Generator().manual_seed(0))
    noise[..., 640:] *= 2
    model, noisy = load_kind("noise", "noise"), smooth + noise
    levels = model.levels(noisy)
    assert levels.shape == (1, COMPONENTS, 32, 640)
    for end, truth in ((0, std), (480, 2 * std)):
        whole = levels[..., end : end + 160].square().mean().sqrt()
        alone = model.levels(noisy[..., 2 * end : 2 * end + 320]).square().mean().sqrt()
        assert float(whole) == pytest.approx(truth, rel=0.35)
        assert float(alone) == pytest.approx(float(whole), rel=0.2)
