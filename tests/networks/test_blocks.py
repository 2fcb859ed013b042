"""Layers: normalisation and attention against their definitions, filters that are learnt under autocasting."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scoreinv.networks.blocks import (
    FourierEmbedding,
    PositionalEmbedding,
    conv,
    convolved,
    group_norm,
    initialised,
    norm_activate,
    normalise,
)
from scoreinv.networks.ncsnpp import NCSNpp, NCSNppConfig
from scoreinv.system.errors import InputError

SMALL = NCSNppConfig(width=8, multipliers=(1, 2), blocks=1, dropout=0.0, init_scale=1.0)


def network(**options: object) -> NCSNpp:
    torch.manual_seed(0)
    return NCSNpp(replace(SMALL, **options)).eval()


def test_fused_norm_and_activation_and_its_gradient() -> None:
    torch.manual_seed(0)
    norm = torch.nn.GroupNorm(4, 16)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = (2 * torch.randn(3, 16, 6, 10) + 0.5).bfloat16().to(memory_format=torch.channels_last).requires_grad_()
    grad = torch.randn(3, 16, 6, 10).bfloat16()
    fused = norm_activate(norm, F.silu, x)
    exact = F.silu(norm(x.float()))
    results = torch.autograd.grad(fused, (x, norm.weight, norm.bias), grad)
    targets = torch.autograd.grad(exact, (x, norm.weight, norm.bias), grad.float())
    for result, target in zip((fused, *results), (exact, *targets), strict=True):
        error = (result.float() - target.float()).square().mean().sqrt()
        assert error < 0.008 * target.float().square().mean().sqrt()


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


def test_attention_without_gradient_equals_attention_with_it() -> None:
    net = network()
    x, label = torch.randn(1, 3, 8, 8), torch.tensor([1.0])
    with torch.no_grad():
        quick = net(x, label)
    torch.testing.assert_close(net(x, label), quick, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("stride", [1, 2])
def test_filters_of_single_channels_are_learnt_in_float32(stride: int) -> None:
    torch.manual_seed(5)
    layer = nn.Conv2d(3, 3, 3, stride, 1, groups=3)
    x, weight, bias = torch.randn(2, 3, 8, 6), torch.randn(3, 1, 3, 3), torch.randn(3)
    expected = torch.stack(
        [F.conv2d(x[:, [c]], weight[[c]], bias[[c]], stride, 1)[:, 0] for c in range(len(weight))], dim=1
    )
    torch.testing.assert_close(convolved(layer, x, weight, bias), expected)
    learnt = weight.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found, frozen = (convolved(layer, x, each, bias) for each in (learnt, weight))
    assert found.dtype == frozen.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=2**-7, atol=1e-6)  # rounded once, at the end
    torch.testing.assert_close(frozen.float(), expected, rtol=0.02, atol=0.05)
    found.float().sum().backward()
    again = weight.clone().requires_grad_()
    F.conv2d(x, again, bias, stride, 1, groups=3).sum().backward()
    torch.testing.assert_close(learnt.grad, again.grad)


def test_groups_are_equal_large_enough_and_at_most_32() -> None:
    for channels, least, expected in ((7, 4, 1), (7, 1, 7), (12, 5, 2), (24, 4, 6), (128, 4, 32), (129, 1, 3)):
        assert group_norm(channels, least).num_groups == expected
    with pytest.raises(InputError, match="3 channels do not make a group of 4"):
        group_norm(3, 4)


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
