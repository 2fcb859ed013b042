"""Estimates averaged over the orientations of the picture."""

import numpy as np
import pytest
import torch
from support.mixture import SDES

import scoreinv
from scoreinv.operators import mask
from scoreinv.prior import Prior
from scoreinv.samplers import DPMpp2M, NoiseStream
from scoreinv.system.errors import SettingError
from scoreinv.tasks.requests import SolveRequest
from scoreinv.windows.tiled import Tiled
from scoreinv.windows.transforms import ALL, MIRRORED

pytestmark = pytest.mark.portable


class Lopsided(Prior):
    """Knows left from right and up from down: its prediction is the difference to the next pixel, down and right."""

    sde, data_range = SDES["ve"], (-1.0, 1.0)

    def noise(self, x, t):
        return x - torch.roll(x, (1, 2), (-2, -1))


def test_the_mean_over_orientations_by_hand():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, 4, 6)))
    mirrored = Tiled(Lopsided(), 8, 0, orientations=MIRRORED).noise(x, 0.5)
    right, left = torch.roll(x, (1, 2), (-2, -1)), torch.roll(x, (1, -2), (-2, -1))
    torch.testing.assert_close(mirrored, x - (right + left) / 2)
    steps = [(down, across) for down in (-1, 1) for across in (-2, 2)]
    steps += [(down, across) for down in (-2, 2) for across in (-1, 1)]
    expected = x - sum(torch.roll(x, step, (-2, -1)) for step in steps) / 8
    torch.testing.assert_close(Tiled(Lopsided(), 8, 0, orientations=ALL).noise(x, 0.5), expected)
    assert len(set(ALL)) == 8


def test_each_orientation_costs_what_the_prior_costs():
    prior = Lopsided()
    prior.evaluations_per_noise, prior.vjps_per_noise = 2, 3
    averaged = Tiled(prior, 4, 0, orientations=ALL)
    result = DPMpp2M(steps=3).sample(averaged, (2, 3, 4, 4), rng=NoiseStream(0, 2, dtype=torch.float64))
    assert (result.nfe.tolist(), result.vjps.tolist()) == ([48, 48], [72, 72])


def test_an_estimate_by_splitting_can_be_averaged_too():
    prior = scoreinv.load("denoiser")
    y = np.random.default_rng(1).uniform(size=(16, 16, 3)).astype(np.float32)
    seen = mask((torch.arange(16) % 3 > 0).float().expand(1, 1, 16, 16))
    result = scoreinv.solve(seen, y, prior=prior, estimate="mean", steps=2, orientations=4)
    assert (result.method, result.nfe) == ("dpir", 8)


def test_the_numbers_of_orientations():
    for wrong in (0, 3, 9):
        with pytest.raises(SettingError, match="orientations must be"):
            SolveRequest(estimate="mean", orientations=wrong)
    for samples in ({"samples": 4, "estimate": "mean"}, {"estimate": "sample"}):
        with pytest.raises(SettingError, match="orientations needs the estimate mean of one"):
            SolveRequest(orientations=2, **({"estimate": "sample"} | samples))
