"""A model on pictures larger than its training size, in overlapping windows.

A network works best near its training size, because its normalisation takes statistics over its input. Its memory
grows with the picture. So the noise is estimated window by window and blended,

    noise(x, t) = sum_w b_w noise_w(x_w, t),        sum_w b_w = 1 at every pixel,

with weights b_w that fall off linearly over the overlap, so that there are no seams. The *estimates* are blended at
every step, so the windows agree on one picture (MultiDiffusion, Bar-Tal et al. 2023, arXiv 2302.08113).

Windows lie on a grid, or around the needed pixels alone (`placement`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from scoreinv.prior import Prior, PriorWrapper, layers
from scoreinv.sdes import as_time
from scoreinv.system.errors import InputError
from scoreinv.system.progress import part
from scoreinv.windows.boxes import Box
from scoreinv.windows.placement import grid, windows_around
from scoreinv.windows.transforms import UPRIGHT, Orientation, averaged, crops


class Tiled(PriorWrapper):
    """A model on pictures of any size, by blended noise estimates of windows.

    A condition needs the whole picture, so it wraps the tiled prior: `MMPS(Tiled(prior, 64, 8), observation)`. The
    maps of a conditional prior are cropped like x. The backward pass evaluates each group of windows again, so that it
    needs the memory of one group only.

    Args:
        prior: the model.
        tile: side of the windows in pixels, a multiple of the prior's stride. On a shorter side of the picture, windows
            have its largest multiple of the stride, or one stride if it is shorter still.
        overlap: minimum overlap of neighbouring windows in pixels, in [0, tile).
        pixels_at_once: maximum number of pixels of windows in one evaluation, to bound memory.
        needed: (H, W) bool, the pixels whose estimate is used; None for all. Each is at least half the overlap from the
            border of a window, except at the picture's border. Outside the windows the estimate is 0.
        orientations: orientations of the windows, over which estimates are averaged; see `transforms`. Pictures of the
            prior must be equally likely in all of them.

    Raises InputError for a tile or overlap out of range, and for a prior that needs whole pictures; `noise` does for a
    picture of another size than `needed`.
    """

    def __init__(
        self,
        prior: Prior,
        tile: int,
        overlap: int,
        pixels_at_once: int = 1 << 18,
        needed: Tensor | None = None,
        orientations: tuple[Orientation, ...] = UPRIGHT,
    ) -> None:
        super().__init__(prior)
        for inner in layers(prior):
            if isinstance(inner, PriorWrapper) and inner.of_whole_pictures:
                name = type(inner).__name__
                raise InputError(f"{name} needs the whole picture: put the tiles inside, {name}(Tiled(...), ...)")
        if tile < 1 or tile % prior.stride:
            raise InputError(f"the tile's side must be a multiple of {prior.stride}, not {tile}")
        if not 0 <= overlap < tile:
            raise InputError(f"the overlap must be at least 0 and less than the tile's side {tile}, not {overlap}")
        self.stride = 1
        self.tile = tile
        self.overlap = overlap
        self.pixels_at_once = pixels_at_once
        self.needed = needed
        self._needed_windows = (
            None if needed is None else windows_around(needed.cpu().numpy(), tile, overlap, prior.stride)
        )
        self.orientations = orientations
        self.evaluations_per_noise *= len(orientations)
        self.vjps_per_noise *= len(orientations)

    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        t = as_time(t).expand(x.shape[0])
        height, width = x.shape[-2:]
        if self.needed is not None and self.needed.shape != (height, width):
            needed = "x".join(map(str, self.needed.shape))
            raise InputError(f"the needed pixels are {needed} and the picture {height}x{width}: give them one size")
        boxes = self._needed_windows
        if boxes is None:
            boxes = grid(height, width, self.tile, self.overlap, self.prior.stride)
        if boxes == [(0, 0, height, width)]:
            return averaged(self.prior, x, t, maps, self.orientations)
        if not boxes:
            return torch.zeros_like(x)
        return blended(boxes, self._estimates(x, t, maps, boxes), self.overlap, (height, width))

    def _estimates(self, x: Tensor, t: Tensor, maps: tuple[Tensor, ...], boxes: list[Box]) -> Iterator[Tensor]:
        """Yield the noise estimate of each box, in order."""
        samples, (height, width) = x.shape[0], x.shape[-2:]
        most = max(1, self.pixels_at_once // (samples * boxes[0][2] * boxes[0][3]))
        count = math.ceil(len(boxes) / most)
        group_size = math.ceil(len(boxes) / count)  # equal groups: a small last one would take longer

        def evaluate(number: int, times: Tensor, windows: Tensor, *cropped: Tensor) -> Tensor:
            with part(number, count):
                return averaged(self.prior, windows, times, cropped, self.orientations)

        for number, first in enumerate(range(0, len(boxes), group_size)):
            group = boxes[first : first + group_size]
            cropped = [crops(values, group, samples, (height, width)) for values in (x, *maps)]
            arguments: tuple[Any, ...] = number, t.repeat(len(group)), *cropped
            if count > 1 and cropped[0].requires_grad and torch.is_grad_enabled():
                noise = checkpoint(evaluate, *arguments, use_reentrant=False, preserve_rng_state=False)
            else:
                noise = evaluate(*arguments)
            yield from noise.split(samples)


def blended(boxes: Sequence[Box], estimates: Iterable[Tensor], overlap: int, size: tuple[int, int]) -> Tensor:
    """Return the mean of windows' estimates, (..., H, W), with weights that fall off linearly over the overlap.

    Args:
        boxes: windows of one size; one that is larger than the picture is cut off.
        estimates: of each window, (..., h, w).
        overlap: minimum overlap of neighbours, in pixels; on a side with smaller windows, at most half of it.
        size: H and W. Outside the windows the mean is 0.
    """
    remaining = iter(estimates)
    first = next(remaining)
    total, weights = first.new_zeros(*first.shape[:-2], *size), first.new_zeros(size)
    down, across = (_ramp(side, min(overlap, side // 2)).to(first) for side in boxes[0][2:])
    weight = down[:, None] * across
    for (top, left, tall, wide), estimate in zip(boxes, chain([first], remaining), strict=True):
        area = total[..., top : top + tall, left : left + wide]
        inside = (slice(area.shape[-2]), slice(area.shape[-1]))  # a picture may be smaller than a window
        area += weight[inside] * estimate[..., *inside]
        weights[top : top + tall, left : left + wide] += weight[inside]
    return total.div_(weights.clamp_(min=torch.finfo(total.dtype).tiny))


def _ramp(size: int, overlap: int) -> Tensor:
    """Return unnormalised weights of a window along an axis, which fall off at both ends."""
    distance = torch.arange(size, dtype=torch.float64) + 0.5
    return (torch.minimum(distance, size - distance) / max(1, overlap)).clamp(max=1)
