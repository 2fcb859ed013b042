"""The paper's models, against numbers written down by hand from the reference implementation's `configs/`."""

from typing import NamedTuple

import pytest
import torch

import scoreinv
from scoreinv.models.catalogue import describe
from scoreinv.models.foreign.published import PUBLISHED, published
from scoreinv.preconditioning import PaperVE
from scoreinv.prior import RecommendedSampler
from scoreinv.sdes import DDPM, SDE, VE, VP, SubVP
from scoreinv.system.errors import CheckpointError
from scoreinv.training.config import DataConfig
from scoreinv.training.presets import paper_training


class Row(NamedTuple):
    sde: SDE
    times: str
    ema: float
    reduction: str
    sampler: RecommendedSampler
    batch: int
    iterations: int
    side: int
    dropout: float


LANGEVIN = RecommendedSampler("reverse_diffusion", "langevin", 0.16, 1000)
LANGEVIN_256 = RecommendedSampler("reverse_diffusion", "langevin", 0.075, 2000)
LANGEVIN_1024 = RecommendedSampler("reverse_diffusion", "langevin", 0.15, 2000)
EULER = RecommendedSampler("euler_maruyama", "none", 0.16, 1000)
ANCESTRAL = RecommendedSampler("ancestral", "none", 0.16, 1000)
REVERSE = RecommendedSampler("reverse_diffusion", "none", 0.16, 1000)

LONG, DEEP, LARGE = 1_300_001, 950_001, 2_400_001
DDPM_256 = Row(
    DDPM(0.1, 20.0, 1000),
    "discrete",
    0.9999,
    "mean",
    RecommendedSampler("ancestral", "none", 0.075, 1000),
    64,
    LARGE,
    256,
    0.0,
)


def cifar_ve(times: str, iterations: int = LONG) -> Row:
    return Row(VE(0.01, 50.0, 1000), times, 0.999, "sum", LANGEVIN, 128, iterations, 32, 0.1)


def cifar(sde: SDE, times: str, sampler: RecommendedSampler, iterations: int = LONG) -> Row:
    return Row(sde, times, 0.9999, "mean", sampler, 128, iterations, 32, 0.1)


def large(sigma_max: float) -> Row:
    return Row(VE(0.01, sigma_max, 2000), "continuous", 0.999, "sum", LANGEVIN_256, 64, LARGE, 256, 0.0)


def largest(reduction: str) -> Row:
    return Row(VE(0.01, 1348.0, 2000), "continuous", 0.9999, reduction, LANGEVIN_1024, 8, LARGE, 1024, 0.0)


CONTINUOUS, DISCRETE = "continuous", "discrete"
CHAIN, VP_SDE, SUBVP_SDE = DDPM(0.1, 20.0, 1000), VP(0.1, 20.0, 1000), SubVP(0.1, 20.0, 1000)
TABLE = {
    "ve/cifar10_ddpm": cifar_ve(DISCRETE),
    "ve/cifar10_ncsnpp": cifar_ve(DISCRETE),
    "ve/cifar10_ncsnpp_continuous": cifar_ve(CONTINUOUS),
    "ve/cifar10_ncsnpp_deep_continuous": cifar_ve(CONTINUOUS, DEEP),
    "ve/celeba_ncsnpp": Row(
        VE(0.01, 90.0, 1000),
        DISCRETE,
        0.999,
        "sum",
        RecommendedSampler("reverse_diffusion", "langevin", 0.17, 1000),
        128,
        LONG,
        64,
        0.1,
    ),
    "ve/bedroom_ncsnpp_continuous": large(378.0),
    "ve/church_ncsnpp_continuous": large(380.0),
    "ve/celebahq_256_ncsnpp_continuous": large(348.0),
    "ve/ffhq_256_ncsnpp_continuous": large(348.0),
    "ve/celebahq_ncsnpp_continuous": largest("sum"),
    "ve/ffhq_ncsnpp_continuous": largest("mean"),
    "vp/cifar10_ddpm": cifar(CHAIN, DISCRETE, ANCESTRAL),
    "vp/cifar10_ddpm_unconditional": cifar(CHAIN, DISCRETE, ANCESTRAL),
    "vp/cifar10_ddpmpp": cifar(CHAIN, DISCRETE, ANCESTRAL),
    "vp/cifar10_ncsnpp": cifar(CHAIN, DISCRETE, REVERSE),
    "vp/bedroom_ddpm": DDPM_256,
    "vp/church_ddpm": DDPM_256,
    "vp/celebahq_ddpm": DDPM_256,
    "vp/cifar10_ddpm_continuous": cifar(VP_SDE, CONTINUOUS, EULER),
    "vp/cifar10_ddpmpp_continuous": cifar(VP_SDE, CONTINUOUS, EULER),
    "vp/cifar10_ddpmpp_deep_continuous": cifar(VP_SDE, CONTINUOUS, EULER, DEEP),
    "vp/cifar10_ncsnpp_continuous": cifar(VP_SDE, CONTINUOUS, EULER),
    "vp/cifar10_ncsnpp_deep_continuous": cifar(VP_SDE, CONTINUOUS, EULER, DEEP),
    "subvp/cifar10_ddpm_continuous": cifar(SUBVP_SDE, CONTINUOUS, EULER),
    "subvp/cifar10_ddpmpp_continuous": cifar(SUBVP_SDE, CONTINUOUS, EULER),
    "subvp/cifar10_ddpmpp_deep_continuous": cifar(SUBVP_SDE, CONTINUOUS, EULER, DEEP),
    "subvp/cifar10_ncsnpp_continuous": cifar(SUBVP_SDE, CONTINUOUS, EULER),
    "subvp/cifar10_ncsnpp_deep_continuous": cifar(SUBVP_SDE, CONTINUOUS, EULER, DEEP),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_model_is_that_of_the_reference(name: str) -> None:
    """The model as it is sampled, and as it is trained."""
    expected, model, run = TABLE[name], PUBLISHED[name], paper_training(name, DataConfig())
    assert type(model.config.sde) is type(expected.sde)
    for settings in (model, run):
        found = settings.config if settings is model else settings.model
        assert found.sde == expected.sde
        assert found.sampler == expected.sampler
        assert found.image_size == expected.side
        assert found.network.dropout == expected.dropout
        assert found.data_range == ((0.0, 1.0) if isinstance(expected.sde, VE) else (-1.0, 1.0))
        assert settings.ema_decay == expected.ema
        assert settings.batch_size == expected.batch
    assert model.continuous == (expected.times == CONTINUOUS)
    assert model.reduction == expected.reduction
    assert model.iterations == expected.iterations
    assert run.objective.times == expected.times
    assert run.objective.reduction == expected.reduction
    assert run.steps == expected.iterations


def test_published_size() -> None:
    """NCSN++ (continuous) on CIFAR-10 has 62 M parameters (Karras et al. 2022, table 1)."""
    with torch.device("meta"):
        network = published("ve/cifar10_ncsnpp_continuous").config.build().network
    assert sum(weight.numel() for weight in network.parameters()) == pytest.approx(62e6, rel=0.02)


def test_discrete_published_models_use_their_own_table() -> None:
    assert isinstance(published("vp/cifar10_ddpmpp").config.sde, DDPM)
    assert published("ve/cifar10_ncsnpp").config.preconditioning == PaperVE("index")
    assert isinstance(published("subvp/cifar10_ddpm_continuous").config.sde, SubVP)


@pytest.mark.parametrize(
    ("name", "attention", "rate", "parameters"),
    [
        ("ve/celeba_ncsnpp", (2,), 2e-4, 62_693_251),
        ("ve/celebahq_ncsnpp_continuous", (6,), 2e-4, 105_785_880),
        ("vp/bedroom_ddpm", (4,), 2e-5, 111_569_923),
    ],
)
def test_networks_have_the_weights_of_the_references(name, attention, rate, parameters) -> None:
    assert published(name).config.network.attention_levels == attention
    assert paper_training(name, DataConfig()).optimizer.learning_rate == rate
    assert describe(name)["parameters"] == parameters


def test_published_weights_and_those_that_were_not() -> None:
    assert "not published" in describe("ve/celeba_ncsnpp")["source"]
    assert describe("ve/church_ncsnpp_continuous")["source"].startswith("hf:")
    with pytest.raises(CheckpointError, match="a published model, not bundled; its weights"):
        scoreinv.load("vp/bedroom_ddpm")
