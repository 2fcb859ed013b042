"""Pictures larger than the model's own size, in overlapping windows.

A network is at home near the size that it was trained at (its normalisation takes statistics over what it sees), and
its memory grows with the picture. So the noise is estimated window by window and blended,

    noise(x, t) = sum_w b_w noise_w(x_w, t),        sum_w b_w = 1 at every pixel,

with weights b_w that fall off linearly over the overlap: no seams. The *estimates* are blended at every step, so the
windows agree on one picture (MultiDiffusion, Bar-Tal et al. 2023, arXiv 2302.08113).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scoreinv.boxes import Box
from scoreinv.errors import InputError
from scoreinv.operators import crop
from scoreinv.prior import Prior, PriorWrapper
from scoreinv.sdes import as_time

_KEPT = 1 << 22
"""Most window pixels whose crops of a condition are kept from step to step, to bound memory."""


class Tiled(PriorWrapper):
    """A prior over pictures of any size whose noise estimates come from windows, blended.

    It goes outside or inside a condition: an observation is imposed on the whole picture, and a condition inside is
    seen through each window.

    Arguments:
        tile: side of the windows in pixels, a multiple of the prior's stride. A picture side shorter than that, or not
            a multiple of the stride, is covered by shorter windows that are.
        overlap: pixels that neighbouring windows share at least, in [0, tile).
        pixels_at_once: bound of memory: windows of a common size are evaluated together up to this many pixels.
        needed: (H, W) bool, where the estimate matters; windows that hold no such pixel are left out, and the estimate
            is 0 where no window is. None: everywhere.

    Raises InputError for a tile or overlap out of range.
    """

    def __init__(
        self, prior: Prior, tile: int, overlap: int, pixels_at_once: int = 1 << 18, needed: Tensor | None = None
    ) -> None:
        super().__init__(prior)
        if tile < 1 or tile % prior.stride:
            raise InputError(f"the tile's side must be a multiple of {prior.stride}, not {tile}")
        if not 0 <= overlap < tile:
            raise InputError(f"the overlap must be at least 0 and less than the tile's side {tile}, not {overlap}")
        self.stride = 1
        self.tile = tile
        self.overlap = overlap
        self.pixels_at_once = pixels_at_once
        self.needed = needed
        self._seen: dict[tuple[tuple[Box, ...], int], Prior] = {}
        self._room = _KEPT

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t).expand(x.shape[0])
        height, width = x.shape[-2:]
        stride = self.prior.stride
        # Where no window fits, one goes past the border.
        rows = _axis(max(height, stride), self.tile, self.overlap, stride)
        columns = _axis(max(width, stride), self.tile, self.overlap, stride)
        if (rows[0].size, columns[0].size) == (height, width):
            return self.prior.noise(x, t)
        windows = {(r.start, c.start, r.size, c.size): (r.weight, c.weight) for r in rows for c in columns}
        boxes = [box for box in windows if self.needed is None or crop(self.needed, box).any()]
        total = torch.zeros_like(x)
        if not boxes:
            return total
        for box, estimate in zip(boxes, self._estimates(x, t, boxes), strict=True):
            down, across = windows[box]
            top, left, tall, wide = box
            area = total[..., top : top + tall, left : left + wide]
            area += ((down[:, None] * across).to(x) * estimate)[..., : area.shape[-2], : area.shape[-1]]
        return total

    def windows(self, boxes: Sequence[Box], samples: int) -> Tiled:
        needed = None if self.needed is None else torch.stack([crop(self.needed, box) for box in boxes]).any(0)
        return Tiled(self.prior.windows(boxes, samples), self.tile, self.overlap, self.pixels_at_once, needed)

    def rows(self, index: Tensor) -> Tiled:
        return Tiled(self.prior.rows(index), self.tile, self.overlap, self.pixels_at_once, self.needed)

    def _estimates(self, x: Tensor, t: Tensor, boxes: list[Box]) -> Iterator[Tensor]:
        """The noise estimate of each box, in order."""
        samples = x.shape[0]
        together = max(1, self.pixels_at_once // (samples * boxes[0][2] * boxes[0][3]))
        for first in range(0, len(boxes), together):
            group = tuple(boxes[first : first + together])
            windows = torch.cat([crop(x, box) for box in group])
            yield from self._through(group, samples).noise(windows, t.repeat(len(group))).split(samples)

    def _through(self, group: tuple[Box, ...], samples: int) -> Prior:
        """The prior seen through a group of windows, which is cut out once for all the steps of a sampler."""
        if (group, samples) in self._seen:
            return self._seen[group, samples]
        prior = self.prior.windows(group, samples)
        pixels = samples * len(group) * group[0][2] * group[0][3]
        if pixels <= self._room:
            self._room -= pixels
            self._seen[group, samples] = prior
        return prior


def cheapest_tile(needed: Tensor, overlap: int, stride: int, least: int, most: int) -> int:
    """The side of windows, from `least` to `most`, by which those that hold a needed pixel, (H, W) bool, are smallest.

    Small windows overlap often, large ones reach beyond what is needed: of 512 pixels with an overlap of 8, nine of 64
    have 576 along a side and three of 176 have 528; but of a line across the picture they have three times as many.
    """
    height, width = needed.shape
    if max(height, width) <= least:
        return least  # as well as any

    def pixels(tile: int) -> int:
        (high, tops), (wide, lefts) = (
            _places(max(length, stride), tile, overlap, stride) for length in (height, width)
        )
        boxes = [(top, left, high, wide) for top in tops for left in lefts]
        return sum(high * wide for box in boxes if crop(needed, box).any())

    return min(range(least, most + 1, stride), key=pixels)


def covering_tile(height: int, width: int, overlap: int, stride: int, least: int, most: int) -> int:
    """The side of windows, from `least` to `most`, that cover a whole picture in the fewest pixels and, so, windows.

    512 pixels with an overlap of 32 are covered by three of 192 (576), where five of 128 are 640.
    """

    def pixels(tile: int) -> int:
        (high, tops), (wide, lefts) = (
            _places(max(length, stride), tile, overlap, stride) for length in (height, width)
        )
        return len(tops) * high * len(lefts) * wide

    return min(reversed(range(least, most + 1, stride)), key=pixels)


@dataclass(frozen=True)
class _Interval:
    """A window along one axis, and its share (size,) of the blend there."""

    start: int
    size: int
    weight: Tensor


def _places(length: int, tile: int, overlap: int, stride: int) -> tuple[int, list[int]]:
    """The size and the starts of windows along an axis of `length` >= stride: evenly spread, equal in size."""
    size = min(tile, length // stride * stride)
    overlap = _overlap(size, tile, overlap)
    count = 1 + -(-(length - size) // (size - overlap))
    return size, [round(k * (length - size) / max(1, count - 1)) for k in range(count)]


def _overlap(size: int, tile: int, overlap: int) -> int:
    """What neighbouring windows of a size share at least: of those shorter than the tile, half at most."""
    return min(overlap, size // 2) if size < tile else overlap


def _axis(length: int, tile: int, overlap: int, stride: int) -> list[_Interval]:
    """The windows along an axis, their weights adding up to 1."""
    size, starts = _places(length, tile, overlap, stride)
    distance = torch.arange(size, dtype=torch.float64) + 0.5
    ramp = (torch.minimum(distance, size - distance) / max(1, _overlap(size, tile, overlap))).clamp(max=1)
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + size] += ramp
    return [_Interval(start, size, ramp / total[start : start + size]) for start in starts]
