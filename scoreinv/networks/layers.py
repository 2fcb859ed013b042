"""Layers shared by the networks, with the initialisation of DDPM."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Generic, Self, TypeVar, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.checks import require
from scoreinv.networks.normalization import normalise

Layer = TypeVar("Layer", bound=nn.Module)


class Layers(nn.ModuleList, Generic[Layer]):
    """A `ModuleList` whose layers have a type that type checkers know."""

    if TYPE_CHECKING:

        def __init__(self, modules: Iterable[Layer] = ()) -> None: ...

        def __iter__(self) -> Iterator[Layer]: ...

        @overload
        def __getitem__(self, idx: slice) -> Self: ...

        @overload
        def __getitem__(self, idx: int) -> Layer: ...

        def __getitem__(self, idx: int | slice) -> Layer | Self: ...


def channels_last(network: Layer) -> Layer:
    """The network, its filters put into the memory layout that convolutions want."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's hints lack it


def inner_dtype(x: Tensor, inner: nn.Conv2d) -> torch.dtype:
    """What the layers between the exact ones compute in: what autocasting says, or else the dtype of their weights."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inner.weight.dtype


def initialise(layer: nn.Conv2d | nn.Linear, scale: float = 1.0) -> None:
    """Uniform weights of variance scale / fan_avg (Glorot & Bengio 2010; Ho et al. 2020), zero bias.

    A scale of 0 means 1e-10, as in the paper: the layer starts as all but zero.
    """
    weight = layer.weight
    receptive = weight[0, 0].numel()
    fan_average = receptive * (weight.shape[0] + weight.shape[1]) / 2
    bound = math.sqrt(3 * (scale or 1e-10) / fan_average)
    nn.init.uniform_(weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def convolved(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (B, C, H, W) convolved as by a layer, with a weight and bias in place of its own.

    Filters of single channels that are learnt on a CPU under autocasting are applied in float32: in bfloat16 their
    gradient, which takes most of such a layer's time, takes three to five times as long.
    """
    learnt = layer.groups > 1 and weight.requires_grad and torch.is_grad_enabled()
    if not (learnt and x.device.type == "cpu" and torch.is_autocast_enabled("cpu")):
        return F.conv2d(x, weight, bias, layer.stride, layer.padding, groups=layer.groups)
    with torch.autocast("cpu", enabled=False):
        h = F.conv2d(x.float(), weight, bias, layer.stride, layer.padding, groups=layer.groups)
    return h.to(torch.get_autocast_dtype("cpu"))


def conv(inputs: int, outputs: int, size: int, scale: float = 1.0) -> nn.Conv2d:
    """A size x size convolution that keeps the picture's size."""
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    initialise(layer, scale)
    return layer


def linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    initialise(layer)
    return layer


def group_norm(channels: int, channels_per_group: int) -> nn.GroupNorm:
    """At most 32 equal groups of at least `channels_per_group` channels."""
    most = min(channels // channels_per_group, 32)
    require(most > 0, f"{channels} channels do not make a group of {channels_per_group}")
    groups = next(count for count in range(most, 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels, eps=1e-6)


_NORM_EPSILON = 1e-5
"""Added to a batch norm's variance."""


class BatchNorm(nn.Module):
    """nn.BatchNorm2d without its counter: an integer, unused, which a moving average of the buffers stumbles over."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, eps=_NORM_EPSILON
        )

    def folded_into(self, filters: Tensor) -> tuple[Tensor, Tensor]:
        """Filters (C, ...) and bias (C,) of the convolution that it makes with one before it, by its statistics."""
        factor = self.weight * (self.running_var + _NORM_EPSILON).rsqrt()
        return filters * factor.unflatten(0, (-1, *[1] * (filters.ndim - 1))), self.bias - self.running_mean * factor


def norms_learn(network: nn.Module) -> bool:
    """Whether there are batch norms that normalise by the batch at hand."""
    return any(isinstance(module, BatchNorm) and module.training for module in network.modules())


def freeze_norms(network: nn.Module) -> int:
    """Have batch norms keep and use the statistics that they have, until `network.train()`; returns how many it has."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.eval()
    return len(norms)


class Attention(nn.Module):
    """Self-attention over positions, residual (Song et al. 2021, appendix H; Ho et al. 2020: one head)."""

    def __init__(self, channels: int, norm: nn.GroupNorm, init_scale: float, rescale: float, heads: int = 1) -> None:
        super().__init__()
        require(channels % heads == 0, f"{channels} channels do not make {heads} attention heads")
        self.heads = heads
        self.norm = norm
        self.query = conv(channels, channels, 1, 0.1)
        self.key = conv(channels, channels, 1, 0.1)
        self.value = conv(channels, channels, 1, 0.1)
        self.output = conv(channels, channels, 1, init_scale)
        self.rescale = rescale

    def forward(self, x: Tensor) -> Tensor:
        h = normalise(self.norm, x)
        query, key, value = (self._split(layer(h)) for layer in (self.query, self.key, self.value))
        if torch.is_grad_enabled():
            # The fused kernel of the CPU has no second derivative, which guided likelihoods need.
            weights = (query @ key.transpose(2, 3) * query.shape[3] ** -0.5).softmax(dim=-1)
            h = weights @ value
        else:
            h = F.scaled_dot_product_attention(query, key, value)
        h = h.transpose(2, 3).reshape(x.shape)
        return (x + self.output(h)) * self.rescale

    def _split(self, h: Tensor) -> Tensor:
        """(B, C, H, W) to (B, heads, H W, C / heads)."""
        return h.unflatten(1, (self.heads, -1)).flatten(3).transpose(2, 3)
