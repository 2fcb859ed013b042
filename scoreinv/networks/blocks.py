"""Building blocks of networks: layers with DDPM's initialisation, normalisation, attention, noise embeddings.

Small maps in bfloat16 are normalised in float32. On a CPU with channels-last tensors, the layout of convolutions,
torch's kernel for bfloat16 takes two to four times as long on maps below 1024 pixels as the one for float32 with both
conversions ((3, 96, 14, 14): 0.39 and 0.10 ms).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.system.options import require

Layer = TypeVar("Layer", bound=nn.Module)


class Layers(nn.ModuleList, Generic[Layer]):
    """A `ModuleList` with a layer type for type checkers."""

    if TYPE_CHECKING:

        def __init__(self, modules: Iterable[Layer] = ()) -> None: ...

        def __iter__(self) -> Iterator[Layer]: ...

        def __getitem__(self, idx: Any) -> Any: ...


def channels_last(network: Layer) -> Layer:
    """Put a network's filters into the channels-last layout, and return it."""
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's hints lack it


def inner_dtype(x: Tensor, inner: nn.Conv2d) -> torch.dtype:
    """Return the dtype of the inner layers: autocast's, or else that of their weights."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else inner.weight.dtype


Weighted = TypeVar("Weighted", nn.Conv2d, nn.Linear)


def initialised(layer: Weighted, scale: float = 1.0) -> Weighted:
    """Initialise with uniform weights of variance scale / fan_avg and zero bias (Glorot & Bengio 2010; Ho et al. 2020).

    A scale of 0 means 1e-10, as in the paper: the layer is close to zero at first.
    """
    weight = layer.weight
    receptive = weight[0, 0].numel()
    fan_average = receptive * (weight.shape[0] + weight.shape[1]) / 2
    bound = math.sqrt(3 * (scale or 1e-10) / fan_average)
    nn.init.uniform_(weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def convolved(layer: nn.Conv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve x (B, C, H, W) like a layer, with another weight and bias.

    Depthwise filters that are trained on a CPU with autocasting are applied in float32: in bfloat16 their gradient,
    most of the layer's time, takes three to five times as long.
    """
    learnt = layer.groups > 1 and weight.requires_grad and torch.is_grad_enabled()
    autocast = torch.is_autocast_enabled(x.device.type)
    if not (learnt and x.device.type == "cpu" and autocast):
        if not autocast:
            weight, bias = weight.to(x.dtype), None if bias is None else bias.to(x.dtype)
        return F.conv2d(x, weight, bias, layer.stride, layer.padding, groups=layer.groups)
    with torch.autocast("cpu", enabled=False):
        h = F.conv2d(x.float(), weight, bias, layer.stride, layer.padding, groups=layer.groups)
    return h.to(torch.get_autocast_dtype("cpu"))


def conv(inputs: int, outputs: int, size: int, scale: float = 1.0, stride: int = 1) -> nn.Conv2d:
    """Return a size x size convolution that keeps the picture's size, divided by the stride."""
    return initialised(nn.Conv2d(inputs, outputs, size, stride, size // 2), scale)


def group_norm(channels: int, channels_per_group: int) -> nn.GroupNorm:
    """Return a normalisation with at most 32 equal groups of at least `channels_per_group` channels."""
    most = min(channels // channels_per_group, 32)
    require(most > 0, f"{channels} channels do not make a group of {channels_per_group}")
    groups = next(count for count in range(most, 0, -1) if channels % count == 0)
    return nn.GroupNorm(groups, channels, eps=1e-6)


_NORM_EPSILON = 1e-5  # added to a batch norm's variance


class BatchNorm(nn.Module):
    """nn.BatchNorm2d without its integer counter, which is unused and cannot be averaged with the other buffers."""

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
        """Return filters (C, ...) and bias (C,) that combine a preceding convolution with this norm's statistics."""
        factor = self.weight * (self.running_var + _NORM_EPSILON).rsqrt()
        return filters * factor.unflatten(0, (-1, *[1] * (filters.ndim - 1))), self.bias - self.running_mean * factor


def freeze_norms(network: nn.Module) -> int:
    """Freeze the statistics of batch norms until `network.train()`; return the number of norms."""
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
        query, key, value = (  # (B, heads, H W, C / heads)
            layer(h).unflatten(1, (self.heads, -1)).flatten(3).transpose(2, 3)
            for layer in (self.query, self.key, self.value)
        )
        if torch.is_grad_enabled():
            # The fused kernel of the CPU has no second derivative, which guided likelihoods need.
            weights = (query @ key.transpose(2, 3) * query.shape[3] ** -0.5).softmax(dim=-1)
            h = weights @ value
        else:
            h = F.scaled_dot_product_attention(query, key, value)
        h = h.transpose(2, 3).reshape(x.shape)
        return (x + self.output(h)) * self.rescale


_SMALL = 1024  # pixels of a map below which torch's bfloat16 kernel is slow


def normalise(norm: nn.GroupNorm, x: Tensor) -> Tensor:
    """Return norm(x) for x of shape (B, C, H, W)."""
    slow = x.device.type == "cpu" and x.dtype == torch.bfloat16 and x[0, 0].numel() < _SMALL
    if slow and x.is_contiguous(memory_format=torch.channels_last):
        return F.group_norm(x.float(), norm.num_groups, norm.weight.float(), norm.bias.float(), norm.eps).to(x.dtype)
    return norm(x)


def norm_activate(norm: nn.GroupNorm, activation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return activation(norm(x)) for x of shape (B, C, H, W)."""
    h = normalise(norm, x)
    if activation is F.silu:
        return F.silu(h, inplace=not torch.is_grad_enabled())  # a new tensor costs more than the arithmetic
    return activation(h)


def _phases(label: Tensor, frequencies: Tensor) -> Tensor:
    """Return label x frequencies, in float64 if the device has it: phases reach thousands of radians."""
    dtype = torch.float32 if frequencies.device.type == "mps" else torch.float64
    return label.to(frequencies.device, dtype)[:, None] * frequencies.to(dtype)[None, :]


class FourierEmbedding(nn.Module):
    """Random Fourier features of the log noise level: sin, cos(2 pi w ln s), w ~ N(0, scale^2) frozen.

    (Tancik et al. 2020; Song et al. 2021, section 4.1.) Labels (B,) > 0 to (B, 2 width).
    """

    frequencies: Tensor

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.features = 2 * width
        frequencies = torch.empty(width)
        if not frequencies.is_meta:  # on `meta`, torch would load modules for half a second to draw nothing
            frequencies.normal_(std=scale)
        self.register_buffer("frequencies", frequencies)

    def forward(self, label: Tensor) -> Tensor:
        phases = _phases(label.log(), self.frequencies) * (2 * math.pi)
        return torch.cat([phases.sin(), phases.cos()], dim=1).to(torch.get_default_dtype())


class PositionalEmbedding(nn.Module):
    """Transformer features of the time index: sin, cos(label 10000^(-k/(width/2 - 1))) (Vaswani et al. 2017; DDPM).

    Labels (B,) to (B, width); an odd width is padded with a zero. The frequencies are a constant on the CPU (see
    `Network`).
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = width
        half = width // 2
        exponents = torch.arange(half, dtype=torch.float64, device="cpu") / max(half - 1, 1)
        self.register_buffer("frequencies", (-math.log(10000) * exponents).exp().float(), persistent=False)

    def forward(self, label: Tensor) -> Tensor:
        phases = _phases(label, self.frequencies)
        features = torch.cat([phases.sin(), phases.cos()], dim=1)
        if self.features % 2:
            features = nn.functional.pad(features, (0, 1))
        return features.to(torch.get_default_dtype())
