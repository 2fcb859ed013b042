"""The score of a picture's own patches: what fills a deep hole continues what surrounds it.

If each patch of a picture is one of its known patches e_j, up to a deviation tau and not far from where it was seen,

    p(x_P) = sum_j p_j N(x_P; e_j, tau^2 I),      p_j proportional to exp(-|(displacement_j - c) / reach|^2 / 2),

then the posterior of a patch is known, given its noisy state at the level s = sigma / alpha and what is observed, y. (c
is 0, or where a sample looks that is to differ from others.) Up to tau its mean is

    E[x_P | x_t, y] = sum_j w_j e_j,
    w_j proportional to p_j exp(-|y - e_j|^2 / (2 tau^2) - |x_t / alpha - e_j|^2 / (2 (s^2 + tau^2))),

the first distance over the patch's observed pixels, the second over the others. Each pixel is taken from the patch
around it: the local score machine of Kamb & Ganguli 2024 (arXiv 2412.20292), here of one picture. At s = 0 that is
texture synthesis by nearest neighbourhoods (Efros & Leung 1999; Wexler, Shechtman & Irani 2007); from large s on, a
sampler draws patches that agree with each other.

What the mean misses at the known pixels around a hole is interpolated into the hole and added, so that no seam is left.
The posterior is that of each patch by itself, and pixels of neighbouring patches are joined: that the whole picture
agrees is approximated by drawing in steps. Comparing with all patches is for pictures of a few thousand pixels;
`nearest_neighbour_field` goes on from there on finer scales.

Distances are between whole grey levels (`grey_levels`), exact in whatever order they are summed; what is made of them
is rounded once a value, or computed in float64. So a sample hangs neither on the number of threads nor on the processor
but where a state lies within 1e-15 of the border between two levels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.conditional.initial_estimate import smooth_estimate
from scoreinv.prior import Prior
from scoreinv.sdes import SDE, as_time, broadcast
from scoreinv.system.errors import InputError
from scoreinv.texture.nearest_neighbour_field import GREY_LEVEL, TOLERANCE, grey_levels, of_channels

REACH = (0.5, 2.0)
"""Pixels down and across, by eye on removed objects: a meadow is below, and may be left or right. They are less than a
patch since the values of a patch repeat each other, so that their summed differences overcount."""
_PATCHES = (512, 4096)
"""Patches that every place is compared with at most, where there are many places and where there are few."""
_COMPARISONS = 1 << 23  # of a place with a patch in one step; where there are more places, fewer patches are compared
_MARGIN = 4  # pixels of a patch around the one in its middle
_SIDE = 2 * _MARGIN + 1
_FEWEST = 200  # patches that are enough to continue a picture from
_RIM = 2  # known pixels around a hole that are estimated too, to see what the estimate misses there
_NEGLIGIBLE = 20.0
"""Patches whose log weight is so much less than the largest do not count: all 4,096 of them are less than 1e-5."""
_TILE = 48  # longest side of a part of the places: each part of a long crack has patches of its own
_BLIND = 0.1
"""Share of a hole's pixels whose patches may be hidden as a whole: of cracks where they cross, of a square that is a
third wider than a patch. What sees across all but these has no better fills of twice the scale."""


def most_patches(places: int, parts: int = 1) -> int:
    """How many patches each of so many places is compared with at most, where those of each part have their own."""
    fewest, most = _PATCHES
    return max(fewest, min(most, _COMPARISONS // max(1, places)) // parts)


class PatchPrior(Prior):
    """Pictures with holes as a distribution over their fills, all of whose patches are among those that are known.

    Args:
        sde: of the noise.
        pictures: (B, C, H, W) on [-1, 1], of 3 channels or 1 (`of_channels`), each for itself; not looked at where not
            observed.
        observed: (B or 1, 1, H, W), 0 or 1.
        elsewhere: (B, 2), c of each picture, in pixels down and across; None for 0.
        sources: (B or 1, 1, H, W), 0 or 1: what of the observed may be copied; None for all of it.

    Raises InputError for a picture without a hole, or without a patch that may be copied as a whole (`enough` asks for
    more).
    """

    data_range = (-1.0, 1.0)
    evaluations_per_noise = 0

    def __init__(
        self,
        sde: SDE,
        pictures: Tensor,
        observed: Tensor,
        elsewhere: Tensor | None = None,
        sources: Tensor | None = None,
    ) -> None:
        self.sde = sde
        observed = observed.expand(len(pictures), -1, -1, -1)
        sources = observed if sources is None else sources.expand(len(pictures), -1, -1, -1)
        centres = pictures.new_zeros(len(pictures), 2) if elsewhere is None else elsewhere
        self._centres, self._patches = centres.tolist(), list[_Patches]()
        for picture, known, copied in zip(pictures, observed, sources, strict=True):
            alike = (other for other in self._patches if other.are_of(picture, known, copied))  # samples of one picture
            self._patches.append(next(alike, None) or _Patches(picture, known, copied))

    @staticmethod
    def enough(sources: Tensor) -> bool:
        """Whether pictures of which this may be copied, (B, 1, H, W), all have patches enough to be continued from."""
        if min(sources.shape[-2:]) < _SIDE:
            return False
        return bool((_wholly_known(sources, _SIDE).flatten(1).sum(1) >= _FEWEST).all())

    @staticmethod
    def reached(observed: Tensor) -> bool:
        """Whether nearly all hidden pixels of which this is observed, (B, 1, H, W), have patches that see more."""
        hidden = 1 - observed
        return bool(_wholly_known(hidden, _SIDE).sum() <= _BLIND * hidden.sum())

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t)
        return (x - broadcast(self.sde.alpha(t), x) * self.denoise(x, t)) / broadcast(self.sde.sigma(t), x)

    def denoise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t).expand(len(x))
        clean, levels = x / broadcast(self.sde.alpha(t), x), self.sde.noise_to_signal(t).tolist()
        rows = zip(self._patches, clean, levels, self._centres, strict=True)
        return torch.stack([patches.mean(state, level, centre) for patches, state, level, centre in rows]).to(x)

    def finish(self, x0: Tensor) -> Tensor:
        return torch.stack([patches.exact(row) for patches, row in zip(self._patches, x0, strict=True)])

    def displacements(self, x0: Tensor) -> Tensor:
        """Where the likeliest patches of samples (B, C, H, W) are: (B, 2, H, W) int64, down and across from each pixel.

        0 outside of the holes and their rims.
        """
        rows = zip(self._patches, x0, self._centres, strict=True)
        return torch.stack([patches.displacements(row, centre) for patches, row, centre in rows])


class _Patches:
    """The patches of a picture that may be copied, of many some, compared with every place in its hole or rim.

    Patches of C channels are rows of D = C side^2 values. Each is identified by its first pixel, a number of the
    picture with a border of the margin's width around (`_padded`), whose rows have `_row` of them.
    """

    def __init__(self, picture: Tensor, observed: Tensor, sources: Tensor) -> None:
        self.picture, self.observed, self.sources = torch.where(observed > 0, picture, 0.0), observed, sources
        self._row = observed.shape[-1] + 2 * _MARGIN
        self._tau = of_channels(TOLERANCE, len(picture))
        places = F.max_pool2d(1 - observed, 2 * _RIM + 1, 1, _RIM)[0].nonzero().T
        if not places.shape[1]:
            raise InputError("the picture has no hole")
        at = _wholly_known(F.pad(sources, (_MARGIN,) * 4), _SIDE)[0].nonzero().T
        if not at.shape[1]:
            raise InputError("there is nothing to continue: no patch of the picture may be copied")
        self.box = tuple(slice(int(along.min()), int(along.max()) + 1) for along in places)
        tiles = _tiles(places)
        most = most_patches(places.shape[1], len(tiles))
        self.tiles = [self._tile(tile, _near_and_far(at, tile, most)) for tile in tiles]

    def are_of(self, picture: Tensor, observed: Tensor, sources: Tensor) -> bool:
        """Whether these are the patches of this picture (C, H, W), given what of it is observed and may be copied."""
        alike = torch.equal(self.observed, observed) and torch.equal(self.sources, sources)
        return alike and torch.equal(torch.where(observed > 0, picture, 0.0), self.picture)

    def mean(self, x: Tensor, level: float, centre: list[float]) -> Tensor:
        """The posterior mean (C, H, W), given the state x with noise of this level, of patches at about `centre`."""
        estimate, covered = self.estimate(x, level, centre)
        rim = covered & (self.observed > 0)
        missed = (self.picture - estimate)[:, *self.box][None]
        estimate[:, *self.box] += smooth_estimate(missed, rim[:, *self.box][None].to(estimate)).mean[0]
        return self.exact(estimate)

    def estimate(self, x: Tensor, level: float, centre: list[float]) -> tuple[Tensor, Tensor]:
        """The middles of the patches' means (C, H, W) in float64, and where there are any, (1, H, W)."""
        total = x.new_zeros(len(x) + 1, *x.shape[-2:], dtype=torch.float64)
        for tile, weights in self._log_weights(x, level, centre):
            sums = _weighted(weights, F.pad(tile.middles, (0, 1), value=1.0))
            total[:, *tile.places] = (sums / sums[:, -1:]).T
        return total[:-1], total[-1:] > 0

    def displacements(self, x0: Tensor, centre: list[float]) -> Tensor:
        """Where the pixels of a sample (C, H, W) are taken from, (2, H, W), of patches at about `centre`."""
        moved = x0.new_zeros(2, *x0.shape[-2:], dtype=torch.int64)
        for tile, weights in self._log_weights(x0, 0.0, centre):
            moved[:, *tile.places] = tile.at[:, weights.argmax(1)] - tile.places
        return moved

    def exact(self, x0: Tensor) -> Tensor:
        """With its known pixels."""
        return torch.where(self.observed > 0, self.picture.to(x0), x0)

    def _log_weights(self, x: Tensor, level: float, centre: list[float]) -> Iterator[tuple[_Tile, Tensor]]:
        """Of each patch at the places of a tile, (n, M), up to what is common to all of a place.

        As patches are weighed against each other, exp(-|(displacement - c) / reach|^2 / 2) is what it is for c = 0
        times exp(c . place / reach^2), wherever it is looked from.

        Args:
            x: the state (C, H, W), with noise of this level.
            centre: c, down and across.
        """
        precision = 1 / (2 * (level**2 + self._tau**2))
        state = self._padded(torch.where(self.observed > 0, 0.0, grey_levels(x)))
        for tile in self.tiles:
            here = self._patches(state, tile.places).to(tile.values)
            closer = torch.addmm(tile.hidden, here, tile.values.T, beta=-1, alpha=2)
            weights = closer.mul_(precision * GREY_LEVEL**2).add_(tile.known)
            for c, place, reach in zip(centre, tile.at, REACH, strict=True):
                if c:
                    weights += c * place.to(weights) / reach**2
            yield tile, weights

    def _tile(self, places: Tensor, at: Tensor) -> _Tile:
        levels = grey_levels(self.picture) * self.observed
        values = self._patches(self._padded(levels), at)
        squares = values.square().view(len(values), -1, len(levels)).sum(2)  # of pixels
        here, where, hidden = (
            self._patches(self._padded(pixels), places) for pixels in (levels, self.observed, 1 - self.observed)
        )
        closer = torch.addmm(where @ squares.T, here, values.T, beta=-1, alpha=2)
        known = closer.mul_(GREY_LEVEL**2 / (2 * self._tau**2))
        for place, there, reach in zip(places, at, REACH, strict=True):
            known -= (place[:, None] - there).to(known).square_().div_(2 * reach**2)
        return _Tile(places, at, self.picture[:, *at].T.double(), values, known, hidden @ squares.T)

    def _padded(self, picture: Tensor) -> Tensor:
        """Pixels (P, C) of a picture (C, H, W) and its border, which is 0."""
        return F.pad(picture, (_MARGIN,) * 4).flatten(1).T.contiguous()

    def _patches(self, padded: Tensor, at: Tensor) -> Tensor:
        """The patches (n, D) around pixels (2, n)."""
        along = torch.arange(_SIDE, device=at.device)
        pixels = (at[0] * self._row + at[1])[:, None] + (along[:, None] * self._row + along).flatten()
        return padded.index_select(0, pixels.flatten()).view(len(pixels), -1)


@dataclass(frozen=True)
class _Tile:
    """Places beside each other, and the patches that they are compared with.

    Attributes:
        places: (2, n).
        at, middles, values: (2, M), (M, C) and (M, D), the patches' middles, their values and the patches in grey
            levels.
        known: (n, M), log weights by observed pixels and displacements, up to what is common to all of a place.
        hidden: (n, M), the patches' squares over hidden pixels.
    """

    places: Tensor
    at: Tensor
    middles: Tensor
    values: Tensor
    known: Tensor
    hidden: Tensor


def _weighted(log_weights: Tensor, values: Tensor) -> Tensor:
    """Sums (n, C) of values (M, C) in float64, by weights (n, M) up to a factor for each row; overwrites these."""
    log_weights -= log_weights.amax(1, keepdim=True)
    row, patch = (log_weights > -_NEGLIGIBLE).nonzero().T
    shares = log_weights[row, patch].double().exp()
    return values.new_zeros(len(log_weights), values.shape[1]).index_add_(0, row, shares[:, None] * values[patch])


def _tiles(places: Tensor) -> list[Tensor]:
    """Places (2, N), those of a part of the picture together."""
    tile = torch.zeros_like(places[0])
    for along in places:
        length = int(along.max() - along.min()) + 1
        count = math.ceil(length / _TILE)
        tile = tile * count + (along - along.min()) * count // length
    return [places[:, tile == number] for number in tile.unique()]


def _near_and_far(at: Tensor, places: Tensor, most: int) -> Tensor:
    """So many patches at most, (2, M) by their middles: one half those nearest to the places, the others anywhere.

    Near ones are likeliest, and those further away are what samples differ by.
    """
    if at.shape[1] <= most:
        return at
    from scipy import ndimage  # slow to import, and needed by these fills alone

    apart = torch.ones((torch.maximum(at.amax(1), places.amax(1)) + 1).tolist(), dtype=torch.bool)
    apart[*places.cpu()] = False
    away = torch.from_numpy(ndimage.distance_transform_edt(apart.numpy())).to(at.device)
    order = away[*at].argsort(stable=True)
    near, far = order[: most // 2], order[most // 2 :]
    spread = torch.arange(most - len(near), device=far.device) * (len(far) - 1) // (most - len(near) - 1)
    return at[:, torch.cat([near, far[spread]]).sort().values]


def _wholly_known(observed: Tensor, side: int) -> Tensor:
    """Whether the patch of `side` pixels a side that starts there is, (..., H - side + 1, W - side + 1)."""
    return F.max_pool2d(1 - observed, side, 1) == 0
