"""EDM's Heun sampler: its formulas, order of convergence, and what churn does."""

import math

import pytest
import torch
from support.mixture import SDES, BatchStream, correlated

from scoreinv.samplers import Heun, State
from scoreinv.sdes import time_at

pytestmark = pytest.mark.portable


@pytest.mark.parametrize("churned", [2, 3])
def test_heun_is_edm_s_algorithm_2(churned):
    """Two steps and the last in EDM's own variables: x / alpha, and noise levels, with the noise that was drawn."""
    sde, churn, s_noise = SDES["vp"], 1.2, 1.01
    prior = correlated(sde)
    x = prior.sample(4, torch.Generator().manual_seed(0), 0.8)
    times = torch.tensor([0.8, 0.5, 0.2], dtype=torch.float64)
    levels = sde.noise_to_signal(times).tolist()
    low, high = 0.9 * levels[churned - 1], 2 * levels[0]
    sampler = Heun(churn, low, high, s_noise, times=tuple(times.tolist()))
    result = sampler.sample(prior, x.shape, rng=BatchStream(3, 4), start=State(x, 0.8))

    noise = BatchStream(3, 4)
    u = x / sde.alpha(times[0])

    def slope(u, level):
        t = time_at(sde, torch.tensor(level, dtype=torch.float64))
        return (u - prior.denoise(sde.alpha(t) * u, t)) / level

    for level, following in zip(levels, (*levels[1:], 0.0), strict=True):
        gamma = min(churn / 3, math.sqrt(2) - 1) if low <= level <= high else 0.0
        raised = level * (1 + gamma)
        if gamma:
            u = u + math.sqrt(raised**2 - level**2) * s_noise * noise.normal(x.shape)
        d = slope(u, raised)
        ahead = u + (following - raised) * d
        if following:
            ahead = u + (following - raised) * (d + slope(ahead, following)) / 2
        u = ahead
    torch.testing.assert_close(result.x0, u, rtol=0, atol=1e-10)
