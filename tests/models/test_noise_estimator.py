"""The noise estimator in files and on pictures of any size."""

import numpy as np
import pytest
import torch

import scoreinv
from scoreinv.models.catalogue import load_noise_estimator
from scoreinv.models.model_file import save
from scoreinv.models.noise_estimator import NoiseEstimator
from scoreinv.networks.noise_estimator import NoiseEstimatorConfig
from scoreinv.networks.noise_levels import COMPONENTS
from scoreinv.system.errors import CheckpointError

SMALL = NoiseEstimatorConfig(fine=4, middle=4, coarse=8)


def test_a_file_holds_an_estimator(tmp_path):
    torch.manual_seed(0)
    model = NoiseEstimator(SMALL.build().eval(), 64)
    save(model, tmp_path / "noise.safetensors")
    again = load_noise_estimator(tmp_path / "noise.safetensors")
    x = torch.rand(1, 3, 21, 34)
    assert (again.image_size, again.network.config) == (64, SMALL)
    torch.testing.assert_close(again.levels(x), model.levels(x))
    assert model.levels(x).shape == (1, COMPONENTS, 11, 17)


def test_files_of_other_kinds_are_refused():
    with pytest.raises(CheckpointError, match="is a prior, not a noise estimator"):
        load_noise_estimator("denoiser")
    with pytest.raises(CheckpointError, match="is a noise estimator, not a prior"):
        scoreinv.load("noise")


@pytest.mark.parametrize("std", [5 / 255, 20 / 255])
def test_the_level_of_white_noise_is_found_also_in_windows(std):
    y, x = np.mgrid[:64, :700] / 60
    smooth = torch.from_numpy(0.5 + 0.2 * np.sin(x) * np.cos(y)).float().expand(1, 3, -1, -1)
    noise = torch.randn(1, 3, 64, 700, generator=torch.Generator().manual_seed(0))
    levels = load_noise_estimator("noise").levels(smooth + std * noise)
    assert levels.shape == (1, COMPONENTS, 32, 350)
    assert float(levels[:, :2].square().mean().sqrt()) == pytest.approx(std, rel=0.35)
