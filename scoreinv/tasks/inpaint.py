"""The task `inpaint`: holes filled by samples of the prior given what surrounds them (Song et al. 2021, appendix I.2).

The picture is never put through the network as a whole. Holes are grouped into regions with known pixels around; these
are done one after another, in a fixed order, each given what was filled before; around its holes lie windows of about
the size that the model was trained at, whose estimates are blended at every step (`windows.Tiled`). So memory is
bounded whatever the picture's size, and the fill alone is written: known pixels are bit-identical.

Of several pictures, regions of a size that one window covers are evaluated together: a network is up to five times as
fast with many small pictures as with one.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np
import torch

from scoreinv.analysis.faces import people_beside
from scoreinv.analysis.jpeg import without_smears
from scoreinv.analysis.leftovers import find_leftover
from scoreinv.analysis.nearby_colours import foreign
from scoreinv.conditional import Observation
from scoreinv.conditional.initial_estimate import smooth_estimate
from scoreinv.conditional.prior import trained_task
from scoreinv.imaging.picture import Fill, Picture
from scoreinv.imaging.regions import Region, extent, overlap, regions_to_fill, widened
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.masks import as_avoided, as_holes, observed_from_hole
from scoreinv.operators import ObservedComponents
from scoreinv.operators.colour_space import luma
from scoreinv.prior import ScorePrior
from scoreinv.samplers import NoiseStream
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.memory import PIXELS_AT_ONCE
from scoreinv.system.options import MASK_THRESHOLD, check_callback
from scoreinv.tasks.classical import fill_classically
from scoreinv.tasks.common import (
    MEAN_WINDOW,
    Model,
    Windows,
    accepts_holes,
    draw_conditioned,
    draw_constrained,
    draw_narrow,
    model_of,
    posterior_mean,
    spread,
    to_arrays,
    to_tensor,
)
from scoreinv.tasks.deep_holes import Scale, draw_in_scales, enough_to_copy
from scoreinv.tasks.results import Given, Restored, TaskCallback, as_given, at_work, parts, restore_each
from scoreinv.tasks.settings import Estimate, FillMethod, FillSettings, Sampling
from scoreinv.windows.boxes import Box, crop
from scoreinv.windows.ensemble import ALL, MIRRORED

_log = logging.getLogger(__name__)


def inpaint(
    image: Given,
    mask: Any,
    *,
    prior: Model | None = None,
    method: FillMethod | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate = "sample",
    start: float | None = None,
    mask_threshold: float = MASK_THRESHOLD,
    invert: bool = False,
    grow: int = 0,
    avoid: Any = None,
    exact: bool = False,
    callback: TaskCallback | None = None,
    progress: bool = False,
) -> Restored[Given]:
    """Fill the holes of a picture.

        result = scoreinv.inpaint(image, mask, prior=scoreinv.load("photo"), samples=4, seed=0)
        result.image, result.samples, result.std

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (B)xCxHxW of uint8, uint16 or floats in [0, 1].
        mask: array HxW or HxWx3(4), PIL image, or tensor HxW or (B)xCxHxW of bool, uint8, uint16 or floats in [0, 1],
            of the picture's size. True, or above `mask_threshold` of its range, is a hole.
        prior: the model, or its name or file, which is then loaded for this picture; None for a classical method.
        mask_threshold: of a mask's range, from 0, which suits the values 0 and 1, to below 1.
        invert: the mask marks what is known.
        grow: pixels by which the holes are enlarged, as soft edges need. A logged warning says where a rim of an object
            seems to be left beside a hole, and how many pixels would take it in.
        avoid: a mask of what deep holes take no pieces from, in the shapes and types of `mask` and by its threshold:
            what it marks is seen and stays, and is not copied. By themselves they take none from people's heads and
            shoulders, where a face is found, nor of colours that nothing beside the hole has.
        exact: keep every known pixel to the bit also of a JPEG (a PIL image opened from one). Else, where it smeared
            the colours of what the mask hides over its blocks, those of the 8 pixels beside it are redrawn too, on
            their own luma, and logged.
        method: `conditioned` (a network given what is known) or `pc` (constrained predictor-corrector, with any model),
            None for what the model was trained for; or `telea`, `navier-stokes` or `biharmonic`, which need no model
            and draw nothing.
        steps: of the sampler. None: 10 for `conditioned`, of which narrow holes take 3 at most, and 30 for `pc`.
        samples: how many fills are drawn.
        seed: the same one gives the same fills; each sample has its own noise.
        estimate: `sample`: a possible fill, sharp; `mean`: the average of the samples, or for one of `conditioned` the
            posterior mean at once, smooth where nothing is certain.
        start: only for `pc`: the noise level to begin at, for pictures in [0, 1]; `math.inf` is pure noise. None: 0.5,
            and pure noise from 1000 steps on.
        callback: called with the share of the work that is done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or a line now and then where that is no terminal.

    Warns of a model that was trained for another task.

    Raises:
        InputError: a wrong picture, mask or setting.
        Cancelled: the callback stopped the work.
        ScoreinvError: the model gave values that are not finite, or OpenCV is needed and cannot be loaded.
    """
    settings = FillSettings(
        method=method, steps=steps, start=start, samples=samples, seed=seed, estimate=estimate, exact=exact
    )
    settings.check_given(avoiding=avoid is not None)
    classical = settings.classical
    if classical is not None and prior is not None:
        raise SettingError("prior", f"does not go with {classical}, which needs no model")
    model = None if classical is not None else model_of(prior)
    check_callback(callback)
    pictures, form = pictures_from_api(image)
    sizes = [picture.size for picture in pictures]
    holes = as_holes(mask, sizes, threshold=mask_threshold, invert=invert, grow=grow)
    avoided: Sequence[np.ndarray | None] = [None] * len(pictures)
    if avoid is not None:
        avoided = as_avoided(avoid, sizes, threshold=mask_threshold)
    for picture, hole in zip(pictures, holes, strict=True):
        if (leftover := find_leftover(picture, hole)) is not None:
            _log.warning("%s: try grow=%d", leftover.words, grow + leftover.grow)

    def filled(number: int, share: TaskCallback) -> Restored[Any]:
        assert classical is not None
        return fill_classically(pictures[number], holes[number], classical, share, exact=exact)

    if model is not None and trained_task(model) == "colour":
        warnings.warn("prior: was trained to colour grey pictures, not to fill holes as photo was", stacklevel=2)
    with at_work("inpainting", callback, progress=progress) as told:
        if model is None:
            return restore_each(pictures, form, filled, told)
        each = zip(pictures, holes, avoided, strict=True)
        fillings = [Filling(picture, hole, model, settings, marked) for picture, hole, marked in each]
        results: list[Restored[Any]] = draw_fills(fillings, model, settings, told)
        return as_given(results, form)


def inpaint_picture(
    picture: Picture,
    hole: np.ndarray,
    prior: ScorePrior,
    settings: FillSettings,
    callback: TaskCallback | None = None,
    avoid: np.ndarray | None = None,
) -> Restored[Picture]:
    """`inpaint` for one `Picture` and its holes, HxW bool; settings are of no classical method.

    Where all that is known is grey, the fill is its luma, whatever the file's mode.

    Args:
        avoid: HxW bool, what deep holes copy nothing from.

    Raises InputError where it leaves too little that they could copy from.
    """
    (result,) = draw_fills([Filling(picture, hole, prior, settings, avoid)], prior, settings, callback)
    return result


def draw_fills(
    fillings: list[Filling], prior: ScorePrior, settings: FillSettings, callback: TaskCallback | None = None
) -> list[Restored[Picture]]:
    """Fill pictures that were prepared for the same prior and settings, but for seed and samples.

    Gives a `Picture` for each, which the others do not change.
    """
    sampling = settings.sampling(conditional=accepts_holes(prior))
    for filling in fillings:
        filling.begin(sampling.samples)
    steps = list(_steps(fillings, sampling.samples))
    sizes = [sum(region.hole.size for _, _, region in rows) for rows in steps]
    for rows, part in zip(steps, parts(callback, sizes), strict=True):
        at_once = max(1, PIXELS_AT_ONCE // rows[0][2].hole.size)
        batches = [rows[first : first + at_once] for first in range(0, len(rows), at_once)]
        drawn: list[np.ndarray] = []
        for batch, report in zip(batches, parts(part, map(len, batches)), strict=True):
            drawn += _draw(batch, prior, settings, report)
        for (filling, sample, region), rgb in zip(rows, drawn, strict=True):
            # The hole is kept alone: with what is around it, specks would take as much memory as the whole picture.
            down, across = extent(region.hole)
            hole, values = region.hole[down, across], rgb[down, across].copy()
            box = (region.box[0] + down.start, region.box[1] + across.start, *hole.shape)
            if filling.gray:
                values[...] = luma(values)[..., None]
            filling.fills[sample].append(Fill(box, hole, values))
            crop(filling.unknown, region.box)[region.hole] = False
    return [filling.result(settings, sampling) for filling in fillings]


class Filling:
    """The work on one picture: what is the same for all its fills is found once.

    Attributes:
        picture: what is filled, as the model is shown it.
        kept: what the fills are written into.
        hole: HxW bool.
        unknown: HxW bool, the pixels of it that are not filled yet.
        gray: whether it is filled with luma.
        groups: its regions in the order in which they are filled, those of a group together, as they are alike.
        fills: of each sample, what was filled.
        nfe: evaluations of the network at each place.
        window: side of the model's windows.
    """

    def __init__(
        self, picture: Picture, hole: np.ndarray, prior: ScorePrior, settings: FillSettings, avoid: np.ndarray | None
    ) -> None:
        sampling = settings.sampling(conditional=accepts_holes(prior))
        if avoid is not None and sampling.method == "pc":
            raise SettingError("avoid", "does not go with the method pc, which copies nothing")
        self.picture, self.kept = (picture, picture) if settings.exact else without_smears(picture, hole)
        self.hole = hole
        self.gray = picture.is_gray(~hole)
        deep = sampling.method == "conditioned" and not sampling.mean
        self.window = prior.image_size * (MEAN_WINDOW if sampling.mean else 1)
        groups = regions_to_fill(hole, self.window, prior.stride, deep=deep, at_once=PIXELS_AT_ONCE)
        self.groups = [[self._with_sources(region, prior, avoid) for region in group] for group in groups]
        if avoid is not None and not any(region.halvings for group in groups for region in group):
            _log.warning("what is avoided makes no difference: no hole is so deep that pieces are copied into it")

    def begin(self, samples: int) -> None:
        """Nothing is filled yet, of so many samples."""
        self.unknown, self.nfe = self.hole.copy(), 0
        self.fills: list[list[Fill]] = [[] for _ in range(samples)]

    def _with_sources(self, region: Region, prior: ScorePrior, avoid: np.ndarray | None) -> Region:
        """A region, if it is deep with what it takes no pieces from, and enlarged where too little else is left.

        That is what the user says, people, and what is foreign to the hole's surroundings. Where people are all that
        there is, they are copied. Raises InputError where `avoid` leaves too little.
        """
        wanted = region.halvings
        while True:
            box = region.box
            most = int(math.log2(max(1, min(box[2:]) // prior.stride)))  # to the model's least side
            region = replace(region, halvings=min(wanted, most))
            if not region.halvings:
                return region
            known = ~crop(self.hole, box)
            people = self._people(box)
            marked = np.zeros_like(known) if avoid is None else crop(avoid, box)
            left = known & ~people & ~marked
            if (enough := enough_to_copy(known, left, region.halvings)) is None:
                return region
            if enough:
                near = left & ~foreign(self.picture.rgb(box), ~known, region.halvings)
                return replace(region, avoid=known & ~(near if enough_to_copy(near, near, region.halvings) else left))
            if known.shape == self.picture.size:
                break
            region = widened(region, self.picture.size, prior.stride)
        if not enough_to_copy(known, known & ~marked, region.halvings):
            raise InputError("what is avoided leaves too little of the picture to copy from: mark less of it")
        return replace(region, avoid=marked)

    def _people(self, box: Box) -> np.ndarray:
        """Where people are in a box whom a fill should not repeat, hxw bool."""
        # A face that the box cuts is found with what is beside it.
        top, left = (max(0, first - side // 4) for first, side in zip(box[:2], box[2:], strict=True))
        bottom, right = (first + side + side // 4 for first, side in zip(box[:2], box[2:], strict=True))
        height, width = self.picture.size
        wide = (top, left, min(bottom, height) - top, min(right, width) - left)
        people = people_beside(crop(self.hole, wide), luma(self.picture.rgb(wide)))
        return crop(people, (box[0] - top, box[1] - left, *box[2:]))

    def known(self, sample: int, box: Box) -> np.ndarray:
        """Colours of a box, with what has been filled so far of this sample."""
        rgb = self.picture.rgb(box)
        for fill in self.fills[sample]:
            if both := overlap(box, fill.box):
                ours, theirs = both
                inside = fill.hole[theirs]
                rgb[ours][inside] = fill.rgb[theirs][inside]
        return rgb

    def result(self, settings: FillSettings, sampling: Sampling) -> Restored[Picture]:
        """The filled picture, its samples, and their standard deviation, 0 outside of holes."""
        filled = [self.kept.with_fills(fills) for fills in self.fills]
        image, std = filled[0], None
        if len(filled) > 1:
            std = np.zeros(self.kept.size, dtype=np.float32)
            means = []
            for same in zip(*self.fills, strict=True):
                values, hole = np.stack([fill.rgb for fill in same]), same[0].hole
                crop(std, same[0].box)[hole] = spread(values)[hole]
                means.append(replace(same[0], rgb=values.mean(axis=0)))
            if settings.estimate == "mean":
                image = self.kept.with_fills(means)
        return Restored(image, filled, std, self.nfe, sampling.method)


_Row = tuple[Filling, int, Region]
"""A sample of a region of a picture: a row of a batch."""


def _steps(fillings: list[Filling], samples: int) -> Iterator[list[_Row]]:
    """What is drawn one after the other: the rows of regions that are alike, of all pictures and samples."""
    for groups in zip_longest(*(filling.groups for filling in fillings)):
        alike: defaultdict[Hashable, list[_Row]] = defaultdict(list)
        for filling, group in zip(fillings, groups, strict=True):
            for sample in range(samples if group else 0):
                # Regions no longer than a window are evaluated as they are, whatever their holes. Windows around holes
                # are a batch by themselves, and deep holes may each be drawn in another way.
                lead = group[0]
                kind = (lead.hole.shape, lead.narrow, lead.window, None if lead.in_one_window else filling)
                alike[kind] += [(filling, sample, region) for region in group]
        yield from alike.values()


def _draw(rows: list[_Row], prior: ScorePrior, settings: FillSettings, callback: TaskCallback) -> list[np.ndarray]:
    """The colours of the box of each row, whose regions are alike."""
    sampling = settings.sampling(conditional=accepts_holes(prior))
    keys = [(sampling.seed, sample, *region.box[:2]) for _, sample, region in rows]
    values = to_tensor([filling.known(sample, region.box) for filling, sample, region in rows], prior.device)
    unknown = [crop(filling.unknown, region.box) for filling, _, region in rows]  # also of holes of other regions
    observed = torch.from_numpy(np.stack([observed_from_hole(hole) for hole in unknown]))[:, None].to(prior.device)
    region = rows[0][2]
    if region.halvings:
        sources = observed if region.avoid is None else observed * torch.from_numpy(~region.avoid).to(observed)

        def noise(scale: int) -> NoiseStream:
            return NoiseStream.keyed([(*key, scale) for key in keys] if scale else keys, prior.device)

        typical = torch.tensor([sample == 0 for _, sample, _ in rows], device=prior.device)
        pictures = values.mean(1, keepdim=True) if rows[0][0].gray else values
        finest = Scale(pictures, observed, sources)
        drawn, nfe = draw_in_scales(sampling, prior, finest, region.halvings, typical, noise, callback)
    else:
        operator, stream = ObservedComponents(observed), NoiseStream.keyed(keys, prior.device)
        observation = Observation(operator, operator(prior.to_model(values)))
        needed = None if region.in_one_window else torch.from_numpy(region.hole)
        orientations = MIRRORED if settings.smooth else ALL
        windows = Windows(region.window, rows[0][0].window // 8, needed, orientations)
        if sampling.method == "pc":
            initial = 0.5 + smooth_estimate(values - 0.5, observed).mean
            drawn, nfe = draw_constrained(sampling, prior, observation, initial, windows, stream, callback)
        elif sampling.mean or settings.smooth:
            drawn, nfe = posterior_mean(prior, observation, windows, stream, callback)
        else:
            draw = draw_narrow if region.narrow else draw_conditioned
            drawn, nfe = draw(prior, observation, sampling.steps, windows, stream, callback)
    for filling, _, _ in rows:
        filling.nfe = max(filling.nfe, nfe)
    return to_arrays(drawn)
