"""The losses against their formulas, and against the closed-form optimum of Gaussian data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gaussian import GaussianPrior, standard_normal

from scoreinv.errors import InputError
from scoreinv.sdes import DDPM, SDE, TRAINING_START, VE, VP, SubVP, broadcast
from scoreinv.training.config import DataConfig, ObjectiveConfig
from scoreinv.training.data.batches import TIMES, Batch, stream
from scoreinv.training.losses import ScoreLearner
from scoreinv.training.presets import small_training
from scoreinv.training.score_matching import draw_times, importance, per_image_loss, weight

SDES = [VE(0.01, 50.0), VP(), SubVP()]


UNIT = (-1.0, 1.0)


def _losses(objective: ObjectiveConfig, prior: GaussianPrior, batch: Batch) -> torch.Tensor:
    return ScoreLearner(replace(small_training(VE(), DataConfig()), objective=objective)).losses(prior, batch)


def _case(sde: SDE) -> tuple[GaussianPrior, torch.Tensor, torch.Tensor, torch.Tensor]:
    prior = GaussianPrior(sde, mean=0.3, variance=0.2)
    x0, z = standard_normal((6, 3, 4, 4), 1).double(), standard_normal((6, 3, 4, 4), 2).double()
    return prior, x0, torch.linspace(0.05, 1, 6, dtype=torch.float64), z


@pytest.mark.parametrize("sde", SDES, ids=lambda sde: type(sde).__name__)
def test_weightings_are_their_formulas_on_the_score_and_on_the_denoised_picture(sde: SDE) -> None:
    prior, x0, t, z = _case(sde)
    x = sde.perturb(x0, t, z)
    score_error = prior.score(x, t) + z / broadcast(sde.sigma(t), z)
    denoising_error = prior.denoise(x, t) - x0
    level, sd = sde.noise_to_signal(t), 0.4
    expected = {
        "paper": sde.sigma(t).square() * score_error.square().flatten(1).mean(1),
        "likelihood": sde.diffusion_squared(t) * score_error.square().flatten(1).mean(1),
        "uniform": (level**2 + sd**2) / (level * sd) ** 2 * denoising_error.square().flatten(1).mean(1),
    }
    for weighting, value in expected.items():
        loss = per_image_loss(ObjectiveConfig(weighting=weighting, sigma_data=sd), prior, x0, t, z)
        torch.testing.assert_close(loss, value, rtol=1e-6, atol=1e-9)


def test_uniform_weight_counts_noise_in_units_of_centred_pictures() -> None:
    t = torch.tensor([0.3, 0.9], dtype=torch.float64)
    objective = ObjectiveConfig(weighting="uniform")
    # The same process on [0, 1] has half the noise of the one on [-1, 1].
    half, whole = weight(objective, VE(0.01, 10), t, (0.0, 1.0)), weight(objective, VE(0.02, 20), t, (-1.0, 1.0))
    torch.testing.assert_close(half, whole)


@pytest.mark.parametrize("sde", [*SDES, DDPM()], ids=lambda sde: type(sde).__name__)
def test_the_exact_prior_has_the_closed_form_loss(sde: SDE) -> None:
    prior = GaussianPrior(sde, mean=-0.2, variance=0.09)
    t = torch.tensor([0.01, 0.2, 0.5, 1.0], dtype=torch.float64)
    shape = (4, 1, 200, 200)
    x0 = prior.mean + prior.variance**0.5 * standard_normal(shape, 3)
    loss = per_image_loss(ObjectiveConfig(), prior, x0, t, standard_normal(shape, 4))
    # 40,000 values: their mean square has a standard error of 0.7 %.
    torch.testing.assert_close(loss.double(), prior.least_loss(t), rtol=0.03, atol=1e-6)


@pytest.mark.parametrize(
    ("sde", "data_range", "weighting", "reduction"),
    [
        (VE(0.01, 50.0), (-1.0, 1.0), "paper", "sum"),
        (VP(), (0.0, 1.0), "uniform", "mean"),
        (SubVP(), (-1.0, 1.0), "likelihood", "mean"),
    ],
)
def test_the_loss_of_knowing_nothing_is_that_of_the_exact_prior_of_independent_values(
    sde: SDE, data_range: tuple[float, float], weighting: str, reduction: str
) -> None:
    prior = GaussianPrior(sde, mean=0.3, variance=0.16)
    prior.data_range = data_range
    t = torch.linspace(0.05, 1, 8, dtype=torch.float64)
    shape = (8, 1, 200, 200)
    x0 = prior.mean + prior.variance**0.5 * standard_normal(shape, 3)
    objective = ObjectiveConfig(weighting=weighting, reduction=reduction)
    batch = Batch(x0, t, standard_normal(shape, 4))
    loss = _losses(objective, prior, batch).double().mean().item()
    run = replace(small_training(VE(), DataConfig()), objective=objective)
    assert ScoreLearner(run).baseline_loss(prior, batch) == pytest.approx(loss, rel=0.03)


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
    weights = weight(LIKELIHOOD, sde, times, UNIT) * importance(LIKELIHOOD, sde, times)
    torch.testing.assert_close(weights, weights[:1].expand(4096), rtol=1e-9, atol=0)
    # Over uniform times, by the trapezoidal rule on a grid that is fine where the weight is large.
    grid = torch.logspace(np.log10(TRAINING_START), 0, 100_001, dtype=torch.float64)
    for loss in (torch.ones_like, lambda t: (1 + 5 * t).reciprocal(), lambda t: t.sqrt()):
        exact = torch.trapezoid(weight(LIKELIHOOD, sde, grid, UNIT) * loss(grid), grid) / (1 - TRAINING_START)
        assert float((weights * loss(times)).mean()) == pytest.approx(float(exact), rel=2e-3)


def test_discrete_times_are_the_grid_each_equally_often() -> None:
    sde = DDPM(beta_max=5.0, steps=10)
    for stratified in (False, True):
        objective = ObjectiveConfig(times="discrete", stratified=stratified)
        index = draw_times(objective, sde, UNIT, 20_000, stream(0, TIMES, 1)) * 9
        torch.testing.assert_close(index, index.round())
        counts = torch.bincount(index.round().long(), minlength=10)
        assert (counts - 2000).abs().max() < 4 * 2000**0.5


def test_discrete_objectives_belong_to_their_sde() -> None:
    objective = ObjectiveConfig(times="discrete")
    for sde in (VE(), DDPM()):
        replace(small_training(sde, DataConfig()), objective=objective)
    for sde in (VP(), SubVP()):
        with pytest.raises(InputError, match="discrete"):
            replace(small_training(sde, DataConfig()), objective=objective)


def test_smld_is_the_loss_of_the_published_code() -> None:
    """Reference: losses.get_smld_loss_fn; sigmas descend with the label, target -noise / sigma^2, times sigma^2."""
    sde = VE(0.01, 5.0, steps=7)
    prior, x0, _, z = _case(sde)
    labels = torch.tensor([0, 1, 3, 4, 5, 6])
    sigmas = torch.exp(torch.linspace(np.log(5.0), np.log(0.01), 7, dtype=torch.float64))[labels]
    t = (6 - labels).double() / 6
    noise = z * broadcast(sigmas, z)
    target = -noise / broadcast(sigmas, z) ** 2
    losses = (prior.score(x0 + noise, t) - target).square().flatten(1).mean(1) * sigmas**2
    torch.testing.assert_close(per_image_loss(ObjectiveConfig(times="discrete"), prior, x0, t, z), losses)
