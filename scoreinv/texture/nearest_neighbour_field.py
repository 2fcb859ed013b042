"""Where each pixel of a hole is taken from: a nearest-neighbour field, drawn by Gibbs sampling.

A hole that is filled with pieces of the picture I itself is x(p) = I(p + d(p)) at its pixels p, and x = I elsewhere.
Each piece should go on around its pixel as the fill does: the field's distribution, given the known pixels, is

    p(d | I) proportional to exp(-E(d) / (2 tau^2) - sum_p ((d_down(p) - c) / reach)^2 / 2),
    E(d) = sum_p sum_o |x(p + o) - I(p + d(p) + o)|^2,

over the pixels p of the hole and the offsets o of a patch around them. E is 0 inside of a piece and counts its seams.
These cost least between flat pieces, and much of a picture is flat where it is far above or below, out of focus: so
pieces come from about their own height, as those of `PatchPrior` do, from c further down.
It sums pairs of pixels, so all but one displacement fixed, the cost of taking p from c is

    E_p(c) = sum_o |x(p + o) - I(c + o)|^2 + sum_o |I(c) - I(p + o + d(p + o) - o)|^2,

the second sum over those p + o that are in the hole. Pixels further apart than a patch reaches do not see each other
and are drawn at once: a sweep is Gibbs sampling by colours of a lattice. What it approximates: c is drawn among a few
candidates, what the neighbours' pieces would put there (as PatchMatch propagates, Barnes et al. 2009) and places around
its own (random search), not among all of the picture; and few sweeps are made.

Patches are compared in whole grey levels (`grey_levels`): their sums are exact in float32, in whatever order they are
added, so that what is drawn hangs neither on the number of threads nor on the processor.

The values are copied, not averaged. What the pieces at a hole's rim miss of the known pixels beside them, and by how
much they differ in light where they meet, is evened out by a smooth correction (`poisson`): gradients stay those of the
pieces, and neither rim nor seams show.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.conditional.initial_estimate import smooth_estimate
from scoreinv.system.errors import InputError
from scoreinv.texture.poisson import poisson_correction

GREY_LEVEL = 1 / 127.5  # of a picture on [-1, 1] with 8 bits
TOLERANCE = 0.04  # tau, of colours on [-1, 1]: five grey levels
_REACH = 3  # pixels of a patch on each side of the one in its middle
_SEARCHED = (16, 5, 1)  # pixels around its own source from which a candidate each is drawn
_SHADE = 0.1
"""Difference at the rim, on [-1, 1], that is one of light and so goes on through the hole; what is above is one of
things, and fades."""
_FADING = 4.0  # pixels in which it fades to a third
_LIGHT = 0.3  # difference in light between two pieces, on [-1, 1], that is evened out at most
_PIXELS_AT_ONCE = 1 << 11  # whose patches are compared together, with a dozen others each


def grey_levels(values: Tensor) -> Tensor:
    """Values on [-1, 1] in whole grey levels, from -128: those of 8 bits, and means of them, are far from rounding."""
    return (values / GREY_LEVEL - 1 / 6).round()


def of_channels(deviation: float, channels: int) -> float:
    """A deviation of three channels in a picture of 3, or of 1 that is the mean of three alike, and weighs as much."""
    return deviation * math.sqrt(channels / 3)


class NearestNeighbourField:
    """One picture with a hole, and the displacements to the places that its pixels are taken from.

    Args:
        picture: (C, H, W) on [-1, 1], of 3 channels or 1 (`of_channels`); not looked at where not observed.
        observed: (1, H, W), 0 or 1.
        start: (2, H, W) int64, pixels down and across; looked at in the hole alone.
        sources: (1, H, W), 0 or 1: what of the observed may be copied; None for all of it.
        below, reach: c and reach, in pixels; by default from anywhere.

    Raises InputError for a picture without a hole, and where `start` leads to a pixel around which the patch may not be
    copied as a whole.
    """

    def __init__(
        self,
        picture: Tensor,
        observed: Tensor,
        start: Tensor,
        sources: Tensor | None = None,
        below: float = 0.0,
        reach: float = math.inf,
    ) -> None:
        borders = (_REACH,) * 4
        self._below, self._height_reach = below, reach
        self._height, self._width = observed.shape[-2:]
        self._row = self._width + 2 * _REACH
        self._observed = observed
        self._precision = GREY_LEVEL**2 / (2 * of_channels(TOLERANCE, len(picture)) ** 2)
        # Pixels of the picture with its border are numbered row by row, in 32 bits, by which they are looked up faster.
        self._known = F.pad(torch.where(observed > 0, picture, 0.0), borders).flatten(1)
        self._levels = grey_levels(self._known)
        self._inside = F.pad(torch.ones_like(observed), borders).flatten()
        copied = observed if sources is None else sources
        whole = F.max_pool2d(1 - F.pad(copied, borders), 2 * _REACH + 1, 1) == 0
        self._usable = F.pad(whole, borders).flatten()
        hole = F.pad(observed == 0, borders)[0]
        self._at = hole.nonzero().T.int()
        self._pixels = self._at[0] * self._row + self._at[1]
        if not len(self._pixels):
            raise InputError("the picture has no hole")
        self._source = torch.full_like(self._usable, -1, dtype=torch.int32)
        taken = self._legal(*(self._at + start[:, self._at[0] - _REACH, self._at[1] - _REACH].int()))
        if (taken < 0).any():
            raise InputError("a displacement leads out of what may be copied of the picture")
        self._filled = self._levels.clone()
        self._take(self._pixels, taken)
        along = torch.arange(-_REACH, _REACH + 1, device=observed.device, dtype=torch.int32)
        down, across = torch.meshgrid(along, along, indexing="ij")
        other = (down != 0) | (across != 0)
        self._offsets = (down * self._row + across)[other]
        self._touching = torch.maximum(down.abs(), across.abs())[other] == 1  # the eight neighbours

    @property
    def displacements(self) -> Tensor:
        """From each pixel of the hole to where it is taken from, (2, H, W) int64; 0 outside of the hole."""
        displacements = self._at.new_zeros(2, self._height, self._width, dtype=torch.int64)
        source = self._source[self._pixels]
        moved = torch.stack([source // self._row, source % self._row]) - self._at
        displacements[:, self._at[0] - _REACH, self._at[1] - _REACH] = moved.long()
        return displacements

    @property
    def energy(self) -> float:
        """E of the field."""
        return float(self._own_differences().double().sum()) * GREY_LEVEL**2

    def sweep(self, generator: torch.Generator) -> None:
        """Draw the displacement of each pixel anew, given those of the others; `generator` is of the CPU."""
        apart = _REACH + 1
        colours = self._at[0] % apart * apart + self._at[1] % apart
        for colour in torch.randperm(apart**2, generator=generator).tolist():
            self._draw(self._pixels[colours == colour], generator)

    def take_likelier(self, other: NearestNeighbourField) -> None:
        """Take the displacements of `other`, of the same picture, in each hole where E is lower with them.

        Holes further apart than a patch reaches do not see each other: E is a sum over them, and each decides by
        itself.
        """
        from scipy import ndimage  # slow to import, and needed by these fills alone

        hole = (self._observed[0] == 0).cpu().numpy()
        near = ndimage.binary_dilation(hole, np.ones((_REACH, _REACH)))
        holes = torch.from_numpy(ndimage.label(near, np.ones((3, 3)))[0][hole]).to(self._pixels)
        gained = self._pixels.new_zeros(int(holes.max()) + 1, dtype=torch.int64)
        for field, sign in ((self, 1), (other, -1)):
            gained.index_add_(0, holes, sign * field._own_differences().long())
        pixels = self._pixels[gained[holes] > 0]
        self._take(pixels, other._source[pixels])

    def fill(self) -> Tensor:
        """The picture (C, H, W) with its known pixels; the pieces meet each other and these without steps of light."""
        from scipy import ndimage  # slow to import, and needed by these fills alone

        top, left = (self._at.amin(1) - 1).tolist()
        bottom, right = (self._at.amax(1) + 2).tolist()
        missed, rim, source, inside = (
            self._picture(values)[:, top:bottom, left:right]
            for values in (*self._missed(), self._source[None], self._inside[None])
        )
        shade = missed.clamp(-_SHADE, _SHADE)
        even, fading = smooth_estimate(torch.stack([shade, missed - shade]), rim[None]).mean
        source = source[0]
        light = F.avg_pool2d(self._picture(self._known), 2 * _REACH + 1, 1, _REACH).flatten(1)
        down = self._evening(light, source[:-1], source[1:], self._row)
        across = self._evening(light, source[:, :-1], source[:, 1:], 1)
        told = torch.cat([shade * rim, rim])
        beside = torch.stack([told.roll(step, axis) for axis in (1, 2) for step in (-1, 1)]).sum(0)
        even = poisson_correction(even, source >= 0, down, across, beside[:-1], beside[-1])
        # Beyond the picture's border nothing is known that a fill would have to meet.
        unknown = (source >= 0) | (inside[0] == 0)
        away = torch.from_numpy(ndimage.distance_transform_edt(unknown.cpu().numpy())).to(even)
        colours = self._known.clone()
        colours[:, self._pixels] = self._known[:, self._source[self._pixels]]
        filled = self._picture(colours)
        filled[:, top:bottom, left:right] += even + fading * torch.exp(-away / _FADING)
        inner = (slice(None), slice(_REACH, -_REACH), slice(_REACH, -_REACH))
        return torch.where(self._observed > 0, self._picture(self._known)[inner], filled[inner])

    def _picture(self, values: Tensor) -> Tensor:
        """Values (C, N) of the pixels as a picture with its border, (C, H, W)."""
        return values.view(-1, self._height + 2 * _REACH, self._row)

    def _evening(self, light: Tensor, here: Tensor, there: Tensor, step: int) -> Tensor:
        """The changes between pixels taken from `here` and, so many numbers on, from `there` that make light go on.

        light: (C, N), the means of the patches around the pixels. here, there: (h, w); looked at where neither is
        negative. Returns (C, h, w): differences of those patches that may be copied, 0 where none are.
        """
        here, there = here.clamp_min(0), there.clamp_min(step)
        change, count = light.new_zeros(len(light), *here.shape), light.new_zeros(here.shape)
        for one, other in ((here, there - step), (here + step, there)):
            whole = self._usable[one] & self._usable[other]
            change += whole * (light[:, other] - light[:, one])
            count += whole
        return (change / count.clamp_min(1)).clamp(-_LIGHT, _LIGHT)

    def _draw(self, pixels: Tensor, generator: torch.Generator) -> None:
        """Draw the sources of pixels that do not see each other; of those inside of a piece nothing changes."""
        around = _looked_up(self._source, pixels[:, None] + self._offsets) - self._offsets
        own = self._source[pixels]
        seam = (around != own[:, None]).any(1)
        pixels, around, own = pixels[seam], around[seam], own[seam]
        if not len(pixels):
            return
        around.masked_fill_(around + self._offsets < 0, 0)  # beside no piece; the border's first pixel is 0
        candidates = self._candidates(own, around, generator)
        row, column = (candidates >= 0).nonzero().T
        source = candidates[row, column]
        # Of the second sum what differs between the candidates: all of it are whole numbers below 2^24.
        count, costs = (around > 0).sum(1), self._differences(pixels, row, source)
        for plane in self._levels:
            votes, own_level = _looked_up(plane, around).sum(1), plane[source]
            costs += own_level * (count[row] * own_level - 2 * votes[row])
        gumbel = -torch.empty(candidates.shape).exponential_(generator=generator).log().to(costs)
        drawn = torch.full(candidates.shape, -torch.inf, device=costs.device)
        moved = source // self._row - pixels[row] // self._row
        height = ((moved - self._below) / self._height_reach).square() / 2
        drawn[row, column] = gumbel[row, column] - costs * self._precision - height
        chosen = candidates.gather(1, drawn.argmax(1, keepdim=True))[:, 0]
        self._take(pixels, chosen)

    def _take(self, pixels: Tensor, sources: Tensor) -> None:
        self._source[pixels] = sources
        self._filled[:, pixels] = self._levels[:, sources]

    def _candidates(self, own: Tensor, around: Tensor, generator: torch.Generator) -> Tensor:
        """Sources (n, k), each of a pixel's once; -1 where there is none.

        own: (n,). around: (n, offsets), where the pieces of the neighbours would take a pixel from, 0 for none.
        """
        around = around[:, self._touching]
        near = torch.where(_looked_up(self._usable, around), around, -1)
        places = [own[:, None], near]
        for reach in _SEARCHED:
            steps = torch.randint(-reach, reach + 1, (2, len(own)), generator=generator).to(own)
            places.append(self._legal(own // self._row + steps[0], own % self._row + steps[1])[:, None])
        found = torch.cat(places, 1).sort(1).values
        found[:, 1:][found[:, 1:] == found[:, :-1]] = -1
        return found

    def _own_differences(self) -> Tensor:
        """Of each pixel to its source, (n,)."""
        row = torch.arange(len(self._pixels), device=self._pixels.device)
        return self._differences(self._pixels, row, self._source[self._pixels])

    def _differences(self, pixels: Tensor, row: Tensor, sources: Tensor) -> Tensor:
        """Squared differences between the fill around pixels and the picture around sources, (n,), in grey levels.

        row: (n,) ascending, which of the pixels each source (n,) is compared with.
        """
        sums = []
        for first in range(0, len(pixels), _PIXELS_AT_ONCE):
            ends = torch.tensor([first, first + _PIXELS_AT_ONCE], device=row.device)
            begin, end = torch.searchsorted(row, ends).tolist()
            of, taken = row[begin:end] - first, sources[begin:end]
            here = pixels[first : first + _PIXELS_AT_ONCE, None] + self._offsets
            there = taken[:, None] + self._offsets
            inside = _looked_up(self._inside, here)
            part = self._levels.new_zeros(len(taken))
            for filled, known in zip(self._filled, self._levels, strict=True):
                missing = _looked_up(known, there)
                missing -= _looked_up(filled, here).index_select(0, of)
                if not inside.all():
                    missing *= inside.index_select(0, of)
                part += missing.square_().sum(1)
            sums.append(part)
        return torch.cat(sums)

    def _missed(self) -> tuple[Tensor, Tensor]:
        """What the pieces beside a known pixel miss of it, (C, N), and whether there are any, (1, N)."""
        total, count = torch.zeros_like(self._known), torch.zeros_like(self._inside)
        for step in (-1, 1, -self._row, self._row):
            beside = self._pixels + step
            rim = (self._source[beside] < 0) & (self._inside[beside] > 0)
            beside, continued = beside[rim], self._source[self._pixels[rim]] + step
            total.index_add_(1, beside, self._known[:, beside] - self._known[:, continued])
            count.index_add_(0, beside, torch.ones_like(count[beside]))
        return total / count.clamp_min(1), (count > 0).to(total)[None]

    def _legal(self, down: Tensor, across: Tensor) -> Tensor:
        """Numbers of pixels at places; -1 for those around which the patch may not be copied as a whole."""
        inside = (down >= 0) & (down < self._height + 2 * _REACH) & (across >= 0) & (across < self._row)
        number = torch.where(inside, down * self._row + across, 0)
        return torch.where(self._usable[number], number, -1)


def _looked_up(values: Tensor, numbers: Tensor) -> Tensor:
    """The values (N,) of pixels, of the shape of their numbers."""
    return values.index_select(0, numbers.flatten()).view(numbers.shape)
