"""Layers: normalisation and attention against their definitions, filters that are learnt under autocasting."""

import copy
import math

import pytest
import torch
from torch import nn

from scoreinv.networks.blocks import (
    BatchNorm,
    FourierEmbedding,
    PositionalEmbedding,
    conv,
    freeze_norms,
    initialised,
    normalise,
)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 4e-3)])
@pytest.mark.parametrize("shape", [(8, 96, 16, 16), (24, 40, 9, 11)])
def test_normalisation_is_exact_where_means_dwarf_deviations(dtype, tolerance, shape) -> None:
    torch.manual_seed(0)
    norm = torch.nn.GroupNorm(8, shape[1], eps=1e-6)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.rand(shape[1], 1, 1) * torch.randn(shape) + 20 * torch.randn(shape[1], 1, 1)
    x = x.to(dtype).to(memory_format=torch.channels_last)
    with torch.no_grad():
        result = normalise(norm, x)
        exact = copy.deepcopy(norm).double()(x.double())
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert (result.double() - exact).square().mean().sqrt() < tolerance * exact.square().mean().sqrt()


def test_embeddings_keep_the_digits_of_large_phases() -> None:
    """Of thousands of radians float32 would lose a thousandth."""
    level = torch.tensor([0.01, 3.0, 1348.0], dtype=torch.float64)
    torch.manual_seed(0)
    fourier = FourierEmbedding(4000, 300.0)
    assert float(fourier.frequencies.std()) == pytest.approx(300, rel=0.05)
    phases = 2 * math.pi * level.log()[:, None] * fourier.frequencies.double()
    expected = torch.cat([phases.sin(), phases.cos()], 1).float()
    torch.testing.assert_close(fourier(level), expected, atol=1e-6, rtol=0)
    index = torch.tensor([0.0, 7.5, 99_999.0], dtype=torch.float64)
    phases = index[:, None] * (10_000.0 ** (-torch.arange(4).double() / 3)).float().double()
    expected = torch.cat([phases.sin(), phases.cos(), torch.zeros(3, 1)], 1).float()
    torch.testing.assert_close(PositionalEmbedding(9)(index), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("scale", "variance"), [(1.0, 1.0), (0.25, 0.25), (0.0, 1e-10)])
def test_first_weights_are_uniform_with_the_variance_of_their_fans(scale: float, variance: float) -> None:
    torch.manual_seed(0)
    for layer, fans in ((conv(20, 30, 3, scale), 9 * 25), (initialised(nn.Linear(90, 30), scale), 60)):
        weight, bound = layer.weight.detach(), math.sqrt(3 * variance / fans)
        assert 0.99 * bound < float(weight.abs().max()) <= bound
        assert float(weight.var()) == pytest.approx(variance / fans, rel=0.1)
        assert not layer.bias.any()


def test_frozen_norms_keep_their_statistics() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), BatchNorm(2)).train()
    assert freeze_norms(network) == 1
    network(torch.randn(4, 1, 3, 3))
    assert not network[1].running_mean.any()
