"""Learners: losses against their formulas and the closed-form optimum of Gaussian data, and the times they draw."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from support.gaussian import GaussianPrior, standard_normal
from support.small_conditional import conditional_prior
from torch import Tensor

from scoreinv.conditional.initial_estimate import block_means
from scoreinv.guidance import Observation, given
from scoreinv.models.config import ModelConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.operators import ObservedComponents
from scoreinv.preconditioning import EDM
from scoreinv.sdes import DDPM, SDE, TRAINING_START, VE, VP, SubVP, broadcast
from scoreinv.training.data.batches import TIMES, stream
from scoreinv.training.data.pictures import DataConfig
from scoreinv.training.learners import (
    ClassifierLearner,
    ConditionalLearner,
    DamageLearner,
    LabelledBatch,
    NoisyBatch,
    ObservedBatch,
    ScanBatch,
    ScoreLearner,
)
from scoreinv.training.presets import small_training

SDES = [VE(0.01, 50.0), VP(), SubVP()]
UNIT = (-1.0, 1.0)
UNIFORM, LIKELIHOOD = ScoreLearner(weighting="uniform"), ScoreLearner(weighting="likelihood")


def name(sde: SDE) -> str:
    return type(sde).__name__


def case(sde: SDE) -> tuple[GaussianPrior, NoisyBatch]:
    x0, z = standard_normal((6, 3, 4, 4), 1).double(), standard_normal((6, 3, 4, 4), 2).double()
    return GaussianPrior(sde, mean=0.3, variance=0.2), NoisyBatch(x0, torch.linspace(0.05, 1, 6).double(), z)


def gaussian_batch(prior: GaussianPrior, t: Tensor) -> NoisyBatch:
    """Draws of the prior, 40,000 values at each time: their mean square has a standard error of 0.7 %."""
    shape = (len(t), 1, 200, 200)
    x0 = prior.mean + prior.variance**0.5 * standard_normal(shape, 3)
    return NoisyBatch(x0, t, standard_normal(shape, 4))


@pytest.mark.parametrize("sde", SDES, ids=name)
def test_weightings_are_their_formulas_on_the_score_and_on_the_denoised_picture(sde: SDE) -> None:
    prior, batch = case(sde)
    x0, t, z = batch.images, batch.times, batch.noise
    x = sde.perturb(x0, t, z)
    score_error = prior.score(x, t) + z / broadcast(sde.sigma(t), z)
    denoising_error = prior.denoise(x, t) - x0
    level, sd = sde.noise_to_signal(t), 0.4
    prior.preconditioning = EDM(sd)
    expected = {
        "paper": sde.sigma(t).square() * score_error.square().flatten(1).mean(1),
        "likelihood": sde.diffusion_squared(t) * score_error.square().flatten(1).mean(1),
        "uniform": (level**2 + sd**2) / (level * sd) ** 2 * denoising_error.square().flatten(1).mean(1),
    }
    for weighting, value in expected.items():
        learner = ScoreLearner(weighting=weighting)
        loss = learner.losses(prior, batch) / learner.importance(sde, t)
        torch.testing.assert_close(loss, value, rtol=1e-6, atol=1e-9)


def test_uniform_weight_counts_noise_in_units_of_centred_pictures() -> None:
    """The same process on [0, 1] has half the noise of the one on [-1, 1]."""
    t = torch.tensor([0.3, 0.9], dtype=torch.float64)
    half, whole = (GaussianPrior(VE(scale * 0.01, scale * 10), 0.0, 1.0) for scale in (1, 2))
    half.data_range = (0.0, 1.0)
    torch.testing.assert_close(UNIFORM.weight(half, t), UNIFORM.weight(whole, t))


@pytest.mark.parametrize("sigma_data", [0.5, 2.0])
@pytest.mark.parametrize("sde", [VE(0.01, 50.0), VP()], ids=name)
def test_uniform_weight_is_one_on_the_output_of_the_networks_own_preconditioning(sde: SDE, sigma_data: float) -> None:
    """The loss is |F - target|^2 of EDM, for the sigma_data of the model."""
    torch.manual_seed(0)
    network = NCSNppConfig(width=8, multipliers=(1,), blocks=1, init_scale=1.0)
    prior = ModelConfig(network, sde, EDM(sigma_data), image_size=8).build()
    x0, z, t = standard_normal((2, 3, 8, 8), 1), standard_normal((2, 3, 8, 8), 2), torch.tensor([0.2, 0.8]).double()
    s = broadcast(sde.noise_to_signal(t), x0)
    total = (s.square() + sigma_data**2).sqrt()
    with torch.no_grad():
        output = prior.network((x0 + s * z) / total, sde.noise_to_signal(t))
        loss = UNIFORM.losses(prior, NoisyBatch(x0, t, z))
    target = (s * x0 - sigma_data**2 * z) / (sigma_data * total)
    torch.testing.assert_close(loss, (output - target).square().flatten(1).mean(1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sde", [*SDES, DDPM()], ids=name)
def test_the_exact_prior_has_the_closed_form_loss(sde: SDE) -> None:
    prior = GaussianPrior(sde, mean=-0.2, variance=0.09)
    batch = gaussian_batch(prior, torch.tensor([0.01, 0.2, 0.5, 1.0], dtype=torch.float64))
    loss = ScoreLearner().losses(prior, batch).double()
    torch.testing.assert_close(loss, prior.least_loss(batch.times), rtol=0.03, atol=1e-6)


@pytest.mark.parametrize(
    ("sde", "data_range", "weighting", "reduction"),
    [(SDES[0], UNIT, "paper", "sum"), (VP(), (0.0, 1.0), "uniform", "mean"), (SubVP(), UNIT, "likelihood", "mean")],
)
def test_the_baseline_is_the_loss_of_the_exact_prior_of_independent_values(
    sde, data_range, weighting, reduction
) -> None:
    prior = GaussianPrior(sde, mean=0.3, variance=0.16)
    prior.data_range = data_range
    batch = gaussian_batch(prior, torch.linspace(0.05, 1, 8, dtype=torch.float64))
    learner = ScoreLearner(weighting=weighting, reduction=reduction)
    loss = learner.losses(prior, batch).double().mean().item()
    assert learner.baseline_loss(prior, batch) == pytest.approx(loss, rel=0.03)


def test_smld_is_the_loss_of_the_published_code() -> None:
    """Reference: losses.get_smld_loss_fn; sigmas descend with the label, target -noise / sigma^2, times sigma^2."""
    prior, batch = case(VE(0.01, 5.0, steps=7))
    x0, z = batch.images, batch.noise
    labels = torch.tensor([0, 1, 3, 4, 5, 6])
    sigmas = torch.exp(torch.linspace(np.log(5.0), np.log(0.01), 7, dtype=torch.float64))[labels]
    t = (6 - labels).double() / 6
    noise = z * broadcast(sigmas, z)
    target = -noise / broadcast(sigmas, z) ** 2
    losses = (prior.score(x0 + noise, t) - target).square().flatten(1).mean(1) * sigmas**2
    torch.testing.assert_close(ScoreLearner(times="discrete").losses(prior, NoisyBatch(x0, t, z)), losses)


class Logits:
    """A model of given logits, on pictures or states."""

    classes, sde = ("a", "b", "c"), VE(0.01, 50.0)

    def __init__(self, logits: Tensor) -> None:
        self.given, self.seen = logits, []

    def logits(self, pictures: Tensor) -> Tensor:
        return self.given

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        self.seen += [x, t]
        return self.given


def test_the_loss_of_damage_is_entropy_and_overlap_of_what_is_certain() -> None:
    """Dice with 100 pixels more on both sides, beside twenty times the mean entropy."""
    learner, logits = DamageLearner(), 3 * standard_normal((2, 1, 6, 8), 1)
    damaged = (standard_normal((2, 1, 6, 8), 2) > 0.7).float()
    certain = torch.ones_like(damaged)
    certain[0, :, :2] = damaged[0, :, :2] = 0
    batch = ScanBatch(torch.zeros(2, 3, 6, 8), torch.zeros(2), damaged, certain)
    expected: dict[str, list[Tensor]] = {"validation": [], "damaged": [], "missed": [], "wrong": []}
    for row in range(2):
        sure = certain[row] > 0
        p, y = logits[row][sure].sigmoid().double(), damaged[row][sure].double()
        entropy = -(y * p.log() + (1 - y) * (1 - p).log()).sum() / 48
        found = p > 0.5
        expected["validation"].append(20 * entropy + 1 - (2 * (p * y).sum() + 100) / (p.sum() + y.sum() + 100))
        for share, count in (("damaged", y), ("missed", y * ~found), ("wrong", (1 - y) * found)):
            expected[share].append(count.sum() / 48)
    model = Logits(logits)
    measured = learner.measures(model, batch)
    assert set(measured) == set(expected)
    for share, values in expected.items():
        torch.testing.assert_close(measured[share].double(), torch.stack(values), rtol=1e-5, atol=1e-6)
    assert torch.equal(learner.losses(model, batch), measured["validation"])
    share = float(damaged.mean())
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert learner.baseline_loss(model, batch) == pytest.approx(20 * entropy + 1 - share)
    assert learner.baseline_loss(model, replace(batch, damaged=0 * damaged)) == pytest.approx(1, abs=1e-3)
    faint = replace(batch, damaged=0 * damaged, certain=0 * certain)
    assert learner.losses(model, faint).abs().max() < 1e-6


def test_the_loss_of_a_classifier_is_cross_entropy_of_noisy_pictures() -> None:
    learner, model = ClassifierLearner(label_smoothing=0.3), Logits(2 * standard_normal((4, 3), 1))
    images, noise = standard_normal((4, 3, 8, 8), 2), standard_normal((4, 3, 8, 8), 3)
    times, labels = torch.tensor([0.1, 0.4, 0.7, 1.0], dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    batch = LabelledBatch(images, times, noise, labels)
    logs = model.given.log_softmax(1)
    own = -logs[torch.arange(4), labels]
    torch.testing.assert_close(learner.losses(model, batch), 0.7 * own - 0.3 * logs.mean(1))
    torch.testing.assert_close(model.seen[0], images + broadcast(model.sde.sigma(times), noise) * noise)
    measured = learner.measures(model, batch)
    torch.testing.assert_close(measured["validation"], own)
    assert measured["accuracy"].tolist() == (model.given.argmax(1) == labels).float().tolist()
    assert learner.baseline_loss(model, batch) == pytest.approx(np.log(3))


def test_a_conditional_prior_is_trained_given_what_is_observed() -> None:
    """Of a picture that refines a coarser one also the means of its blocks; beside it, the error without any."""
    learner, prior = ConditionalLearner(), conditional_prior()
    images, noise = standard_normal((2, 3, 16, 16), 1).clamp(-1, 1), standard_normal((2, 3, 16, 16), 2)
    observed = torch.ones(2, 3, 16, 16, dtype=torch.bool)
    observed[:, :, 3:13, 3:13] = False
    times = torch.tensor([0.4, 0.9], dtype=torch.float64)
    batch = ObservedBatch(images, times, noise, observed, torch.tensor([False, True]))
    operator = ObservedComponents(observed, prior.preconditioning.basis)
    observations = [Observation(operator, operator(images), coarse=coarse) for coarse in (None, block_means(images))]
    with torch.no_grad():
        apart = [learner.relative_losses(given(prior, one), batch) for one in observations]
        losses, measured = learner.losses(prior, batch), learner.measures(prior, batch)
        alone = learner.relative_losses(prior, batch)
    torch.testing.assert_close(losses, torch.stack([apart[0][0], apart[1][1]]), rtol=1e-4, atol=1e-5)
    assert (apart[0][1] - apart[1][1]).abs() > 1e-3
    torch.testing.assert_close(measured["validation"], losses)
    torch.testing.assert_close(measured["unconditional"], alone, rtol=1e-4, atol=1e-5)
    assert learner.baseline_loss(prior, batch) == 1
    summed = replace(learner, reduction="sum").relative_losses(prior, batch)
    torch.testing.assert_close(summed, 0.5 * 768 * alone)


# --- times ------------------------------------------------------------------------------------------------------------


def drawn(learner: ScoreLearner, sde: SDE, count: int, step: int = 0, data_range: tuple[float, float] = UNIT) -> Tensor:
    return learner.draw_times(sde, data_range, count, stream(0, TIMES, step))


def test_times_are_uniform_and_stratified_ones_even() -> None:
    times = drawn(ScoreLearner(stratified=False), VE(), 20_000)
    assert times.dtype == torch.float64
    assert TRAINING_START <= times.min() < times.max() <= 1
    # Kolmogorov-Smirnov at the 1e-4 level: 2.2 / sqrt(n)
    gap = (times.sort().values - torch.linspace(0, 1, 20_000, dtype=torch.float64)).abs().max()
    assert gap < 2.2 / 20_000**0.5
    even = drawn(ScoreLearner(), VE(), 64).sort().values
    torch.testing.assert_close(even.diff(), torch.full((63,), (1 - 1e-5) / 64, dtype=torch.float64))
    offsets = [drawn(ScoreLearner(), VE(), 4, step).min().item() * 4 for step in range(2000)]
    assert np.mean(offsets) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("sde", SDES, ids=name)
@pytest.mark.parametrize(
    ("learner", "data_range", "expected"),
    [
        (ScoreLearner(focus=(-1.0, 0.7)), UNIT, (-1.0, 0.7)),
        (ScoreLearner(focus=(-1.0, 0.7)), (0.0, 1.0), (-1.0 - np.log(2), 0.7)),
        (small_training(VE(), DataConfig()).learner, UNIT, (-1.2, 1.2)),
    ],
    ids=["focus", "half the range", "EDM"],
)
def test_focused_times_have_log_normal_noise_levels_of_centred_pictures(sde, learner, data_range, expected) -> None:
    levels = sde.noise_to_signal(drawn(learner, sde, 4000, 0, data_range)).log()
    assert (float(levels.mean()), float(levels.std())) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("sde", SDES, ids=name)
def test_times_of_the_likelihood_weighting_have_the_density_of_its_weight(sde: SDE) -> None:
    """Their distribution function is the weight's integral, here in closed form: even for stratified times."""
    times = drawn(LIKELIHOOD, sde, 64).sort().values
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


@pytest.mark.parametrize("sde", [*SDES, DDPM()], ids=name)
def test_times_by_importance_leave_the_expectation_and_let_all_pictures_count_alike(sde: SDE) -> None:
    times, prior = drawn(LIKELIHOOD, sde, 4096, 3), GaussianPrior(sde, 0.0, 1.0)
    weights = LIKELIHOOD.weight(prior, times) * LIKELIHOOD.importance(sde, times)
    torch.testing.assert_close(weights, weights[:1].expand(4096), rtol=1e-9, atol=0)
    # Over uniform times, by the trapezoidal rule on a grid that is fine where the weight is large.
    grid = torch.logspace(np.log10(TRAINING_START), 0, 100_001, dtype=torch.float64)
    for loss in (torch.ones_like, lambda t: (1 + 5 * t).reciprocal(), lambda t: t.sqrt()):
        exact = torch.trapezoid(LIKELIHOOD.weight(prior, grid) * loss(grid), grid) / (1 - TRAINING_START)
        assert float((weights * loss(times)).mean()) == pytest.approx(float(exact), rel=2e-3)


@pytest.mark.parametrize("stratified", [False, True])
def test_discrete_times_are_the_grid_each_equally_often(stratified: bool) -> None:
    learner = ScoreLearner(times="discrete", weighting="likelihood", stratified=stratified)
    sde = DDPM(beta_max=5.0, steps=10)
    index = drawn(learner, sde, 20_000, 1) * 9
    torch.testing.assert_close(index, index.round())
    counts = torch.bincount(index.round().long(), minlength=10)
    assert (counts - 2000).abs().max() < 4 * 2000**0.5
    assert (learner.importance(sde, index / 9) == 1).all()
