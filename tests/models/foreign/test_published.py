"""The paper's models, against numbers written down by hand from the reference implementation's `configs/`."""

from pathlib import Path
from typing import NamedTuple

import pytest

import scoreinv
from scoreinv.models.catalogue import describe
from scoreinv.models.foreign.official import read_official_config
from scoreinv.models.foreign.published import PUBLISHED, published, with_other_times
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


PARITY = Path(__file__).parents[2] / "data" / "parity"
LANGEVIN = RecommendedSampler("reverse_diffusion", "langevin", 0.16, 1000)
LANGEVIN_256 = RecommendedSampler("reverse_diffusion", "langevin", 0.075, 2000)
LANGEVIN_1024 = RecommendedSampler("reverse_diffusion", "langevin", 0.15, 2000)
EULER = RecommendedSampler("euler_maruyama", "none", 0.16, 1000)
ANCESTRAL = RecommendedSampler("ancestral", "none", 0.16, 1000)
REVERSE = RecommendedSampler("reverse_diffusion", "none", 0.16, 1000)

LONG, DEEP, LARGE = 1_300_001, 950_001, 2_400_001


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
    "ve/bedroom_ncsnpp_continuous": large(378.0),
    "ve/church_ncsnpp_continuous": large(380.0),
    "ve/celebahq_256_ncsnpp_continuous": large(348.0),
    "ve/ffhq_256_ncsnpp_continuous": large(348.0),
    "ve/celebahq_ncsnpp_continuous": largest("sum"),
    "ve/ffhq_ncsnpp_continuous": largest("mean"),
    "vp/cifar10_ddpm": cifar(CHAIN, DISCRETE, ANCESTRAL),
    "vp/cifar10_ddpmpp": cifar(CHAIN, DISCRETE, ANCESTRAL),
    "vp/cifar10_ncsnpp": cifar(CHAIN, DISCRETE, REVERSE),
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
    assert run.model == model
    assert type(model.sde) is type(expected.sde)
    assert model.sde == expected.sde
    assert model.sampler == expected.sampler
    assert model.image_size == expected.side
    assert model.network.dropout == expected.dropout
    assert model.data_range == ((0.0, 1.0) if isinstance(expected.sde, VE) else (-1.0, 1.0))
    assert run.ema_decay == expected.ema
    assert run.batch_size == expected.batch
    assert run.learner.times == expected.times
    assert run.learner.reduction == expected.reduction
    assert run.steps == expected.iterations
    plain_ddpm = "ddpm" in name and "ddpmpp" not in name
    blocks = {32: 8 if "deep" in name else 2 if plain_ddpm else 4, 256: 2, 1024: 1}
    assert model.network.blocks == blocks[expected.side]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("ve_cifar10_ncsnpp", "ve/cifar10_ncsnpp"),
        ("ve_cifar10_ncsnpp_continuous", "ve/cifar10_ncsnpp_continuous"),
        ("ve_church_ncsnpp_continuous", "ve/church_ncsnpp_continuous"),
        ("vp_ddpm_cifar10", "vp/cifar10_ddpm"),
        ("vp_cifar10_ddpmpp_continuous", "vp/cifar10_ddpmpp_continuous"),
        ("subvp_cifar10_ddpmpp_continuous", "subvp/cifar10_ddpmpp_continuous"),
    ],
)
def test_published_networks_have_the_options_of_the_references(folder: str, name: str) -> None:
    """The reference's own configurations, but for the size of the networks that tests are made with."""
    small, whole = read_official_config(str(PARITY / folder / "config.json")), published(name)
    size = {"width": 0, "multipliers": (), "blocks": 0, "attention_levels": ()}
    options, expected = (vars(config.network) | size for config in (whole, small))
    assert options == expected
    assert whole.preconditioning == small.preconditioning
    assert (type(whole.sde), whole.data_range) == (type(small.sde), small.data_range)


@pytest.mark.parametrize(
    ("name", "attention", "parameters"),
    [
        ("ve/cifar10_ncsnpp", (1,), 62_693_251),
        ("ve/celebahq_ncsnpp_continuous", (6,), 105_785_880),
    ],
)
def test_networks_have_the_weights_of_the_references(name: str, attention: tuple[int, ...], parameters: int) -> None:
    assert published(name).network.attention_levels == attention
    assert describe(name)["parameters"] == parameters


def test_published_weights_and_those_that_were_not() -> None:
    assert "not published" in describe("ve/cifar10_ddpm")["source"]
    assert describe("ve/church_ncsnpp_continuous")["source"].startswith("hf:")
    with pytest.raises(CheckpointError, match="a published model, not bundled; its weights"):
        scoreinv.load("vp/cifar10_ncsnpp")


def test_models_of_other_times_with_the_same_tensors() -> None:
    continuous = {"vp/cifar10_ddpmpp_continuous", "subvp/cifar10_ddpmpp_continuous"}
    assert set(with_other_times(published("vp/cifar10_ddpmpp"))) == continuous
    assert with_other_times(published("subvp/cifar10_ddpmpp_continuous")) == ["vp/cifar10_ddpmpp"]
    assert with_other_times(published("ve/cifar10_ncsnpp_continuous")) == []  # with Fourier embedding
