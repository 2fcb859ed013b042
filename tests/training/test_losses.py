"""The losses against their formulas, and against the closed-form optimum of Gaussian data."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gaussian import GaussianPrior, standard_normal

from scoreinv.models.codec import decode
from scoreinv.models.config import ModelConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM
from scoreinv.sdes import DDPM, SDE, VE, VP, SubVP, broadcast
from scoreinv.system.errors import InputError
from scoreinv.training.config import DataConfig, ObjectiveConfig
from scoreinv.training.data.batches import Batch
from scoreinv.training.losses import ScoreLearner, per_image_loss, weight
from scoreinv.training.presets import small_training

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
