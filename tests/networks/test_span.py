"""SPAN against the operations of the published files, and their layout."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pretrained.upscaler.make import install
from scoreinv.networks.span import SPAN, Modulation, SPANConfig, Stack

WIDTH, BLOCKS = 4, 3


def network() -> SPAN:
    torch.manual_seed(0)
    net = SPANConfig(WIDTH, BLOCKS).build().eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, Modulation):
            torch.nn.init.normal_(module.weight, std=0.2)
    return net


def layer(module: torch.nn.Conv2d, x: Tensor) -> Tensor:
    return F.conv2d(x, module.weight.double(), module.bias.double(), padding=module.padding)


def published(stack: Stack, x: Tensor) -> Tensor:
    """Apply the operations of `spanx2_ch48.param` in float64, one after the other."""
    constant = torch.tensor([0.4488, 0.4371, 0.4040], dtype=torch.float64)
    first = h = layer(stack.conv_in, (x - constant[:, None, None]) * 255)
    blocks = []
    for block in stack.blocks:
        c1 = layer(block.layers[0], h)
        act1 = c1 * torch.sigmoid(c1)
        c2 = layer(block.layers[1], act1)
        c3 = layer(block.layers[2], c2 * torch.sigmoid(c2))
        h = (c3 + h) * (torch.sigmoid(c3) - 0.5)
        blocks.append(h)
    joined = torch.cat((first, layer(stack.conv_last, h), blocks[0], act1), 1)
    out = layer(stack.conv_out, layer(stack.join, joined))
    planes, rows, columns = out.shape[1] // stack.factor**2, *out.shape[2:]
    cells = out.reshape(len(x), planes, stack.factor, stack.factor, rows, columns)
    return cells.permute(0, 1, 4, 2, 5, 3).reshape(len(x), planes, rows * stack.factor, columns * stack.factor)


@pytest.mark.parametrize("factor", [2, 4])
def test_values_are_those_of_the_published_operations(factor: int) -> None:
    net = network()
    x = torch.rand(2, 3, 9, 7)
    none = torch.zeros(2)
    found = net(x, factor, none, none)
    expected = published(net.stack(factor), x.double())
    assert found.shape == (2, 3, 9 * factor, 7 * factor)
    torch.testing.assert_close(found.double(), expected, atol=5e-5, rtol=1e-4)


def test_the_conditions_and_the_reach() -> None:
    """Noise and block means count, one pixel only within the receptive field."""
    net = network()
    assert net.reach == 3 * BLOCKS + 5
    none, x = torch.zeros(1), torch.rand(1, 3, 41, 41)
    plain = net(x, 2, none, none)
    assert (net(x, 2, none + 0.02, none) != plain).any()
    assert (net(x, 2, none, none + 1) != plain).any()
    x[..., 20, 20] += 1
    changed = (net(x, 2, none, none) != plain).any(1)[0].nonzero()
    low, high = changed.min() // 2, changed.max() // 2
    seen = net.reach - 2  # the filter is only for block means
    assert 20 - seen <= low < 20 - seen + 3
    assert 20 + seen - 3 < high <= 20 + seen


def packed(stack: Stack, tag: int) -> bytes:
    """Write random weights of the published layers as ncnn does."""
    random = np.random.default_rng(0)
    data = struct.pack("<3f", 0.4488, 0.4371, 0.4040)
    layers = (module for module in stack.modules() if isinstance(module, torch.nn.Conv2d))
    for module in (module for module in layers if module is not stack.filter):
        outputs, inputs, *size = module.weight.shape
        filters = random.standard_normal((outputs, inputs, *size))
        half = filters.astype("<f2").tobytes()
        data += struct.pack("<I", tag) + half + bytes(-len(half) % 4)
        data += random.standard_normal(outputs).astype("<f4").tobytes()
    return data


def test_files_of_ncnn_are_read() -> None:
    stack = Stack(3, 2, 2)  # filters of odd numbers of bytes to pad
    install(stack, packed(stack, 0x01306B47))
    random = np.random.default_rng(0)
    first = random.standard_normal((3, 3, 3, 3)).astype("<f2").astype(np.float32)
    assert (stack.conv_in.weight.detach().numpy() == first).all()
    assert (stack.conv_in.bias.detach().numpy() == random.standard_normal(3).astype(np.float32)).all()
    with pytest.raises(ValueError, match="another layout"):
        install(stack, packed(stack, 0))
