"""Where a scan of a photograph is damaged: a U-Net (Ronneberger et al. 2015) on the maps of a frozen image encoder.

A scratch is a matter of single pixels, and whether a bright line is a scratch or a wire, one of what the picture shows.
A path of its own keeps the pixels: it goes from the full resolution to an eighth of it. The encoder, which was trained
to name what photographs show, says the rest. The decoder joins both, from the coarsest map up, and tells each position
what the parts of the window that look alike have in common. Batch norms see no picture at all when it works.

What it learns later it learns in levels of their own, beside those that it has: they add odds of damage of other kinds,
and veto what is sure and is no damage: fences, cords and twigs. Nothing is forgotten: what a veto leaves is unsure.
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
from scoreinv.system.options import Whole, check_settings, require

STRIDE = STRIDES[-1]
"""Sides of what the network is shown are multiples of it."""

_LEVELS = 4
"""Of the path of its own: the full resolution and three halvings."""
_USUAL = -3.0
"""Logit that training starts from: few pixels are damaged."""
_SELDOM = -4.0
"""What the veto starts from: it takes away hardly any odds."""
_UNSURE = 2.9
"""Log odds down to which the veto takes what is surer: marked at the usual sensitivity, and not where 0.95 is asked."""


@dataclass(frozen=True)
class DetectorNetworkConfig:
    """Options of the network.

    Attributes:
        widths: channels at the full resolution, at a half, a fourth and an eighth of it.
        coarse_width: channels below that.
        regions: soft regions that each level below the full resolution compares (`_Regions`); 0 for none.
        second: the levels above an eighth of the resolution are there a second time, and those alone are trained.
    """

    widths: Annotated[tuple[int, ...], Whole(1, 4096)] = (12, 24, 48, 64)
    coarse_width: Annotated[int, Whole(1, 4096)] = 96
    regions: Annotated[int, Whole(0, 4096)] = 0
    second: bool = False

    channels: ClassVar[int] = 3
    stride: ClassVar[int] = STRIDE

    def __post_init__(self) -> None:
        require(len(self.widths) == _LEVELS, f"widths must be {_LEVELS} numbers")
        check_settings(self)

    def build(self) -> DetectorNetwork:
        return DetectorNetwork(self)


class DetectorNetwork(Network):
    """Logits of damage, (B, 1, H, W), of pictures (B, 3, H, W) in [0, 1] and their maps (`Encoder.all_maps`)."""

    def __init__(self, config: DetectorNetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.stride = config.stride
        full, half, fourth, eighth = widths = config.widths
        coarse = config.coarse_width
        seen_half, seen_fourth, seen_eighth, seen_coarse, seen_coarsest = (*FINE_FEATURES, *FEATURES)
        self.into = nn.ModuleList([_Layer(3, full), *(_Layer(a, b, 3, 2) for a, b in pairwise(widths))])
        self.down = nn.ModuleList([nn.Identity(), _Layer(half, half), _Block(fourth), _Block(eighth)])
        self.coarsest = _Layer(seen_coarsest, coarse, 1)
        self.coarse = nn.Sequential(_Layer(coarse + seen_coarse, coarse, 1), _WideBlock(coarse), _WideBlock(coarse))
        self.joined: Layers[nn.ModuleList] = Layers(
            nn.ModuleList(pair)
            for pair in (
                (_Join(half, full, full), _Layer(full, full)),
                (_Join(fourth, half + seen_half, half), _Block(half)),
                (_Join(eighth, fourth + seen_fourth, fourth), _Block(fourth)),
                (_Join(coarse, eighth + seen_eighth, eighth), _Block(eighth)),
            )
        )
        compared = [_Regions(width, config.regions) if config.regions else nn.Identity() for width in widths[1:]]
        self.compared = nn.ModuleList([nn.Identity(), *compared])
        self.out = conv(full, 1, 3)
        self.out.bias = nn.Parameter(torch.full((1,), _USUAL))
        self.second = None
        if config.second:
            self.requires_grad_(False)
            self.second = _Second(DetectorNetwork(replace(config, second=False)))

    def forward(self, pictures: Tensor, maps: tuple[Tensor, ...]) -> Tensor:
        *finer, coarse, coarsest = maps
        pictures = (4 * pictures - 2).to(self.out.weight.dtype)
        h = self.coarse(torch.cat([_doubled(self.coarsest(coarsest)), coarse], dim=1))
        *levels, eighth = _levels(self, pictures, finer)
        h = _decoded(h, [eighth])
        logits: Tensor = self.out(_decoded(h, levels))
        if self.second is not None:
            others, veto = self.second.out(_decoded(h, _levels(self.second, pictures, finer[:-1]))).chunk(2, dim=1)
            logits, taken = torch.logaddexp(logits, others), F.softplus(veto)
            if not self.training:
                taken = torch.minimum(taken, F.relu(logits - _UNSURE))
            logits = logits - taken
        return logits

    def exact_parts(self) -> list[nn.Module]:
        """The layers with norms, whose filters are folded with their statistics first."""
        return [module for module in self.modules() if isinstance(module, _Layer)]


class _Second(nn.Module):
    """The levels of a network above an eighth of the resolution, which have a say in all odds.

    With o the odds of damage by the first levels, a pixel has the odds (o + exp a) / (1 + exp v): a and v, the veto,
    are the two channels of `out`. When the network works the veto takes no more than what is beyond `_UNSURE`.
    """

    def __init__(self, network: DetectorNetwork) -> None:
        super().__init__()
        self.into, self.down = network.into[:-1], network.down[:-1]
        self.joined, self.compared = network.joined[:-1], network.compared[:-1]
        self.out = conv(network.config.widths[0], 2, 3)
        self.out.bias = nn.Parameter(torch.tensor([_USUAL, _SELDOM]))


_Level = tuple[nn.ModuleList, nn.Module, Tensor]
"""What joins a coarser map with those of a level and goes on, what compares its regions, and its maps."""


def _levels(network: DetectorNetwork | _Second, pictures: Tensor, maps: list[Tensor]) -> list[_Level]:
    """The levels of a network from the finest on, with its own maps of the pictures beside the encoder's."""
    own, h = [], pictures
    for into, down in zip(network.into, network.down, strict=True):
        h = down(into(h))
        own.append(h)
    both = [own[0], *(torch.cat(pair, dim=1) for pair in zip(own[1:], maps, strict=True))]
    return list(zip(network.joined, network.compared, both, strict=True))


def _decoded(h: Tensor, levels: list[_Level]) -> Tensor:
    """The map at the finest of the levels, from one coarser than all of them."""
    for (join, after), compared, at_size in reversed(levels):
        h = compared(after(join(h, at_size)))
    return h


class _Layer(nn.Module):
    """A convolution without bias, normalised and rectified.

    A norm that keeps its statistics is a factor and a constant: they go into the filters, which saves time.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int = 3, stride: int = 1, groups: int = 1, *, rectified: bool = True
    ) -> None:
        super().__init__()
        self.filter = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        # `kaiming_normal_` on the device `meta` makes torch load its compiler, which takes a second.
        nn.init.kaiming_uniform_(self.filter.weight, nonlinearity="relu")
        self.norm = BatchNorm(outputs)
        self.rectified = rectified

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.filters()
        return self.finished(convolved(self.filter, x, weight, bias))

    def filters(self) -> tuple[Tensor, Tensor | None]:
        """Weights and bias of the convolution."""
        weight = self.filter.weight
        return (weight, None) if self.norm.training else self.norm.folded_into(weight)

    def finished(self, h: Tensor) -> Tensor:
        """What becomes of the convolution's result."""
        if self.norm.training:
            h = self.norm(h)
        return F.relu(h, inplace=True) if self.rectified else h


class _Join(_Layer):
    """A pointwise layer of a coarser map, doubled, and one of its own size.

    What is pointwise may come before the doubling, when there is a quarter of the positions.
    """

    def __init__(self, coarser: int, own: int, outputs: int) -> None:
        super().__init__(coarser + own, outputs, 1)
        self.coarser = coarser

    def forward(self, coarser: Tensor, own: Tensor) -> Tensor:  # type: ignore[override]  # a layer of two maps
        weight, bias = self.filters()
        of_coarser, of_own = weight[:, : self.coarser], weight[:, self.coarser :]
        return self.finished(
            _doubled(convolved(self.filter, coarser, of_coarser, None)) + convolved(self.filter, own, of_own, bias)
        )


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
    """What parts of the window that look alike have in common, told to each position, residual.

    Damage of a kind looks alike all over a scan: from the scratches that are sure of a colour and a width follow others
    that are not. Object-contextual representations (Yuan, Chen and Wang 2020, section 3.2): with h_i (C,) the features
    at position i, the regions k have the means f_k = sum_i m_ki h_i, m_k the softmax over the positions of a_k . h_i,
    and each position is told sum_k w_ik v(f_k), w_i the softmax over the regions of q(h_i) . k(f_k) / sqrt(C).
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
        each = x.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H W, C), as channels-last memory has it
        shares = self.parts(each).softmax(dim=1)
        means = shares.mT @ each
        asked = self.query(each)
        weights = (asked @ self.key(means).mT * each.shape[2] ** -0.5).softmax(dim=2)
        told = (weights @ self.value(means)).unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)
        return F.relu(x + self.mix(told), inplace=True)


def _doubled(h: Tensor) -> Tensor:
    return F.interpolate(h, scale_factor=2)  # the convolutions that follow smooth it
