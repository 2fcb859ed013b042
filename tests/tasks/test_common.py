"""What the tasks rest on: windows where they are needed, streams by place, memory of samples."""

import tracemalloc

import numpy as np
import pytest
import torch
from support.analytic import gaussian_colour_prior

from scoreinv.imaging.picture import Picture
from scoreinv.samplers import PC, Ancestral, AnnealedLangevin, NoiseStream, ReverseDiffusion
from scoreinv.sdes import DDPM, VE, VP, SubVP
from scoreinv.system.errors import SettingError
from scoreinv.tasks.common import Gathered, start_time, wide_tile
from scoreinv.tasks.posterior import pc_sampler
from scoreinv.windows import Tiled


def prior(**options):
    return gaussian_colour_prior(torch.tensor([0.2, 0.5, 0.8]), torch.eye(3) * 0.01, **options)


def test_tiled_leaves_windows_out_that_are_not_needed():
    needed = torch.zeros(60, 90, dtype=torch.bool)
    needed[50, 3] = needed[30, 70] = True
    x = torch.rand(2, 3, 60, 90, generator=torch.Generator().manual_seed(0))
    everywhere, somewhere = prior(), prior()
    full = Tiled(everywhere, 16, 4).noise(x, 0.5)
    part = Tiled(somewhere, 16, 4, needed=needed).noise(x, 0.5)
    assert torch.allclose(part[..., needed], full[..., needed])
    assert len(somewhere.preconditioning.windows) == 1  # all windows at once
    assert somewhere.preconditioning.windows[0][0] < everywhere.preconditioning.windows[0][0] / 4
    none = Tiled(prior(), 16, 4, needed=torch.zeros(60, 90, dtype=torch.bool)).noise(x, 0.5)
    assert (none == 0).all()


@pytest.mark.parametrize("size", [(7, 30), (48, 48), (64, 64), (90, 131), (512, 340)])
def test_wide_windows_cover_a_picture_in_the_fewest_pixels(size):
    def seen(tile, overlap):
        model = prior()
        Tiled(model, tile, overlap).noise(torch.zeros(1, 3, *size), 0.5)
        return sum(count * height * width for count, _, height, width in model.preconditioning.windows)

    tile, overlap = wide_tile(prior(), *size)
    assert 16 <= tile <= 48
    assert overlap == 4
    assert seen(tile, overlap) == min(seen(side, overlap) for side in range(16, 49, 4))


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


def test_streams_by_place():
    one = NoiseStream.keyed([(3, 0, 16, 32)]).normal((1, 5))
    two = NoiseStream.keyed([(3, 1, 16, 32), (3, 0, 16, 32)]).normal((2, 5))
    assert torch.equal(one[0], two[1])
    assert not torch.equal(two[0], two[1])


@pytest.mark.parametrize("data_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_the_noise_level_is_that_of_pictures_in_unit_range(data_range):
    model = prior(data_range=data_range)
    time = start_time(model, 0.5)
    sigma = float(model.sde.sigma(torch.tensor(time, dtype=torch.float64)))
    assert sigma == pytest.approx(0.5 * (data_range[1] - data_range[0]), rel=1e-9)
    assert start_time(model, 100.0) is None
    with pytest.raises(SettingError, match="start 1e-06 is less than the model's smallest"):
        start_time(model, 1e-6)


@pytest.mark.parametrize(
    ("sde", "predictor"),
    [(VE(), Ancestral()), (VP(), Ancestral()), (DDPM(), Ancestral()), (SubVP(), ReverseDiffusion())],
    ids=["VE", "VP", "DDPM", "sub-VP"],
)
def test_ancestral_sampling_predicts_where_the_sde_has_it(sde, predictor):
    assert pc_sampler(prior(sde=sde), 7) == PC(predictor, AnnealedLangevin(), steps=7)
