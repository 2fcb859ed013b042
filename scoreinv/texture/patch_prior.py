"""A prior over fills of deep holes, in which every patch is a copy of one of the picture's known patches.

Each patch is one of the known patches e_j, up to noise of standard deviation tau, and probably from a nearby place:

    p(x_P) = sum_j p_j N(x_P; e_j, tau^2 I),      p_j proportional to exp(-|(displacement_j - c) / reach|^2 / 2).

The offset c is 0, or differs between samples to make their fills differ. Given the noisy state at the level
s = sigma / alpha and the observed pixels y, the posterior mean of a patch is, up to tau,

    E[x_P | x_t, y] = sum_j w_j e_j,
    w_j proportional to p_j exp(-|y - e_j|^2 / (2 tau^2) - |x_t / alpha - e_j|^2 / (2 (s^2 + tau^2))),

with the first distance over the patch's observed pixels, and the second over the others. Each pixel gets the centre of
its patch: the local score machine of Kamb & Ganguli 2024 (arXiv 2412.20292), for one picture. At s = 0 this is texture
synthesis by nearest neighbours (Efros & Leung 1999; Wexler, Shechtman & Irani 2007). From large s, a sampler draws
patches that agree with each other.

The mean's mismatch at the known pixels around a hole is interpolated into the hole and added, which hides the seam.
Patches have independent posteriors and contribute one pixel each; overlapping patches agree only because sampling takes
several steps. Comparing all patches is feasible for a few thousand pixels; `nearest_neighbour_field` continues on finer
scales.

Distances are between whole grey levels (`grey_levels`), exact in any order of summation. All other values are rounded
once, or computed in float64. So samples do not depend on the number of threads or the processor, unless a state is
within 1e-15 of the border between two levels.
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
from scoreinv.system.options import require
from scoreinv.texture.nearest_neighbour_field import GREY_LEVEL, TOLERANCE, grey_levels, of_channels

REACH = (0.5, 2.0)
"""Standard deviations of displacements down and across in pixels, by eye on removed objects. Across it is larger, since
scenes vary less that way. Both are below a patch's size, because overlapping patches count differences repeatedly."""
_PATCHES = (512, 4096)
"""Maximum number of patches that a place is compared with, if there are many places and if there are few."""
_COMPARISONS = 1 << 23  # maximum number of comparisons per step; more places get fewer patches
_MARGIN = 4  # radius of a patch in pixels
_SIDE = 2 * _MARGIN + 1
_FEWEST = 200  # minimum number of patches to continue a picture from
_RIM = 2  # width in pixels of the known rim that is estimated too, to measure the mismatch
_NEGLIGIBLE = 20.0
"""Patches whose log weight is lower than the largest by this are ignored: 4,096 of them weigh less than 1e-5."""
_TILE = 48  # maximum side of a group of places: each group of a long crack has its own patches
_MAX_UNOBSERVED = 0.1
"""Maximum share of a hole's pixels whose patch has no observed pixel, as at crossings of cracks, in `touch_known`. With
fewer of them, a start at the next coarser scale does not improve fills."""


def most_patches(places: int, parts: int = 1) -> int:
    """Return the maximum number of patches to compare with each place, for `parts` groups with their own patches."""
    fewest, most = _PATCHES
    return max(fewest, min(most, _COMPARISONS // max(1, places)) // parts)


class PatchPrior(Prior):
    """A distribution over the fills of pictures whose patches are all among the known ones.

    Every picture must have a hole, and enough patches that may be copied (`enough`).

    Args:
        sde: the SDE of the noise.
        pictures: (B, C, H, W) on [-1, 1], of 3 channels or 1 (`of_channels`); values are ignored where not observed.
        observed: (B or 1, 1, H, W), 0 or 1.
        elsewhere: (B, 2), c of each picture, in pixels down and across. None: 0.
        sources: (B or 1, 1, H, W), 0 or 1, the pixels that may be copied. None: all observed ones.
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
            alike = (other for other in self._patches if other.is_same(picture, known, copied))  # shared by samples
            self._patches.append(next(alike, None) or _Patches(picture, known, copied))

    @staticmethod
    def enough(sources: Tensor) -> bool:
        """Return whether all pictures with these sources, (B, 1, H, W), have enough patches."""
        if min(sources.shape[-2:]) < _SIDE:
            return False
        return bool((_wholly_known(sources, _SIDE).flatten(1).sum(1) >= _FEWEST).all())

    @staticmethod
    def touch_known(observed: Tensor) -> bool:
        """Return whether the patches of nearly all hidden pixels contain observed pixels.

        observed: (B, 1, H, W), 0 or 1.
        """
        hidden = 1 - observed
        return bool(_wholly_known(hidden, _SIDE).sum() <= _MAX_UNOBSERVED * hidden.sum())

    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        """Return -sigma(t) grad log p_t(x); raise InputError if its gradient is requested: the estimate has none."""
        t = as_time(t)
        return (x - broadcast(self.sde.alpha(t), x) * self.denoise(x, t)) / broadcast(self.sde.sigma(t), x)

    def denoise(self, x: Tensor, t: float | Tensor) -> Tensor:
        require(
            not (x.requires_grad and torch.is_grad_enabled()),
            "the patch prior has no gradient: choose a guidance that takes none",
        )
        t = as_time(t).expand(len(x))
        clean, levels = x / broadcast(self.sde.alpha(t), x), self.sde.noise_to_signal(t).tolist()
        rows = zip(self._patches, clean, levels, self._centres, strict=True)
        return torch.stack([patches.mean(state, level, centre) for patches, state, level, centre in rows]).to(x)

    def finish(self, x0: Tensor) -> Tensor:
        return torch.stack([patches.exact(row) for patches, row in zip(self._patches, x0, strict=True)])

    def displacements(self, x0: Tensor) -> Tensor:
        """Return the displacements of samples (B, C, H, W) to their likeliest patches, (B, 2, H, W) int64.

        They are 0 outside the holes and their rims.
        """
        rows = zip(self._patches, x0, self._centres, strict=True)
        return torch.stack([patches.displacements(row, centre) for patches, row, centre in rows])


class _Patches:
    """The patches of one picture that may be copied (a subset if there are many), compared with places.

    The places are the pixels of the hole and of a rim of `_RIM` pixels around it. A patch of C channels is a row of
    D = C side^2 values, identified by the number of its first pixel in the picture padded by `_MARGIN` (`_padded`),
    whose rows have `_row` pixels.
    """

    def __init__(self, picture: Tensor, observed: Tensor, sources: Tensor) -> None:
        self.picture, self.observed, self.sources = torch.where(observed > 0, picture, 0.0), observed, sources
        self._row = observed.shape[-1] + 2 * _MARGIN
        self._tau = of_channels(TOLERANCE, len(picture))
        places = F.max_pool2d(1 - observed, 2 * _RIM + 1, 1, _RIM)[0].nonzero().T
        at = _wholly_known(F.pad(sources, (_MARGIN,) * 4), _SIDE)[0].nonzero().T
        self.box = tuple(slice(int(along.min()), int(along.max()) + 1) for along in places)
        tiles = _tiles(places)
        most = most_patches(places.shape[1], len(tiles))
        self.tiles = [self._tile(tile, _near_and_far(at, tile, most)) for tile in tiles]

    def is_same(self, picture: Tensor, observed: Tensor, sources: Tensor) -> bool:
        """Return whether the picture (C, H, W) and its masks are the same as this object's."""
        alike = torch.equal(self.observed, observed) and torch.equal(self.sources, sources)
        return alike and torch.equal(torch.where(observed > 0, picture, 0.0), self.picture)

    def mean(self, x: Tensor, level: float, centre: list[float]) -> Tensor:
        """Return the posterior mean (C, H, W), given the state x at this noise level, with offset c = `centre`."""
        estimate, covered = self.estimate(x, level, centre)
        rim = covered & (self.observed > 0)
        mismatch = (self.picture - estimate)[:, *self.box][None]
        estimate[:, *self.box] += smooth_estimate(mismatch, rim[:, *self.box][None].to(estimate)).mean[0]
        return self.exact(estimate)

    def estimate(self, x: Tensor, level: float, centre: list[float]) -> tuple[Tensor, Tensor]:
        """Return the centres of the patches' posterior means, (C, H, W) float64, and the mask of places, (1, H, W)."""
        total = x.new_zeros(len(x) + 1, *x.shape[-2:], dtype=torch.float64)
        for tile, weights in self._log_weights(x, level, centre):
            sums = _weighted(weights, F.pad(tile.middles, (0, 1), value=1.0))
            total[:, *tile.places] = (sums / sums[:, -1:]).T
        return total[:-1], total[-1:] > 0

    def displacements(self, x0: Tensor, centre: list[float]) -> Tensor:
        """Return the displacements of the pixels of a sample (C, H, W), (2, H, W), with offset `centre`."""
        moved = x0.new_zeros(2, *x0.shape[-2:], dtype=torch.int64)
        for tile, weights in self._log_weights(x0, 0.0, centre):
            moved[:, *tile.places] = tile.at[:, weights.argmax(1)] - tile.places
        return moved

    def exact(self, x0: Tensor) -> Tensor:
        """Return the sample with the known pixels."""
        return torch.where(self.observed > 0, self.picture.to(x0), x0)

    def _log_weights(self, x: Tensor, level: float, centre: list[float]) -> Iterator[tuple[_Tile, Tensor]]:
        """Yield each tile with the log weights (n, M) of its patches, up to a constant per place.

        Up to that constant, exp(-|(displacement - c) / reach|^2 / 2) is its value at c = 0 times
        exp(c . place / reach^2).

        Args:
            x: the state (C, H, W) at this noise level.
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
        squares = values.square().view(len(values), -1, len(levels)).sum(2)  # per pixel
        here, where, hidden = (
            self._patches(self._padded(pixels), places) for pixels in (levels, self.observed, 1 - self.observed)
        )
        closer = torch.addmm(where @ squares.T, here, values.T, beta=-1, alpha=2)
        known = closer.mul_(GREY_LEVEL**2 / (2 * self._tau**2))
        for place, there, reach in zip(places, at, REACH, strict=True):
            known -= (place[:, None] - there).to(known).square_().div_(2 * reach**2)
        return _Tile(places, at, self.picture[:, *at].T.double(), values, known, hidden @ squares.T)

    def _padded(self, picture: Tensor) -> Tensor:
        """Return the pixels (P, C) of a picture (C, H, W) padded by 0."""
        return F.pad(picture, (_MARGIN,) * 4).flatten(1).T.contiguous()

    def _patches(self, padded: Tensor, at: Tensor) -> Tensor:
        """Return the patches (n, D) around pixels (2, n)."""
        along = torch.arange(_SIDE, device=at.device)
        pixels = (at[0] * self._row + at[1])[:, None] + (along[:, None] * self._row + along).flatten()
        return padded.index_select(0, pixels.flatten()).view(len(pixels), -1)


@dataclass(frozen=True)
class _Tile:
    """A group of nearby places, and the patches to compare with.

    Attributes:
        places: (2, n).
        at: (2, M), the centres of the patches to compare with.
        middles: (M, C), the values at these centres.
        values: (M, D), the patches in grey levels.
        known: (n, M), log weights from the observed pixels and the displacements, up to a constant per place.
        hidden: (n, M), sums of squares of the patches over hidden pixels.
    """

    places: Tensor
    at: Tensor
    middles: Tensor
    values: Tensor
    known: Tensor
    hidden: Tensor


def _weighted(log_weights: Tensor, values: Tensor) -> Tensor:
    """Return sums (n, C) of values (M, C) in float64 with weights exp(log_weights), up to a factor per row.

    log_weights: (n, M), overwritten.
    """
    log_weights -= log_weights.amax(1, keepdim=True)
    row, patch = (log_weights > -_NEGLIGIBLE).nonzero().T
    shares = log_weights[row, patch].double().exp()
    return values.new_zeros(len(log_weights), values.shape[1]).index_add_(0, row, shares[:, None] * values[patch])


def _tiles(places: Tensor) -> list[Tensor]:
    """Group places (2, N) into tiles."""
    tile = torch.zeros_like(places[0])
    for along in places:
        length = int(along.max() - along.min()) + 1
        count = math.ceil(length / _TILE)
        tile = tile * count + (along - along.min()) * count // length
    return [places[:, tile == number] for number in tile.unique()]


def _near_and_far(at: Tensor, places: Tensor, most: int) -> Tensor:
    """Return at most `most` patches by their centres (2, M): half those nearest to the places, the rest spread evenly.

    Near patches are likeliest; distant ones make samples differ.
    """
    if at.shape[1] <= most:
        return at
    from scipy import ndimage  # slow to import, and only these fills need it

    outside = torch.ones((torch.maximum(at.amax(1), places.amax(1)) + 1).tolist(), dtype=torch.bool)
    outside[*places.cpu()] = False
    distance = torch.from_numpy(ndimage.distance_transform_edt(outside.numpy())).to(at.device)
    order = distance[*at].argsort(stable=True)
    near, far = order[: most // 2], order[most // 2 :]
    spread = torch.arange(most - len(near), device=far.device) * (len(far) - 1) // (most - len(near) - 1)
    return at[:, torch.cat([near, far[spread]]).sort().values]


def _wholly_known(observed: Tensor, side: int) -> Tensor:
    """Return whether the patch of `side` x `side` pixels starting at each pixel is observed."""
    return F.max_pool2d(1 - observed, side, 1) == 0
