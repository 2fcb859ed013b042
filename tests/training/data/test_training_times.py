"""Training times: uniform, focused, by importance, and on the grid of discrete objectives."""

import numpy as np
import pytest
import torch
from gaussian import GaussianPrior

from scoreinv.sdes import DDPM, SDE, TRAINING_START, VE, VP, SubVP
from scoreinv.training.config import DataConfig, ObjectiveConfig
from scoreinv.training.data.batches import TIMES, draw_times, importance, stream
from scoreinv.training.losses import weight
from scoreinv.training.presets import small_training

SDES = [VE(0.01, 50.0), VP(), SubVP()]
UNIT = (-1.0, 1.0)


def test_times_are_uniform_and_stratified_ones_even() -> None:
    times = draw_times(ObjectiveConfig(stratified=False), VE(), UNIT, 20_000, stream(0, TIMES, 0))
    assert times.dtype == torch.float64
    assert TRAINING_START <= times.min() < times.max() <= 1
    # Kolmogorov-Smirnov at the 1e-4 level: 2.2 / sqrt(n)
    gap = (times.sort().values - torch.linspace(0, 1, 20_000, dtype=torch.float64)).abs().max()
    assert gap < 2.2 / 20_000**0.5
    even = draw_times(ObjectiveConfig(), VE(), UNIT, 64, stream(0, TIMES, 0)).sort().values
    torch.testing.assert_close(even.diff(), torch.full((63,), (1 - 1e-5) / 64, dtype=torch.float64))
    offsets = [draw_times(ObjectiveConfig(), VE(), UNIT, 4, stream(0, TIMES, s)).min().item() * 4 for s in range(2000)]
    assert np.mean(offsets) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("sde", SDES, ids=lambda sde: type(sde).__name__)
def test_focused_times_have_log_normal_noise_levels_of_centred_pictures(sde: SDE) -> None:
    objective = ObjectiveConfig(focus=(-1.0, 0.7))
    for data_range, scale in (((-1.0, 1.0), 1.0), ((0.0, 1.0), 2.0)):
        times = draw_times(objective, sde, data_range, 4000, stream(0, TIMES, 0))
        levels = (scale * sde.noise_to_signal(times)).log()
        assert float(levels.mean()) == pytest.approx(-1, abs=0.01)
        assert float(levels.std()) == pytest.approx(0.7, abs=0.01)


@pytest.mark.parametrize("sde", SDES, ids=lambda sde: type(sde).__name__)
def test_small_priors_are_trained_at_the_noise_levels_of_edm(sde: SDE) -> None:
    config = small_training(sde, DataConfig())
    times = draw_times(config.objective, sde, config.model.data_range, 4000, stream(0, TIMES, 0))
    levels = sde.noise_to_signal(times).log()
    assert float(levels.mean()) == pytest.approx(-1.2, abs=0.02)
    assert float(levels.std()) == pytest.approx(1.2, abs=0.02)


LIKELIHOOD = ObjectiveConfig(weighting="likelihood")


@pytest.mark.parametrize("sde", SDES, ids=lambda sde: type(sde).__name__)
def test_times_of_the_likelihood_weighting_have_the_density_of_its_weight(sde: SDE) -> None:
    """Their distribution function is the weight's integral, here in closed form: even for stratified times."""
    times = draw_times(LIKELIHOOD, sde, UNIT, 64, stream(0, TIMES, 0)).sort().values
    assert TRAINING_START <= times.min() < times.max() <= 1
    if isinstance(sde, VE):
        integral, span = times, 1 - TRAINING_START
    else:
        # VP: sigma^2 / alpha^2 = e^B - 1. Sub-VP: sigma / alpha = 2 sinh(B / 2).
        ends = torch.tensor([TRAINING_START, 1.0], dtype=torch.float64)
        log_level = (lambda b: b.expm1().log() / 2) if isinstance(sde, VP) else (lambda b: (b / 2).sinh().log())
        integral, (low, high) = log_level(sde.integral(times)), log_level(sde.integral(ends))
        span = high - low
    even = torch.full((63,), float(span) / 64, dtype=torch.float64)
    torch.testing.assert_close(integral.diff(), even, rtol=1e-6, atol=0)


@pytest.mark.parametrize("sde", [*SDES, DDPM()], ids=lambda sde: type(sde).__name__)
def test_times_by_importance_leave_the_expectation_and_let_all_pictures_count_alike(sde: SDE) -> None:
    times = draw_times(LIKELIHOOD, sde, UNIT, 4096, stream(0, TIMES, 3))
    weights = weight(LIKELIHOOD, GaussianPrior(sde, 0.0, 1.0), times) * importance(LIKELIHOOD, sde, times)
    torch.testing.assert_close(weights, weights[:1].expand(4096), rtol=1e-9, atol=0)
    # Over uniform times, by the trapezoidal rule on a grid that is fine where the weight is large.
    grid = torch.logspace(np.log10(TRAINING_START), 0, 100_001, dtype=torch.float64)
    for loss in (torch.ones_like, lambda t: (1 + 5 * t).reciprocal(), lambda t: t.sqrt()):
        exact = torch.trapezoid(weight(LIKELIHOOD, GaussianPrior(sde, 0.0, 1.0), grid) * loss(grid), grid) / (
            1 - TRAINING_START
        )
        assert float((weights * loss(times)).mean()) == pytest.approx(float(exact), rel=2e-3)


def test_discrete_times_are_the_grid_each_equally_often() -> None:
    sde = DDPM(beta_max=5.0, steps=10)
    for stratified in (False, True):
        objective = ObjectiveConfig(times="discrete", stratified=stratified)
        index = draw_times(objective, sde, UNIT, 20_000, stream(0, TIMES, 1)) * 9
        torch.testing.assert_close(index, index.round())
        counts = torch.bincount(index.round().long(), minlength=10)
        assert (counts - 2000).abs().max() < 4 * 2000**0.5
