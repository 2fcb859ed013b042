"""What wrappers of priors forward, and what models take."""

import pytest
import torch
from support.analytic import gaussian_colour_prior
from support.mixture import SDES, gaussian
from torch import Tensor

from scoreinv.likelihood import bits_per_dim
from scoreinv.models.config import ModelConfig
from scoreinv.networks.ncsnpp import NCSNppConfig
from scoreinv.preconditioning import EDM
from scoreinv.prior import Clipped, Prior, PriorWrapper
from scoreinv.samplers.ode import decode, encode
from scoreinv.sdes import VE
from scoreinv.system.errors import InputError, SettingError
from scoreinv.windows import Tiled

NETWORK = NCSNppConfig(width=8, multipliers=(1,), blocks=1, dropout=0.0, init_scale=1.0)


class Own(Prior):
    """Every attribute differs from its default, and every method leaves a mark."""

    data_range, stride, evaluations_per_noise, vjps_per_noise, constrains = (-3.0, 0.5), 4, 2, 3, True

    def __init__(self) -> None:
        self.sde = SDES["vp"]

    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        return 2 * x + sum(maps)

    def constrain(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        return x + z

    def finish(self, x0: Tensor) -> Tensor:
        return x0 + 5


def test_a_wrapper_has_all_that_the_wrapped_prior_has() -> None:
    inner, x = Own(), torch.ones(1, 3, 4, 4)
    wrapper = PriorWrapper(inner)
    for name in ("sde", "data_range", "stride", "evaluations_per_noise", "vjps_per_noise", "constrains"):
        assert getattr(wrapper, name) == getattr(inner, name), name
    assert torch.equal(wrapper.noise(x, 0.5), 2 * x)
    assert torch.equal(wrapper.noise(x, 0.5, x, x), 4 * x)
    assert torch.equal(wrapper.constrain(x, torch.tensor(0.5), 3 * x), 4 * x)
    assert torch.equal(wrapper.finish(x), 6 * x)


def test_a_wrapper_moves_the_model_and_maps_its_range() -> None:
    prior = ModelConfig(NETWORK, VE(), EDM(), (0.0, 2.0), image_size=8).build()
    wrapper = Clipped(Tiled(prior, 8, 0))
    assert wrapper.to(torch.bfloat16) is wrapper
    assert {weight.dtype for weight in prior.network.parameters()} >= {torch.bfloat16}
    assert wrapper.to(device="cpu").device == prior.device == torch.device("cpu")
    assert wrapper.to_model(torch.tensor([0.5, 1.0])).tolist() == [1.0, 2.0]
    assert wrapper.to_image(torch.tensor([1.0, 2.0])).tolist() == [0.5, 1.0]


def test_wrong_priors_are_named() -> None:
    x = torch.zeros(1, 3, 2, 2)
    for run in (bits_per_dim, encode, decode):
        with pytest.raises(SettingError) as caught:
            run("photo", x)
        assert caught.value.setting == "prior"


@pytest.mark.parametrize("data_range", [(-1.0, 1.0), (-3.0, 0.5)])
def test_pictures_and_states_have_the_same_black_and_white(data_range: tuple[float, float]) -> None:
    prior = gaussian_colour_prior(torch.zeros(3), torch.eye(3), data_range=data_range)
    assert prior.to_model(torch.tensor([0.0, 1.0])).tolist() == list(data_range)
    assert prior.to_image(torch.tensor(data_range)).tolist() == [0.0, 1.0]


def test_all_of_a_network_is_evaluated_in_float64() -> None:
    """Below float32 some layers stay as they are; above it none."""
    prior = ModelConfig(NETWORK, VE(), EDM(), image_size=8).build()
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        single, double = prior.noise(x, 0.5), prior.to(device="cpu", dtype=torch.float64).noise(x.double(), 0.5)
    assert {weight.dtype for weight in prior.network.parameters()} == {torch.float64}
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, atol=1e-4, rtol=1e-4)
    with pytest.raises(InputError, match=r"not torch\.float16"):
        prior.to(torch.float16)


def test_a_prior_that_takes_no_constraint_leaves_states_as_they_are() -> None:
    prior, x = gaussian(SDES["ve"]), torch.ones(1, 3, 2, 2)
    assert prior.constrain(x, torch.tensor(0.5), 2 * x) is x
    assert prior.finish(x) is x
