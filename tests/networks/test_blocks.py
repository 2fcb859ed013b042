"""Layers: normalisation and attention against their definitions, filters that are learnt under autocasting."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from scoreinv.networks.blocks import convolved, norm_activate, normalise
from scoreinv.networks.ncsnpp import NCSNpp, NCSNppConfig

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
