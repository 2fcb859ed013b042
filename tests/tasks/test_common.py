"""What the tasks rest on: windows where they are needed, streams by place, memory of samples."""

import tracemalloc

import numpy as np
import pytest
import torch
from support.analytic import gaussian_colour_prior

from scoreinv.imaging.picture import Picture
from scoreinv.system.errors import SettingError
from scoreinv.tasks.common import Gathered, start_time


def prior(**options):
    return gaussian_colour_prior(torch.tensor([0.2, 0.5, 0.8]), torch.eye(3) * 0.01, **options)


def test_mean_and_spread_of_pictures_that_come_one_by_one_take_few_copies():
    pictures = np.random.default_rng(0).random((5, 200, 300, 3), dtype=np.float32)
    running = Gathered(lambda _: Picture(np.zeros((1, 1), np.uint8)), len(pictures))
    tracemalloc.start()
    for picture in pictures:
        running.add(picture)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    means: list[np.ndarray] = []
    running.finish = lambda mean: means.append(mean) or Picture(mean)
    assert running.outcome("sample", 0, "exact").image is running.pictures[0]
    (mean,) = (running.outcome("mean", 0, "exact"), means)[1]
    np.testing.assert_allclose(mean, pictures.mean(0), atol=1e-6)
    for ddof in (1, 0, 0.2):
        std = running.outcome("sample", 0, "exact", ddof).std
        np.testing.assert_allclose(std, np.sqrt(pictures.var(0, ddof=ddof).mean(-1)), atol=1e-6)
    assert mean.dtype == std.dtype == np.float32
    assert most < 4.5 * pictures[0].nbytes


@pytest.mark.parametrize("data_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_the_noise_level_is_that_of_pictures_in_unit_range(data_range):
    model = prior(data_range=data_range)
    time = start_time(model, 0.5)
    sigma = float(model.sde.sigma(torch.tensor(time, dtype=torch.float64)))
    assert sigma == pytest.approx(0.5 * (data_range[1] - data_range[0]), rel=1e-9)
    assert start_time(model, 100.0) is None
    with pytest.raises(SettingError, match="start 1e-06 is less than the model's smallest"):
        start_time(model, 1e-6)
