"""FFDNet as a prior's network."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.networks.ffdnet import HALVING_LEVEL, FFDNet, FFDNetConfig
from scoreinv.preconditioning import DataPrediction
from scoreinv.prior import Network, ScorePrior
from scoreinv.sdes import VE, VP, time_at
from scoreinv.system.errors import InputError

PLAIN = FFDNetConfig(width=12, layers=4)


def _filled(config: FFDNetConfig) -> FFDNet:
    """A network of float64 whose last layers are not about zero, and whose features keep their size."""
    network = config.build().double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in network.parameters():
            size = math.sqrt(weight[0].numel())
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64) / size)
    return network


def _pictures(rows: int = 2, side: int = 16) -> Tensor:
    return torch.randn(rows, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def _published(network: FFDNet, x: Tensor, level: float) -> Tensor:
    """FFDNet as its paper has it: pictures and levels on [0, 1], four shifts of a picture as channels of one place."""
    weights = list(network.state_dict().values())
    shifts = [x[:, channel, i::2, j::2] for channel in range(3) for i in (0, 1) for j in (0, 1)]
    h = torch.stack([*shifts, torch.full_like(shifts[0], level)], 1)
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        h = F.conv2d(h, weight, bias, padding=1).clamp_min(0)
    h = F.conv2d(h, weights[-2], weights[-1], padding=1)
    clean = torch.empty_like(x)
    for place, values in enumerate(h.unbind(1)):
        clean[:, place // 4, place % 4 // 2 :: 2, place % 2 :: 2] = values
    return clean


def test_up_to_its_limit_it_is_the_published_network() -> None:
    network, x, level = _filled(PLAIN), _pictures(), 0.4
    with torch.no_grad():
        ours = network(x, torch.full((2,), level, dtype=torch.float64))
        published = _published(network, (x + 1) / 2, level / 2)
    left = 1 / (1 + (level / HALVING_LEVEL) ** 2)
    torch.testing.assert_close(ours, left * (2 * published - 1))


@pytest.mark.parametrize("level", [1.0, 4.0, 40.0])
def test_beyond_its_limit_it_sees_a_picture_of_weaker_contrast(level: float) -> None:
    network, x, limit = _filled(PLAIN), _pictures(), PLAIN.noise_limit
    shrunk = limit / level
    with torch.no_grad():
        ours = network(x, torch.full((2,), level, dtype=torch.float64))
        published = 2 * _published(network, (shrunk * x + 1) / 2, limit / 2) - 1
    torch.testing.assert_close(ours, published / shrunk / (1 + (level / 17) ** 2))


@pytest.mark.parametrize("wrong", [{"layers": 2}, {"noise_limit": 0.0}, {"width": 0}, {"channels": 65}])
def test_options_that_do_not_fit(wrong: dict) -> None:
    with pytest.raises(InputError):
        FFDNetConfig(**wrong)


class _Halving(Network):
    """F(x, s) = x / 2 + s."""

    channels, stride = 3, 1

    def forward(self, x: Tensor, label: Tensor, condition: Tensor | None = None) -> Tensor:
        return x / 2 + label[:, None, None, None]


@pytest.mark.parametrize("sde", [VE(0.001, 10.0), VP()])
@pytest.mark.parametrize("level", [0.004, 0.05, 0.7])
def test_data_prediction_is_read_as_the_denoised_picture(sde: VE | VP, level: float) -> None:
    """Far above the floor D = F; at it halfway to the noisy picture; with pictures on [0, 1] levels count twice."""
    prior = ScorePrior(_Halving(), sde, DataPrediction(floor=0.01), (0.0, 1.0), 8)
    t = time_at(sde, torch.tensor([level], dtype=torch.float64))
    x = _pictures(1, 8)
    clean, s = 2 * x / sde.alpha(t) - 1, 2 * level
    weight = s**2 / (s**2 + 0.01**2)
    expected = clean - weight * (clean - (clean / 2 + s))
    torch.testing.assert_close(prior.denoise(x, t), (expected + 1) / 2, rtol=1e-5, atol=1e-5)
