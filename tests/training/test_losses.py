"""The losses against their formulas, and against the closed-form optimum of Gaussian data."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gaussian import GaussianPrior, standard_normal
from small_conditional import conditional_prior

from scoreinv.conditional.initial_estimate import block_means
from scoreinv.guidance import Observation, given
from scoreinv.models.codec import decode
from scoreinv.models.config import ModelConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.operators import ObservedComponents
from scoreinv.preconditioning import EDM
from scoreinv.sdes import DDPM, SDE, VE, VP, SubVP, broadcast
from scoreinv.system.errors import InputError
from scoreinv.training.config import DataConfig, ObjectiveConfig
from scoreinv.training.data.batches import Batch
from scoreinv.training.losses import (
    ClassifierLearner,
    ConditionalLearner,
    DamageLearner,
    ScoreLearner,
    learner_of,
    per_image_loss,
    useful_loss,
    weight,
)
from scoreinv.training.presets import classifier_training, conditional_training, damage_training, small_training

SDES = [VE(0.01, 50.0), VP(), SubVP()]


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
    prior.preconditioning = EDM(sd)
    expected = {
        "paper": sde.sigma(t).square() * score_error.square().flatten(1).mean(1),
        "likelihood": sde.diffusion_squared(t) * score_error.square().flatten(1).mean(1),
        "uniform": (level**2 + sd**2) / (level * sd) ** 2 * denoising_error.square().flatten(1).mean(1),
    }
    for weighting, value in expected.items():
        loss = per_image_loss(ObjectiveConfig(weighting=weighting), prior, x0, t, z)
        torch.testing.assert_close(loss, value, rtol=1e-6, atol=1e-9)


def test_uniform_weight_counts_noise_in_units_of_centred_pictures() -> None:
    t = torch.tensor([0.3, 0.9], dtype=torch.float64)
    objective = ObjectiveConfig(weighting="uniform")
    # The same process on [0, 1] has half the noise of the one on [-1, 1].
    half, whole = (GaussianPrior(VE(scale * 0.01, scale * 10), 0.0, 1.0) for scale in (1, 2))
    half.data_range = (0.0, 1.0)
    torch.testing.assert_close(weight(objective, half, t), weight(objective, whole, t))


@pytest.mark.parametrize("sigma_data", [0.5, 2.0])
@pytest.mark.parametrize("sde", [VE(0.01, 50.0), VP()], ids=lambda sde: type(sde).__name__)
def test_uniform_weight_is_one_on_the_output_of_the_networks_own_preconditioning(sde: SDE, sigma_data: float) -> None:
    """The loss is |F - target|^2 of EDM, for the sigma_data of the model."""
    torch.manual_seed(0)
    prior = ModelConfig(
        NCSNppConfig(width=8, multipliers=(1,), blocks=1, init_scale=1.0), sde, EDM(sigma_data), image_size=8
    ).build()
    x0, z, t = standard_normal((2, 3, 8, 8), 1), standard_normal((2, 3, 8, 8), 2), torch.tensor([0.2, 0.8]).double()
    s = broadcast(sde.noise_to_signal(t), x0)
    total = (s.square() + sigma_data**2).sqrt()
    with torch.no_grad():
        output = prior.network((x0 + s * z) / total, sde.noise_to_signal(t))
        loss = per_image_loss(ObjectiveConfig(weighting="uniform"), prior, x0, t, z)
    target = (s * x0 - sigma_data**2 * z) / (sigma_data * total)
    torch.testing.assert_close(loss, (output - target).square().flatten(1).mean(1), rtol=1e-4, atol=1e-6)


def test_configurations_of_released_versions_keep_loading() -> None:
    """Their objective had a sigma_data of its own."""
    assert decode(ObjectiveConfig, {"weighting": "uniform", "sigma_data": 0.7}) == ObjectiveConfig(weighting="uniform")


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
    sde, data_range, weighting, reduction
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


class _Logits:
    """A model of given logits, on pictures or states."""

    classes, sde = ("a", "b", "c"), VE(0.01, 50.0)

    def __init__(self, logits: torch.Tensor) -> None:
        self.given, self.seen = logits, []

    def logits(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.given

    def __call__(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        self.seen += [x, t]
        return self.given


def test_the_loss_of_damage_is_entropy_and_overlap_of_what_is_certain() -> None:
    """Dice with 100 pixels more on both sides, beside twenty times the mean entropy; NaN marks faint damage."""
    learner = DamageLearner(damage_training(DataConfig()))
    logits = 3 * standard_normal((2, 1, 6, 8), 1)
    damaged = (standard_normal((2, 1, 6, 8), 2) > 0.7).float()
    damaged[0, :, :2] = torch.nan
    batch = Batch(torch.zeros(2, 3, 6, 8), torch.zeros(2), torch.empty(0), damaged=damaged)
    expected, shares = [], {"damaged": [], "missed": [], "wrong": []}
    for row in range(2):
        certain = damaged[row].isfinite()
        p, y = logits[row][certain].sigmoid().double(), damaged[row][certain].double()
        entropy = -(y * p.log() + (1 - y) * (1 - p).log()).sum() / 48
        dice = (2 * (p * y).sum() + 100) / (p.sum() + y.sum() + 100)
        expected.append(20 * entropy + 1 - dice)
        found = p > 0.5
        counts = {"damaged": y.sum(), "missed": (y * ~found).sum(), "wrong": ((1 - y) * found).sum()}
        for name, count in counts.items():
            shares[name].append(count / 48)
    model = _Logits(logits)
    torch.testing.assert_close(learner.losses(model, batch).double(), torch.stack(expected), rtol=1e-5, atol=1e-6)
    measured = learner.measures(model, batch)
    assert set(measured) == {"validation", *shares}
    for name, values in shares.items():
        torch.testing.assert_close(measured[name].double(), torch.stack(values), rtol=1e-5, atol=1e-7)
    share = float(damaged.nan_to_num(0).mean())
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert learner.baseline_loss(model, batch) == pytest.approx(20 * entropy + 1 - share)
    healthy = replace(batch, damaged=0 * damaged)
    assert learner.baseline_loss(model, healthy) == pytest.approx(1, abs=1e-3)


def test_the_loss_of_a_classifier_is_cross_entropy_of_noisy_pictures() -> None:
    run = classifier_training(VE(0.01, 50.0), DataConfig(), ("a", "b", "c"))
    run = replace(run, objective=replace(run.objective, label_smoothing=0.3))
    learner, model = ClassifierLearner(run), _Logits(2 * standard_normal((4, 3), 1))
    images, noise = standard_normal((4, 3, 8, 8), 2), standard_normal((4, 3, 8, 8), 3)
    times = torch.tensor([0.1, 0.4, 0.7, 1.0], dtype=torch.float64)
    labels = torch.tensor([0, 2, 1, 1])
    batch = Batch(images, times, noise, labels=labels)
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
    run = conditional_training(VE(0.01, 20.0), DataConfig())
    learner, prior = ConditionalLearner(run), conditional_prior()
    images, noise = standard_normal((2, 3, 16, 16), 1).clamp(-1, 1), standard_normal((2, 3, 16, 16), 2)
    observed = torch.ones(2, 3, 16, 16, dtype=torch.bool)
    observed[:, :, 3:13, 3:13] = False
    times = torch.tensor([0.4, 0.9], dtype=torch.float64)
    batch = Batch(images, times, noise, observed=observed, refined=torch.tensor([False, True]))
    operator = ObservedComponents(observed, prior.preconditioning.basis)
    observations = [Observation(operator, operator(images), coarse=coarse) for coarse in (None, block_means(images))]
    apart = [per_image_loss(run.objective, given(prior, one), images, times, noise) for one in observations]
    with torch.no_grad():
        losses, measured = learner.losses(prior, batch), learner.measures(prior, batch)
    torch.testing.assert_close(losses, torch.stack([apart[0][0], apart[1][1]]).detach(), rtol=1e-4, atol=1e-5)
    assert (apart[0][1] - apart[1][1]).abs() > 1e-3
    torch.testing.assert_close(measured["validation"], losses)
    alone = per_image_loss(run.objective, prior, images, times, noise).detach()
    torch.testing.assert_close(measured["unconditional"], alone, rtol=1e-4, atol=1e-5)
    assert learner.baseline_loss(prior, batch) == 1


def test_each_kind_of_run_has_its_learner_and_its_bound_of_use() -> None:
    """Half of what knowing nothing gives; a conditional prior starts near the best, and classifiers have no bound."""
    sde, data = VE(), DataConfig()
    conditional = conditional_training(sde, data)
    runs = {
        ScoreLearner: (small_training(sde, data), 0.5),
        ConditionalLearner: (conditional, 0.95),
        ClassifierLearner: (classifier_training(sde, data, ("a", "b")), None),
        DamageLearner: (damage_training(data), 0.5),
    }
    for learner, (run, share) in runs.items():
        assert type(learner_of(run)) is learner
        assert useful_loss(run, 0.8) == (None if share is None else pytest.approx(0.8 * share))
