"""The formula of peak memory, against bytes that were measured by following all tensors of the networks."""

import pytest

from scoreinv.models.catalogue import configuration, locate
from scoreinv.models.foreign.published import published
from scoreinv.models.peak_memory import gradient_bytes
from scoreinv.networks.ncsnpp import NCSNppConfig


def network(name: str) -> NCSNppConfig:
    config = published(name) if "/" in name else configuration(locate(name))
    assert isinstance(config.network, NCSNppConfig)
    return config.network


@pytest.mark.parametrize(
    ("name", "side", "per_pixel"),
    [
        ("photo", 512, 5152),
        ("cifar10", 256, 9688),
        ("cifar10", 512, 21381),
        ("ve/cifar10_ncsnpp_continuous", 256, 169030),
        ("ve/church_ncsnpp_continuous", 512, 39719),
    ],
)
def test_gradient(name: str, side: int, per_pixel: int) -> None:
    measured = per_pixel * side**2
    assert 0.75 * measured < gradient_bytes(network(name), side**2) < 1.25 * measured
