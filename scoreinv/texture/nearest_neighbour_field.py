"""A nearest-neighbour field, the source of each pixel of a hole, drawn by Gibbs sampling.

A hole filled with pieces of the picture I has x(p) = I(p + d(p)) at its pixels p, and x = I elsewhere. The
neighbourhood of each source should match that of its pixel. So the field's distribution, given the known pixels, is

    p(d | I) proportional to exp(-E(d) / (2 tau^2) - sum_p ((d_down(p) - c) / reach)^2 / 2),
    E(d) = sum_p sum_o |x(p + o) - I(p + d(p) + o)|^2,

over the pixels p of the hole and the offsets o of a patch. E is 0 inside a piece and measures the seams. Seams between
flat pieces are cheapest, so E alone prefers blurred areas far above or below. The second term keeps sources at about
the height of their pixels (plus c, downwards), as in `PatchPrior`.

E is a sum over pairs of pixels. With all but one displacement fixed, the cost of a candidate source q for p is

    E_p(q) = sum_o |x(p + o) - I(q + o)|^2 + sum_o |I(q) - I(p + o + d(p + o) - o)|^2,

where the second sum is over p + o in the hole. Pixels more than a patch's radius apart are independent and drawn
together: a sweep is Gibbs sampling, one sublattice after the other. There are two approximations. The source is drawn
from a few candidates: those that continue the neighbours' pieces (propagation of PatchMatch, Barnes et al. 2009), and
places around the current source (random search). And the number of sweeps is small.

Patches are compared in whole grey levels (`grey_levels`). Their sums are exact in float32 in any order, so the sample
does not depend on the number of threads or the processor.

Values are copied, not averaged. A smooth correction (`poisson`) hides rim and seams: it removes the mismatch with known
pixels at the rim and the differences in light between pieces, and preserves gradients within the pieces.
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

GREY_LEVEL = 1 / 127.5  # an 8-bit level on [-1, 1]
TOLERANCE = 0.04  # tau, for colours on [-1, 1]: five grey levels
_RADIUS = 3  # radius of a patch in pixels
_SEARCHED = (16, 5, 1)  # radii in pixels of the random search around the current source, one candidate each
_MAX_RIM_LIGHT = 0.1
"""Maximum mismatch at the rim, on [-1, 1], that counts as a difference of light and is corrected throughout the hole.
The excess comes from differing content; its correction fades with the distance from the rim."""
_FADING = 4.0  # distance in pixels over which the correction of the excess fades to 1/e
_MAX_SEAM_LIGHT = 0.3  # maximum correction of the difference in light between two pieces, on [-1, 1]
_PIXELS_AT_ONCE = 1 << 11  # pixels per batch of patch comparisons, with a dozen candidates each


def grey_levels(values: Tensor) -> Tensor:
    """Round values on [-1, 1] to whole grey levels, offset so that 8-bit values and their means are not ties."""
    return (values / GREY_LEVEL - 1 / 6).round()


def of_channels(deviation: float, channels: int) -> float:
    """Scale a standard deviation for 3 channels to `channels`: one channel then counts as three with equal values."""
    return deviation * math.sqrt(channels / 3)


class NearestNeighbourField:
    """The displacements from the pixels of a hole to their sources in one picture.

    Args:
        picture: (C, H, W) on [-1, 1], of 3 channels or 1 (`of_channels`); ignored where not observed.
        observed: (1, H, W), 0 or 1.
        start: (2, H, W) int64, initial displacements in pixels down and across; used in the hole.
        sources: (1, H, W), 0 or 1, the pixels that may be copied. None: all observed ones.
        below, reach: c and reach of the second term, in pixels; by default the term is 0.

    Raises InputError if `start` leads to a pixel whose patch may not be copied.
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
        borders = (_RADIUS,) * 4
        self._below, self._height_reach = below, reach
        self._height, self._width = observed.shape[-2:]
        self._row = self._width + 2 * _RADIUS
        self._observed = observed
        self._precision = GREY_LEVEL**2 / (2 * of_channels(TOLERANCE, len(picture)) ** 2)
        # Of all pixels of the padded picture, numbered row by row: their values, whether they are in the picture, and
        # whether the patch around them may be copied.
        self._known = F.pad(torch.where(observed > 0, picture, 0.0), borders).flatten(1)
        self._levels = grey_levels(self._known)
        self._inside = F.pad(torch.ones_like(observed), borders).flatten()
        copied = observed if sources is None else sources
        whole = F.max_pool2d(1 - F.pad(copied, borders), 2 * _RADIUS + 1, 1) == 0
        self._usable = F.pad(whole, borders).flatten()
        # Of the pixels of the hole: their places, (2, n), and numbers, in 32 bits for fast indexing.
        self._at = F.pad(observed == 0, borders)[0].nonzero().T.int()
        self._pixels = self._at[0] * self._row + self._at[1]
        # The field: the source of each pixel, or -1 outside the hole; and the picture that it fills.
        self._source = torch.full_like(self._usable, -1, dtype=torch.int32)
        self._filled = self._levels.clone()
        first = self._allowed(*(self._at + start[:, self._at[0] - _RADIUS, self._at[1] - _RADIUS].int()))
        if (first < 0).any():
            raise InputError("a displacement leads to pixels that must not be copied")
        self._set_sources(self._pixels, first)
        # The steps from a pixel to the others of its patch, and whether these are among its eight neighbours.
        along = torch.arange(-_RADIUS, _RADIUS + 1, device=observed.device, dtype=torch.int32)
        down, across = torch.meshgrid(along, along, indexing="ij")
        others = (down != 0) | (across != 0)
        self._offsets = (down * self._row + across)[others]
        self._touching = torch.maximum(down.abs(), across.abs())[others] == 1

    @property
    def displacements(self) -> Tensor:
        """The displacement of each pixel of the hole, (2, H, W) int64; 0 outside."""
        displacements = self._at.new_zeros(2, self._height, self._width, dtype=torch.int64)
        source = self._source[self._pixels]
        moved = torch.stack([source // self._row, source % self._row]) - self._at
        displacements[:, self._at[0] - _RADIUS, self._at[1] - _RADIUS] = moved.long()
        return displacements

    def sweep(self, generator: torch.Generator) -> None:
        """Resample the displacement of each pixel given the others, with a CPU generator."""
        spacing = _RADIUS + 1
        sublattices = self._at[0] % spacing * spacing + self._at[1] % spacing
        for number in torch.randperm(spacing**2, generator=generator).tolist():
            self._resample(self._pixels[sublattices == number], generator)

    def take_lower_energy(self, other: NearestNeighbourField) -> None:
        """Take the displacements of `other`, for the same picture, in each hole where their E is lower.

        Holes more than a patch's radius apart are independent: E is a sum over them. The costs of offsets are not
        compared.
        """
        from scipy import ndimage  # slow to import, and only these fills need it

        hole = (self._observed[0] == 0).cpu().numpy()
        near = ndimage.binary_dilation(hole, np.ones((_RADIUS, _RADIUS)))
        holes = torch.from_numpy(ndimage.label(near, np.ones((3, 3)))[0][hole]).to(self._pixels)
        gained = self._pixels.new_zeros(int(holes.max()) + 1, dtype=torch.int64)
        for field, sign in ((self, 1), (other, -1)):
            gained.index_add_(0, holes, sign * field._own_differences().long())
        pixels = self._pixels[gained[holes] > 0]
        self._set_sources(pixels, other._source[pixels])

    def fill(self) -> Tensor:
        """Return the filled picture (C, H, W) with its known pixels, after correction of light differences."""
        from scipy import ndimage  # slow to import, and only these fills need it

        top, left = (self._at.amin(1) - 1).tolist()
        bottom, right = (self._at.amax(1) + 2).tolist()
        mismatch, rim, source, inside = (
            self._picture(values)[:, top:bottom, left:right]
            for values in (*self._mismatch(), self._source[None], self._inside[None])
        )
        light = mismatch.clamp(-_MAX_RIM_LIGHT, _MAX_RIM_LIGHT)
        # Both start as smooth interpolations from the rim; the correction of light is then refined at the seams.
        correction, excess = smooth_estimate(torch.stack([light, mismatch - light]), rim[None]).mean
        source = source[0]
        patch_means = F.avg_pool2d(self._picture(self._known), 2 * _RADIUS + 1, 1, _RADIUS).flatten(1)
        down = self._light_change(patch_means, source[:-1], source[1:], self._row)
        across = self._light_change(patch_means, source[:, :-1], source[:, 1:], 1)
        rim_sums = torch.cat([light * rim, rim])
        beside = torch.stack([rim_sums.roll(step, axis) for axis in (1, 2) for step in (-1, 1)]).sum(0)
        correction = poisson_correction(correction, source >= 0, down, across, beside[:-1], beside[-1])
        # Beyond the picture's border a fill need not match anything.
        unknown = (source >= 0) | (inside[0] == 0)
        depth = torch.from_numpy(ndimage.distance_transform_edt(unknown.cpu().numpy())).to(correction)
        colours = self._known.clone()
        colours[:, self._pixels] = self._known[:, self._source[self._pixels]]
        filled = self._picture(colours)
        filled[:, top:bottom, left:right] += correction + excess * torch.exp(-depth / _FADING)
        inner = (slice(None), slice(_RADIUS, -_RADIUS), slice(_RADIUS, -_RADIUS))
        return torch.where(self._observed > 0, self._picture(self._known)[inner], filled[inner])

    def _picture(self, values: Tensor) -> Tensor:
        """Reshape values (C, N) of the pixels to the padded picture, (C, H, W)."""
        return values.view(-1, self._height + 2 * _RADIUS, self._row)

    def _light_change(self, patch_means: Tensor, here: Tensor, there: Tensor, step: int) -> Tensor:
        """Return the change t of the correction between adjacent pixels that makes the light continuous, (C, h, w).

        It is the mean difference of patches that may be copied, 0 if there are none.

        Args:
            patch_means: (C, N), the patch means around all pixels.
            here, there: (h, w), the sources of the first and the second pixel of each pair; ignored if negative.
            step: number of the second pixel minus that of the first.
        """
        here, there = here.clamp_min(0), there.clamp_min(step)
        change, count = patch_means.new_zeros(len(patch_means), *here.shape), patch_means.new_zeros(here.shape)
        for one, other in ((here, there - step), (here + step, there)):
            whole = self._usable[one] & self._usable[other]
            change += whole * (patch_means[:, other] - patch_means[:, one])
            count += whole
        return (change / count.clamp_min(1)).clamp(-_MAX_SEAM_LIGHT, _MAX_SEAM_LIGHT)

    def _resample(self, pixels: Tensor, generator: torch.Generator) -> None:
        """Resample the sources of pixels that are independent of each other; pixels inside a piece keep theirs."""
        around = _lookup(self._source, pixels[:, None] + self._offsets) - self._offsets
        own = self._source[pixels]
        seam = (around != own[:, None]).any(1)
        pixels, around, own = pixels[seam], around[seam], own[seam]
        if not len(pixels):
            return
        around.masked_fill_(around + self._offsets < 0, 0)  # neighbour outside the hole; 0 is a border pixel
        candidates = self._candidates(own, around, generator)
        row, column = (candidates >= 0).nonzero().T
        source = candidates[row, column]
        # The candidate-dependent part of the second sum: whole numbers below 2^24, exact in float32.
        count, costs = (around > 0).sum(1), self._differences(pixels, row, source)
        for plane in self._levels:
            votes, own_level = _lookup(plane, around).sum(1), plane[source]
            costs += own_level * (count[row] * own_level - 2 * votes[row])
        gumbel = -torch.empty(candidates.shape).exponential_(generator=generator).log().to(costs)
        drawn = torch.full(candidates.shape, -torch.inf, device=costs.device)
        down = source // self._row - pixels[row] // self._row
        height = ((down - self._below) / self._height_reach).square() / 2
        drawn[row, column] = gumbel[row, column] - costs * self._precision - height  # the maximum is a draw
        chosen = candidates.gather(1, drawn.argmax(1, keepdim=True))[:, 0]
        self._set_sources(pixels, chosen)

    def _set_sources(self, pixels: Tensor, sources: Tensor) -> None:
        self._source[pixels] = sources
        self._filled[:, pixels] = self._levels[:, sources]

    def _candidates(self, own: Tensor, around: Tensor, generator: torch.Generator) -> Tensor:
        """Return candidate sources (n, k), each once per pixel, padded by -1.

        Args:
            own: (n,), the current sources.
            around: (n, offsets), the sources that would continue the neighbours' pieces; 0 without a neighbour.
        """
        around = around[:, self._touching]
        near = torch.where(_lookup(self._usable, around), around, -1)
        places = [own[:, None], near]
        for reach in _SEARCHED:
            steps = torch.randint(-reach, reach + 1, (2, len(own)), generator=generator).to(own)
            places.append(self._allowed(own // self._row + steps[0], own % self._row + steps[1])[:, None])
        found = torch.cat(places, 1).sort(1).values
        found[:, 1:][found[:, 1:] == found[:, :-1]] = -1
        return found

    def _own_differences(self) -> Tensor:
        """Return the squared differences between each pixel's patch and its source's, (n,)."""
        row = torch.arange(len(self._pixels), device=self._pixels.device)
        return self._differences(self._pixels, row, self._source[self._pixels])

    def _differences(self, pixels: Tensor, row: Tensor, sources: Tensor) -> Tensor:
        """Return squared differences between the fill around pixels and the picture around sources, (n,), in levels.

        Args:
            pixels: (m,).
            row: (n,) ascending, the index in `pixels` for each source.
            sources: (n,).
        """
        sums = []
        for first in range(0, len(pixels), _PIXELS_AT_ONCE):
            ends = torch.tensor([first, first + _PIXELS_AT_ONCE], device=row.device)
            begin, end = torch.searchsorted(row, ends).tolist()
            of, taken = row[begin:end] - first, sources[begin:end]
            here = pixels[first : first + _PIXELS_AT_ONCE, None] + self._offsets
            there = taken[:, None] + self._offsets
            inside = _lookup(self._inside, here)
            part = self._levels.new_zeros(len(taken))
            for filled, known in zip(self._filled, self._levels, strict=True):
                missing = _lookup(known, there)
                missing -= _lookup(filled, here).index_select(0, of)
                if not inside.all():
                    missing *= inside.index_select(0, of)
                part += missing.square_().sum(1)
            sums.append(part)
        return torch.cat(sums)

    def _mismatch(self) -> tuple[Tensor, Tensor]:
        """Return the mismatch (C, N) at the known pixels beside the hole, and a mask of these, (1, N).

        It is the known value minus the mean of the adjacent pieces, each continued by one pixel.
        """
        total, count = torch.zeros_like(self._known), torch.zeros_like(self._inside)
        for step in (-1, 1, -self._row, self._row):
            beside = self._pixels + step
            rim = (self._source[beside] < 0) & (self._inside[beside] > 0)
            beside, continued = beside[rim], self._source[self._pixels[rim]] + step
            total.index_add_(1, beside, self._known[:, beside] - self._known[:, continued])
            count.index_add_(0, beside, torch.ones_like(count[beside]))
        return total / count.clamp_min(1), (count > 0).to(total)[None]

    def _allowed(self, down: Tensor, across: Tensor) -> Tensor:
        """Return the numbers of the pixels at these rows and columns, or -1 if their patch may not be copied."""
        inside = (down >= 0) & (down < self._height + 2 * _RADIUS) & (across >= 0) & (across < self._row)
        number = torch.where(inside, down * self._row + across, 0)
        return torch.where(self._usable[number], number, -1)


def _lookup(values: Tensor, numbers: Tensor) -> Tensor:
    """Return the values (N,) of pixels in the shape of their numbers."""
    return values.index_select(0, numbers.flatten()).view(numbers.shape)
