"""Damage detection in scans: a U-Net (Ronneberger et al. 2015) on the maps of a frozen image encoder.

Scratches are details of single pixels, but telling a scratch from a wire needs the content of the picture. The
network's own path, from the full resolution to an eighth, preserves the pixels. The encoder, pretrained on
classification, provides the content. The decoder joins both, from the coarsest map up, and shares features between
similar parts of the window (`_Regions`). Batch norms use stored statistics in evaluation.

A second training stage adds levels beside the first ones, which it keeps fixed. The second levels add the odds of other
kinds of damage, and reduce the odds of false positives such as fences, cords and twigs (the veto). A veto reduces log
odds no further than to `_VETO_FLOOR`, so that sensitivity 0.5 still marks the pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scoreinv.networks.blocks import BatchNorm, Layers, conv, convolved
from scoreinv.networks.encoder import FEATURES, FINE_FEATURES, STRIDES
from scoreinv.prior import Network
from scoreinv.system.options import Checked, Whole, require

STRIDE = STRIDES[-1]
"""Divisor of the sides of pictures."""

_LEVELS = 4
"""Number of levels of the network's own path: the full resolution and three halvings."""
_INITIAL_LOGIT = -3.0
"""Initial logit: few pixels are damaged."""
_INITIAL_VETO = -4.0
"""Initial logit of the veto: it hardly reduces any odds."""
_VETO_FLOOR = 2.9
"""Log odds below which the veto has no effect: a probability of just below 0.95, still marked at sensitivity 0.5."""


@dataclass(frozen=True)
class DetectorNetworkConfig(Checked):
    """Options of the network.

    Attributes:
        widths: channels at the full resolution, at a half, a fourth and an eighth of it.
        coarse_width: channels at a sixteenth of it.
        regions: number of soft regions that each level below the full resolution compares (`_Regions`); 0 for none.
        second: add a second copy of the levels above an eighth of the resolution, and train only this copy.
    """

    widths: Annotated[tuple[int, ...], Whole(1, 4096)] = (12, 24, 48, 64)
    coarse_width: Annotated[int, Whole(1, 4096)] = 96
    regions: Annotated[int, Whole(0, 4096)] = 0
    second: bool = False

    channels: ClassVar[int] = 3
    stride: ClassVar[int] = STRIDE

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.widths) == _LEVELS, f"widths must be {_LEVELS} numbers")

    def build(self) -> DetectorNetwork:
        return DetectorNetwork(self)


class DetectorNetwork(Network):
    """Logits of damage, (B, 1, H, W), of pictures (B, 3, H, W) in [0, 1] and their maps (`Encoder.all_maps`)."""

    exact = ("_Layer",)  # the filters are first folded with the statistics of the norms

    def __init__(self, config: DetectorNetworkConfig) -> None:
        super().__init__(config)
        full, half, fourth, eighth = widths = config.widths
        coarse = config.coarse_width
        encoder_half, encoder_fourth, encoder_eighth, encoder_coarse, encoder_coarsest = (*FINE_FEATURES, *FEATURES)
        self.into = nn.ModuleList([_Layer(3, full), *(_Layer(a, b, 3, 2) for a, b in pairwise(widths))])
        self.down = nn.ModuleList([nn.Identity(), _Layer(half, half), _Block(fourth), _Block(eighth)])
        self.coarsest = _Layer(encoder_coarsest, coarse, 1)
        self.coarse = nn.Sequential(_Layer(coarse + encoder_coarse, coarse, 1), _WideBlock(coarse), _WideBlock(coarse))
        self.joined: Layers[nn.ModuleList] = Layers(
            nn.ModuleList(pair)
            for pair in (
                (_Layer(half + full, full, 1), _Layer(full, full)),
                (_Layer(fourth + half + encoder_half, half, 1), _Block(half)),
                (_Layer(eighth + fourth + encoder_fourth, fourth, 1), _Block(fourth)),
                (_Layer(coarse + eighth + encoder_eighth, eighth, 1), _Block(eighth)),
            )
        )
        compared = [_Regions(width, config.regions) if config.regions else nn.Identity() for width in widths[1:]]
        self.compared = nn.ModuleList([nn.Identity(), *compared])
        self.out = conv(full, 1, 3)
        self.out.bias = nn.Parameter(torch.full((1,), _INITIAL_LOGIT))
        self.second = None
        if config.second:
            self.requires_grad_(False)
            self.second = _Second(DetectorNetwork(replace(config, second=False)))

    def forward(self, pictures: Tensor, maps: tuple[Tensor, ...]) -> Tensor:
        *finer, coarse, coarsest = maps
        pictures = (4 * pictures - 2).to(self.out.weight.dtype)
        h = self.coarse(torch.cat([_upsample(self.coarsest(coarsest)), coarse], dim=1))
        *levels, eighth = _levels(self, pictures, finer)
        h = _decoded(h, [eighth])
        logits: Tensor = self.out(_decoded(h, levels))
        if self.second is not None:
            other_kinds, veto = self.second.out(_decoded(h, _levels(self.second, pictures, finer[:-1]))).chunk(2, dim=1)
            logits, reduction = torch.logaddexp(logits, other_kinds), F.softplus(veto)
            if not self.training:
                reduction = torch.minimum(reduction, F.relu(logits - _VETO_FLOOR))
            logits = logits - reduction
        return logits


class _Second(nn.Module):
    """A second copy of the levels above an eighth of the resolution, which modifies all odds.

    With o the odds of damage by the first levels, a pixel has the odds (o + exp a) / (1 + exp v), where a and v, the
    veto, are the two channels of `out`. In evaluation the veto only reduces log odds above `_VETO_FLOOR`.
    """

    def __init__(self, network: DetectorNetwork) -> None:
        super().__init__()
        self.into, self.down = network.into[:-1], network.down[:-1]
        self.joined, self.compared = network.joined[:-1], network.compared[:-1]
        self.out = conv(network.config.widths[0], 2, 3)
        self.out.bias = nn.Parameter(torch.tensor([_INITIAL_LOGIT, _INITIAL_VETO]))


_Level = tuple[nn.ModuleList, nn.Module, Tensor]
"""The two layers that join a level's map with a coarser one, the module that compares regions, and the map."""


def _levels(network: DetectorNetwork | _Second, pictures: Tensor, maps: list[Tensor]) -> list[_Level]:
    """Return the levels of a network, finest first, with its own maps beside the encoder's."""
    own, h = [], pictures
    for into, down in zip(network.into, network.down, strict=True):
        h = down(into(h))
        own.append(h)
    both = [own[0], *(torch.cat(pair, dim=1) for pair in zip(own[1:], maps, strict=True))]
    return list(zip(network.joined, network.compared, both, strict=True))


def _decoded(h: Tensor, levels: list[_Level]) -> Tensor:
    """Return the map of the finest level, from a map coarser than all levels."""
    for (join, refine), compared, level_map in reversed(levels):
        h = compared(refine(join(level_map, h)))
    return h


class _Layer(nn.Module):
    """A convolution without bias, normalised and rectified.

    A norm with frozen statistics is folded into the filters, which saves time.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1, *, rectified: bool = True
    ) -> None:
        super().__init__()
        self.filter = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        # On the device `meta`, `kaiming_normal_` makes torch load its compiler for a second.
        nn.init.kaiming_uniform_(self.filter.weight, nonlinearity="relu")
        self.norm = BatchNorm(outputs)
        self.rectified = rectified

    def forward(self, x: Tensor, coarser: Tensor | None = None) -> Tensor:
        """Apply the layer to x, or to the channels of a coarser map, upsampled by two, followed by those of x.

        With a coarser map the convolution is pointwise. It is applied to that map before the upsampling, which saves
        three quarters of the work.
        """
        weight: Tensor = self.filter.weight
        bias: Tensor | None = None
        if not self.norm.training:
            weight, bias = self.norm.folded_into(weight)
        if coarser is None:
            h = convolved(self.filter, x, weight, bias)
        else:
            of_coarser, of_x = weight.split((coarser.shape[1], x.shape[1]), dim=1)
            h = _upsample(convolved(self.filter, coarser, of_coarser, None)) + convolved(self.filter, x, of_x, bias)
        if self.norm.training:
            h = self.norm(h)
        return F.relu(h, inplace=True) if self.rectified else h


class _Block(nn.Module):
    """Two convolutions, residual (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Layer(channels, channels)
        self.second = _Layer(channels, channels, rectified=False)
        nn.init.constant_(self.second.norm.weight, 0.2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)), inplace=True)


class _WideBlock(nn.Module):
    """A filter of 5x5 channel by channel and a pointwise convolution, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.filter = _Layer(channels, channels, 5, groups=channels)
        self.mix = _Layer(channels, channels, 1, rectified=False)
        nn.init.constant_(self.mix.norm.weight, 0.2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.mix(self.filter(x)), inplace=True)


class _Regions(nn.Module):
    """Attention between each position and soft regions of similar parts of the window, residual.

    One kind of damage looks similar all over a scan, so clear scratches of a colour and width are evidence for others.
    Object-contextual representations (Yuan, Chen and Wang 2020, section 3.2): with features h_i (C,) at position i, the
    region k has the mean f_k = sum_i m_ki h_i, where m_k is the softmax over positions of a_k . h_i. Each position gets
    sum_k w_ik v(f_k), where w_i is the softmax over regions of q(h_i) . k(f_k) / sqrt(C).
    """

    def __init__(self, channels: int, regions: int) -> None:
        super().__init__()
        self.parts = nn.Linear(channels, regions)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.mix = _Layer(channels, channels, 1, rectified=False)
        nn.init.zeros_(self.mix.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        each = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H W, C), the order of channels-last memory
        shares = self.parts(each).softmax(dim=1)
        means = shares.mT @ each
        query = self.query(each)
        weights = (query @ self.key(means).mT * each.shape[2] ** -0.5).softmax(dim=2)
        context = (weights @ self.value(means)).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return F.relu(x + self.mix(context), inplace=True)


def _upsample(h: Tensor) -> Tensor:
    return F.interpolate(h, scale_factor=2)  # smoothed by the following convolutions
