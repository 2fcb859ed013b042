"""The score of a picture's own patches: what fills a deep hole continues what surrounds it.

If each patch of a picture is one of its known patches e_j, up to a deviation tau and not far from where it was seen,

    p(x_P) = sum_j p_j N(x_P; e_j, tau^2 I),      p_j proportional to exp(-|displacement_j / reach|^2 / 2),

then the posterior of a patch is known, given its noisy state at the level s = sigma / alpha and what is observed, y.
Up to tau its mean is

    E[x_P | x_t, y] = sum_j w_j e_j,
    w_j proportional to p_j exp(-|y - e_j|^2 / (2 tau^2) - |x_t / alpha - e_j|^2 / (2 (s^2 + tau^2))),

the first distance over the patch's observed pixels, the second over the others. Each pixel is taken from the patch
around it: the local score machine of Kamb & Ganguli 2024 (arXiv 2412.20292), here of one picture. At s = 0 that is
texture synthesis by nearest neighbourhoods (Efros & Leung 1999; Wexler, Shechtman & Irani 2007); from large s on, a
sampler draws patches that agree with each other. No network is asked.

Where the picture has been drawn at half the size, p_j is, in place of the displacement, how like the two patches are
there, exp(-|difference|^2 / (4 tau^2)), and patches are compared by their details beyond that size. What the mean
misses at the known pixels around a hole is interpolated into the hole and added, so that no seam is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from scoreinv.boxes import Box
from scoreinv.conditional.guess import push, smooth_guess
from scoreinv.errors import InputError
from scoreinv.prior import Prior
from scoreinv.sdes import SDE, as_time, broadcast

_TOLERANCE = 0.04
"""tau, of pictures on [-1, 1]: five grey levels."""
_REACH = (0.5, 2.0)
"""Pixels down and across, by eye on removed objects: a meadow is below, and may be left or right. They are less than a
patch since the values of a patch repeat each other, so that their summed differences overcount."""
MOST_PATCHES = 4096
"""Patches that every place is compared with on the first scale; of more, some are left out."""
_MARGIN = 4
"""Pixels of a patch around the one in its middle."""
_FEWEST = 200
"""Patches that are enough to continue a picture from."""
_RIM = 2
"""Known pixels around a hole that are estimated too, to see what the estimate misses there."""
_VALUES_AT_ONCE = 1 << 22


@dataclass(frozen=True)
class Coarse:
    """A picture that was drawn at half the size.

    Attributes:
        picture: (3, ceil(H / 2), ceil(W / 2)) on [-1, 1].
        displacements: (2, ceil(H / 2), ceil(W / 2)) int64: down and across, to where each pixel was taken from.
    """

    picture: Tensor
    displacements: Tensor


class Exemplars(Prior):
    """Pictures with holes as a distribution over their fills, all of whose patches are among those that are known.

    Without `coarse` each place is compared with all patches; with it, with those that its surroundings were taken from
    at half the size, whose details beyond that size are put on what was drawn there.

    Arguments:
        sde: of the noise.
        pictures: (B, 3, H, W) on [-1, 1], each for itself; not looked at where not observed.
        observed: (B, 1, H, W), 0 or 1.
        coarse: each picture at half the size, without holes.

    Raises InputError for a picture without a hole, or without a patch that is wholly observed (`enough` asks for more).
    """

    data_range = (-1.0, 1.0)
    evaluations_per_noise = 0

    def __init__(self, sde: SDE, pictures: Tensor, observed: Tensor, coarse: Sequence[Coarse] | None = None) -> None:
        self.sde = sde
        below = [None] * len(pictures) if coarse is None else coarse
        self._fills = [_Fill(*row) for row in zip(pictures, observed, below, strict=True)]

    @staticmethod
    def enough(observed: Tensor) -> bool:
        """Whether pictures of which this is observed, (B, 1, H, W), all have patches enough to be continued from."""
        side = 2 * _MARGIN + 1
        if min(observed.shape[-2:]) < side:
            return False
        return bool((_wholly_known(observed, side).flatten(1).sum(1) >= _FEWEST).all())

    @property
    def base(self) -> Tensor:
        """What is known and, smoothly, what was drawn at half the size: a state to start from, (B, 3, H, W)."""
        return torch.stack([fill.base for fill in self._fills])

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t)
        return (x - broadcast(self.sde.alpha(t), x) * self.denoise(x, t)) / broadcast(self.sde.sigma(t), x)

    def denoise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t).expand(len(x))
        clean, levels = x / broadcast(self.sde.alpha(t), x), self.sde.noise_to_signal(t).tolist()
        rows = zip(self._fills, clean, levels, strict=True)
        return torch.stack([fill.mean(state, level) for fill, state, level in rows])

    def finish(self, x0: Tensor) -> Tensor:
        return torch.stack([fill.exact(row) for fill, row in zip(self._fills, x0, strict=True)])

    def windows(self, boxes: Sequence[Box], samples: int) -> Prior:
        raise InputError("patches are looked for in the whole picture: it cannot be seen through windows")

    def rows(self, index: Tensor) -> Exemplars:
        chosen = copy(self)
        chosen._fills = [self._fills[i] for i in index.tolist()]
        return chosen

    def as_coarse(self, x0: Tensor) -> list[Coarse]:
        """Samples (B, 3, H, W) as what the next finer scale starts from."""
        return [fill.as_coarse(row) for fill, row in zip(self._fills, x0, strict=True)]


class _Fill:
    """One picture of `Exemplars`."""

    def __init__(self, picture: Tensor, observed: Tensor, coarse: Coarse | None) -> None:
        self.picture = torch.where(observed > 0, picture, 0.0)
        self.observed = observed
        if coarse is None:
            self.places = _Places(observed, core=1, margin=_MARGIN)
            self.base = smooth_guess(self.picture[None], observed[None]).mean[0]
            self.patches: _AllPatches | _NearPatches = _AllPatches(self.places, self.picture)
        else:
            self.places = _Places(observed, core=2, margin=_MARGIN - 1)
            smooth = push(coarse.picture[None], picture.shape)[0]
            self.base = self.exact(smooth)
            self.patches = _NearPatches(self.places, self.picture, smooth, coarse.displacements)

    def mean(self, x: Tensor, level: float) -> Tensor:
        """The posterior mean, given the state x (3, H, W) with noise of this level."""
        weight = torch.where(self.observed > 0, 1 / (2 * _TOLERANCE**2), 1 / (2 * (level**2 + _TOLERANCE**2)))
        estimate, covered = self.places.joined(
            self.patches.mean(target, weights, part) for target, weights, part in self._compared(x, weight)
        )
        rim = covered & (self.observed > 0)
        missed = smooth_guess((self.picture - estimate)[None], rim[None].to(x)).mean[0]
        return self.exact(estimate + missed)

    def as_coarse(self, x0: Tensor) -> Coarse:
        """A sample (3, H, W), and where its pixels were taken from."""
        weight = torch.full_like(self.observed, 1 / (2 * _TOLERANCE**2))
        found = [self.patches.nearest(target, weights, part) for target, weights, part in self._compared(x0, weight)]
        return Coarse(x0, self.places.spread(torch.cat(found)))

    def exact(self, x0: Tensor) -> Tensor:
        """With its known pixels."""
        return torch.where(self.observed > 0, self.picture, x0)

    def _compared(self, x: Tensor, weight: Tensor) -> Iterator[tuple[Tensor, Tensor, slice]]:
        """What is compared at each place (n, D), how differences (n, D) weigh, and which places these are."""
        state, weight = self.places.padded(self.exact(x)), self.places.padded(weight.to(x).expand(3, -1, -1))
        for part in self.patches.parts:
            starts = self.places.starts[part]
            yield self.places.patches(state, starts), self.places.patches(weight, starts), part


class _Places:
    """The places of patches that meet a hole: cores of `core` pixels a side, side by side, each with a margin around.

    Patches are rows of D = 3 side^2 values. Each is identified by its first pixel: `starts` (N,) are numbers of pixels
    of the picture with a border of the margin's width around (`padded`), whose rows have `row` of them.
    """

    def __init__(self, observed: Tensor, core: int, margin: int) -> None:
        self.core, self.margin, self.side = core, margin, core + 2 * margin
        self._middle = margin, margin + core
        self.height, self.width = observed.shape[-2:]
        self.cells = -(-self.height // core), -(-self.width // core)
        self.borders = (margin, margin + -self.width % core, margin, margin + -self.height % core)
        self.row = self.width + self.borders[0] + self.borders[1]
        hole, known = F.pad(1 - observed, self.borders), F.pad(observed, self.borders)
        near = hole[..., margin - _RIM :, margin - _RIM :]
        met = F.max_pool2d(near, core + 2 * _RIM, core)[0, : self.cells[0], : self.cells[1]]
        self.at = met.nonzero().T
        self.starts = self.number(*self.at * core)
        if not len(self.starts):
            raise InputError("the picture has no hole")
        self.usable = _wholly_known(known, self.side)[0]

    def number(self, down: Tensor, across: Tensor) -> Tensor:
        return down * self.row + across

    def padded(self, picture: Tensor) -> Tensor:
        """Pixels (P, C) of a picture (C, H, W) and its border, which is 0."""
        return F.pad(picture, self.borders).flatten(1).T.contiguous()

    def patches(self, padded: Tensor, starts: Tensor) -> Tensor:
        """The patches (..., D) that start at `starts` (...)."""
        pixels = starts[..., None] + self._square(0, self.side)
        return padded.index_select(0, pixels.flatten()).view(*starts.shape, -1)

    def middle(self, patches: Tensor) -> Tensor:
        """Of patches (..., D) the pixels that the picture takes from them, (..., 3k)."""
        first, last = self._middle
        square = patches.view(*patches.shape[:-1], self.side, self.side, 3)
        return square[..., first:last, first:last, :].flatten(-3)

    def joined(self, parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
        """The picture (3, H, W) of the middles (n, 3k) of patches, part by part, and where there are any, (1, H, W).

        They lie side by side: where they passed into each other, a quarter of the detail was lost and nothing gained.
        """
        patches = torch.cat(list(parts)).view(len(self.starts), -1, 3)
        total = patches.new_zeros(self.row * (self.height + self.borders[2] + self.borders[3]), 4)
        for number, offset in enumerate(self._square(*self._middle)):
            total[self.starts + offset, :3] = patches[:, number]
            total[self.starts + offset, 3] = 1
        total = total.T.reshape(4, -1, self.row)
        total = total[:, self.margin : self.margin + self.height, self.margin : self.margin + self.width]
        return total[:3], total[3:] > 0

    def spread(self, starts: Tensor) -> Tensor:
        """The displacements (2, H, W) to the patches that start there (N,); beyond the places those of the nearest."""
        moved = torch.stack([starts // self.row, starts % self.row]) - self.at * self.core
        cells = moved.new_zeros(2, *self.cells)
        cells[:, self.at[0], self.at[1]] = moved
        empty = np.ones(self.cells, dtype=bool)
        empty[tuple(self.at.cpu().numpy())] = False
        nearest = ndimage.distance_transform_edt(empty, return_distances=False, return_indices=True)
        down, across = torch.from_numpy(nearest).to(cells.device)
        cells = cells[:, down, across].repeat_interleave(self.core, 1).repeat_interleave(self.core, 2)
        return cells[:, : self.height, : self.width]

    def _square(self, first: int, last: int) -> Tensor:
        """Numbers of the pixels of a patch from its `first` to before its `last` in both directions."""
        along = torch.arange(first, last, device=self.starts.device)
        return self.number(along[:, None], along).flatten()


class _AllPatches:
    """Every place compared with all patches of the picture."""

    def __init__(self, places: _Places, picture: Tensor) -> None:
        self.places = places
        starts = places.number(*places.usable.nonzero().T)
        if not len(starts):
            raise InputError("there is nothing to continue: no patch of the picture is known")
        if len(starts) > MOST_PATCHES:
            starts = starts[torch.arange(MOST_PATCHES, device=starts.device) * (len(starts) - 1) // (MOST_PATCHES - 1)]
        self.starts = starts
        self.values = places.patches(places.padded(picture), starts)
        self.squares = self.values.square()
        self.parts = _parts(len(places.starts), len(starts))

    def mean(self, target: Tensor, weight: Tensor, part: slice) -> Tensor:
        """Middles of E[patch], (n, 3k), at a part of the places, given states and weights of differences, (n, D)."""
        return torch.softmax(-self._cost(target, weight, part), 1) @ self.places.middle(self.values)

    def nearest(self, target: Tensor, weight: Tensor, part: slice) -> Tensor:
        """Where the likeliest patch starts, (n,)."""
        return self.starts[self._cost(target, weight, part).argmin(1)]

    def _cost(self, target: Tensor, weight: Tensor, part: slice) -> Tensor:
        here, row = self.places.starts[part, None], self.places.row
        far = ((self.starts // row - here // row) / _REACH[0]).square()
        far += ((self.starts % row - here % row) / _REACH[1]).square()
        # |target - value|^2 without what is common to all values.
        return weight @ self.squares.T - 2 * (weight * target) @ self.values.T + far / 2


class _NearPatches:
    """Each place compared with the patches that it and its neighbours were taken from at half the size.

    Their details beyond that size are put on `smooth`, what was drawn at half the size.
    """

    def __init__(self, places: _Places, picture: Tensor, smooth: Tensor, displacements: Tensor) -> None:
        self.places = places
        self.smooth = places.padded(smooth)
        self.details = places.padded(picture) - self.smooth
        self.inside = places.padded(torch.ones_like(smooth))
        starts = self._near(displacements)
        tall, wide = places.usable.shape
        down, across = starts // places.row, starts % places.row
        usable = (starts >= 0) & (down < tall) & (across < wide)
        usable &= places.usable[down.clamp(0, tall - 1), across.clamp(0, wide - 1)]
        self.starts = torch.where(usable, starts, 0)
        self.parts = _parts(len(places.starts), starts.shape[1] * 3 * places.side**2)
        self.unlike = torch.where(usable, torch.cat([self._unlike(part) for part in self.parts]), 1e9)

    def mean(self, target: Tensor, weight: Tensor, part: slice) -> Tensor:
        """As `_AllPatches.mean`."""
        details, smooth, cost = self._compared(target, weight, part)
        mean = (torch.softmax(-cost, 1)[..., None] * self.places.middle(details)).sum(1)
        return mean + self.places.middle(smooth)

    def nearest(self, target: Tensor, weight: Tensor, part: slice) -> Tensor:
        """As `_AllPatches.nearest`."""
        best = self._compared(target, weight, part)[-1].argmin(1, keepdim=True)
        return self.starts[part].gather(1, best)[:, 0]

    def _compared(self, target: Tensor, weight: Tensor, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        details = self.places.patches(self.details, self.starts[part])
        smooth = self.places.patches(self.smooth, self.places.starts[part])
        missing = (target - smooth)[:, None] - details
        return details, smooth, (missing.square() @ weight[..., None])[..., 0] + self.unlike[part]

    def _unlike(self, part: slice) -> Tensor:
        """The cost of what a patch is at half the size."""
        starts = self.places.starts[part]
        here, inside = self.places.patches(self.smooth, starts), self.places.patches(self.inside, starts)
        there = self.places.patches(self.smooth, self.starts[part])
        return ((there - here[:, None]).square() @ inside[..., None])[..., 0] / (4 * _TOLERANCE**2)

    def _near(self, displacements: Tensor) -> Tensor:
        """Where the patches to compare with start, (N, K); some of them in no picture."""
        places = self.places
        tall, wide = displacements.shape[-2:]
        down, across = (places.at * places.core + places.core // 2) // 2
        starts = []
        for step_down in (-2, 0, 2):
            for step_across in (-2, 0, 2):
                at = (down + step_down).clamp(0, tall - 1), (across + step_across).clamp(0, wide - 1)
                starts.append(places.starts + places.number(*2 * displacements[:, at[0], at[1]]))
        own = starts[4]
        return torch.stack([*starts, own - 1, own + 1, own - places.row, own + places.row], 1)


def _wholly_known(observed: Tensor, side: int) -> Tensor:
    """Whether the patch of `side` pixels a side that starts there is, (..., H - side + 1, W - side + 1)."""
    return F.max_pool2d(1 - observed, side, 1) == 0


def _parts(count: int, values: int) -> list[slice]:
    """Slices of `count` places that hold so many values each."""
    step = max(1, _VALUES_AT_ONCE // values)
    return [slice(first, first + step) for first in range(0, count, step)]
