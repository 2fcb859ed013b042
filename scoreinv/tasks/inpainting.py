"""Holes filled by samples of the prior given what surrounds them (Song et al. 2021, appendix I.2).

The picture is never put through the network as a whole. Holes are grouped into regions with known pixels around; these
are done one after another, in a fixed order, each given what was filled before; a region is covered by windows of the
size that the model was trained at, whose estimates are blended at every step (`guidance.Tiled`). So memory is bounded
whatever the picture's size, and the fill alone is written: known pixels are bit-identical.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from scoreinv.arguments import check_callback, check_number
from scoreinv.boxes import Box
from scoreinv.colour import luma
from scoreinv.conditional.guess import interpolate
from scoreinv.guidance.conditioned import check_conditional
from scoreinv.guidance.orientations import ALL
from scoreinv.imaging.arrays import pictures_from_api
from scoreinv.imaging.colour import STRAY_CHROMA, is_gray
from scoreinv.imaging.masks import DEFAULT_THRESHOLD, as_holes, observed_from_hole
from scoreinv.imaging.picture import Fill, Picture
from scoreinv.imaging.regions import Region, blocks, halvings, hole_regions
from scoreinv.memory import PIXELS_AT_ONCE
from scoreinv.operators import mask as mask_operator
from scoreinv.prior import ScorePrior
from scoreinv.samplers import NoiseStream
from scoreinv.tasks.deep_holes import draw_in_scales
from scoreinv.tasks.drawing import conditioned, draw, window_side
from scoreinv.tasks.models import check_colour, check_model
from scoreinv.tasks.progress import Share, TaskCallback
from scoreinv.tasks.restored import Restored, restore_each
from scoreinv.tasks.settings import FILL_STEPS, ConditionalSampling, Estimate, Method
from scoreinv.tasks.tensors import spread, to_arrays, to_tensor

_BLOCK_TILES = 12
"""Longest side of a region in tiles; larger clusters of holes are done in blocks, each given those before."""

_DEEP_CONTEXT = 32
"""Pixels around a deep hole at the scale where it is drawn first: what it is continued from."""


def inpaint(
    image: Any,
    mask: Any,
    *,
    prior: ScorePrior,
    method: Method | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate = "sample",
    start: float | None = None,
    mask_threshold: float = DEFAULT_THRESHOLD,
    callback: TaskCallback | None = None,
) -> Restored:
    """Fill the holes of a picture.

    Arguments:
        image: array HxW, HxWx3 or HxWx4 (uint8, uint16, float in [0, 1]), PIL image, or tensor (B)xCxHxW in [0, 1].
        mask: of the picture's size; true, or above `mask_threshold` of its range, is a hole.
        method, steps, samples, seed, estimate, start: see `ConditionalSampling`.
        callback: told of progress; may stop the work.

    Raises InputError for pictures, masks or settings that are not such, Cancelled when the callback stopped, and
    ScoreinvError when the model gives values that are not finite.
    """
    sampling = ConditionalSampling(method, steps, start, samples, seed, estimate)
    check_model(prior)
    check_number("mask_threshold", mask_threshold, 0, 1)
    check_callback(callback)
    pictures, form = pictures_from_api(image)
    holes = as_holes(mask, [picture.size for picture in pictures], threshold=mask_threshold)
    return restore_each(
        pictures,
        form,
        lambda number, share: inpaint_picture(pictures[number], holes[number], prior, sampling, share),
        callback,
    )


def inpaint_picture(
    picture: Picture,
    hole: np.ndarray,
    prior: ScorePrior,
    sampling: ConditionalSampling,
    callback: TaskCallback | None = None,
) -> Restored:
    """`inpaint` for one `Picture` and its holes, HxW bool; gives a `Picture`.

    Where all that is known is grey the fill is grey too, its luma, whatever the file's mode.
    """
    check_colour(prior)
    sampling = sampling.resolved(FILL_STEPS, conditional=prior.conditional)
    if sampling.method == "conditioned":
        check_conditional(prior)  # also where no region comes to ask it
    sites = _sites(
        hole,
        window_side(sampling, prior),
        prior.stride,
        deep=sampling.method == "conditioned" and not sampling.is_posterior_mean,
    )
    grey = is_gray(picture.pixels[~hole][None], STRAY_CHROMA)
    share = Share(callback, sum(site.region.hole.size for site in sites))
    unknown = hole.copy()
    fills: list[list[Fill]] = [[] for _ in range(sampling.samples)]
    nfe = 0
    for group in _groups(sites):
        share.begin(sum(site.region.hole.size for site in group))
        regions = [site.region for site in group]
        colours, evaluations = _fill_group(picture, unknown, regions, group[0].halvings, fills, prior, sampling, share)
        nfe = max(nfe, evaluations)
        for number, region in enumerate(regions):
            for done, drawn in zip(fills, colours, strict=True):
                rgb = np.repeat(luma(drawn[number])[..., None], 3, axis=2) if grey else drawn[number]
                done.append(Fill(region.box, region.hole, rgb))
            _crop(unknown, region.box)[region.hole] = False
    filled = [picture.with_fills(done) for done in fills]
    image = filled[0] if sampling.estimate == "sample" else picture.with_fills(_means(fills))
    return Restored(image, filled, _spread(picture, fills), nfe, sampling.method)


def _fill_group(
    picture: Picture,
    unknown: np.ndarray,
    group: list[Region],
    times: int,
    fills: list[list[Fill]],
    prior: ScorePrior,
    sampling: ConditionalSampling,
    share: Share,
) -> tuple[list[list[np.ndarray]], int]:
    """For each sample the colours of each region of a group of equal size, and the evaluations of each."""
    holes = [_crop(unknown, region.box).copy() for region in group]
    rows = [(sample, number) for sample in range(len(fills)) for number in range(len(group))]
    at_once = max(1, PIXELS_AT_ONCE // group[0].hole.size)
    times = min(times, int(math.log2(max(1, min(group[0].hole.shape) // prior.stride))))
    colours: list[list[np.ndarray]] = [[] for _ in fills]
    nfe = 0
    for first in range(0, len(rows), at_once):
        part = rows[first : first + at_once]
        known = [_overlaid(picture, group[number].box, fills[sample]) for sample, number in part]
        observed = torch.from_numpy(np.stack([observed_from_hole(holes[number]) for _, number in part]))[:, None]
        values = to_tensor(known, prior.device)
        observed = observed.to(prior.device)
        keys = [(sampling.seed, sampling.first + sample, *group[number].box[:2]) for sample, number in part]
        tell = _Part(share, first / len(rows), len(part) / len(rows))
        if times:
            drawn, nfe = draw_in_scales(
                sampling, prior, values, observed, times, partial(_noise, keys, prior.device), tell
            )
        else:
            operator = mask_operator(observed)
            y = operator(prior.to_model(values))
            needed = (observed == 0).any(0)[0]
            overlap = window_side(sampling, prior) // 8
            condition = conditioned(sampling, prior, operator, y, overlap=overlap, orientations=ALL, needed=needed)
            guess = values if sampling.method == "conditioned" else 0.5 + interpolate(values - 0.5, observed).mean
            drawn, nfe = draw(sampling, condition, prior, guess, _noise(keys, prior.device, 0), tell)
        for (sample, _), rgb in zip(part, to_arrays(drawn), strict=True):
            colours[sample].append(rgb)
    return colours, nfe


@dataclass(frozen=True)
class _Part:
    """Progress of a part of a group, as that of the group."""

    share: Share
    offset: float
    scale: float

    def __call__(self, fraction: float) -> bool | None:
        return self.share(self.offset + self.scale * fraction)


def _noise(keys: list[tuple[int, ...]], device: torch.device, scale: int) -> NoiseStream:
    """The noise of each row at a scale, 0 the picture's own."""
    return NoiseStream.keyed([(*key, scale) for key in keys] if scale else keys, device)


@dataclass(frozen=True)
class _Site:
    """A region to fill, and how often it is halved before it is drawn."""

    region: Region
    halvings: int


def _sites(hole: np.ndarray, tile: int, stride: int, *, deep: bool) -> list[_Site]:
    """The regions to fill, deep holes last, since they go on from all around: none has a side longer than a block and
    its context.

    tile, stride: sides of the windows, and what they are multiples of.
    deep: draw what is out of the network's reach at coarser scales; else all at the picture's own.
    """
    times = halvings(hole, tile / 4) if deep else np.zeros(hole.shape, dtype=np.int8)
    sites = []
    for count in np.unique(times[hole]).tolist():
        context = max(tile // 4, _DEEP_CONTEXT if count else 0) << count
        limit = 2 * (_BLOCK_TILES * tile + context) if count else _BLOCK_TILES * tile
        wanted = {"context": context, "multiple": stride, "minimum": tile, "maximum": limit}
        regions = hole_regions(hole & (times == count), **wanted)
        sites += [_Site(block, count) for region in regions for block in blocks(region, hole.shape, **wanted)]
    return sites


def _groups(sites: list[_Site]) -> Iterator[list[_Site]]:
    """Sites in order, neighbours in that order together that are alike and apart, up to what is evaluated at once."""
    group: list[_Site] = []
    for site in sites:
        size = site.region.hole.size
        shallow = group and site.halvings == group[0].halvings == 0  # deep ones may each be drawn in another way
        alike = shallow and site.region.hole.shape == group[0].region.hole.shape
        apart = not any(_meet(site.region.box, other.region.box) for other in group)
        if group and not (alike and apart and (len(group) + 1) * size <= PIXELS_AT_ONCE):
            yield group
            group = []
        group.append(site)
    if group:
        yield group


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _overlaid(picture: Picture, box: Box, fills: list[Fill]) -> np.ndarray:
    """Colours of a box, with what has been filled so far."""
    rgb = picture.rgb(box)
    top, left, height, width = box
    for fill in fills:
        y, x, tall, wide = fill.box
        y0, x0 = max(y, top), max(x, left)
        y1, x1 = min(y + tall, top + height), min(x + wide, left + width)
        if y0 >= y1 or x0 >= x1:
            continue
        inside = fill.hole[y0 - y : y1 - y, x0 - x : x1 - x]
        colours = fill.rgb[y0 - y : y1 - y, x0 - x : x1 - x]
        rgb[y0 - top : y1 - top, x0 - left : x1 - left][inside] = colours[inside]
    return rgb


def _means(fills: list[list[Fill]]) -> list[Fill]:
    return [replace(same[0], rgb=np.mean([fill.rgb for fill in same], axis=0)) for same in zip(*fills, strict=True)]


def _spread(picture: Picture, fills: list[list[Fill]]) -> np.ndarray | None:
    if len(fills) == 1:
        return None
    std = np.zeros(picture.size, dtype=np.float32)
    for same in zip(*fills, strict=True):
        hole = same[0].hole
        _crop(std, same[0].box)[hole] = spread(np.stack([fill.rgb for fill in same]))[hole]
    return std


def _crop(values: np.ndarray, box: Box) -> np.ndarray:
    top, left, height, width = box
    return values[top : top + height, left : left + width]
