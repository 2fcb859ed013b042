"""The task `inpaint`: holes filled by samples of the prior given their surroundings (Song et al. 2021, appendix I.2).

The network never evaluates the picture as a whole. Holes are grouped into regions with known pixels around. Regions are
filled in a fixed order, each with the earlier fills as known pixels. Windows of about the model's training size cover
the holes of a region, and their estimates are blended at every step (`windows.Tiled`). So memory does not grow with the
picture's size. Only the fill is written: known pixels are bit-identical.

Regions of several pictures that fit one window are evaluated together: a network is up to five times as fast with many
small pictures as with one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np
import torch

from scoreinv.analysis.faces import people_beside
from scoreinv.analysis.nearby_colours import foreign
from scoreinv.conditional.colour import trained_task
from scoreinv.conditional.initial_estimate import smooth_estimate
from scoreinv.guidance import Observation
from scoreinv.imaging.picture import Fill, Picture
from scoreinv.imaging.regions import Region, extent, overlap, regions_to_fill, widened
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.masks import as_holes, observed_from_hole
from scoreinv.models.loading import Models
from scoreinv.operators import ObservedComponents
from scoreinv.operators.luma import luma
from scoreinv.prior import ScorePrior
from scoreinv.samplers import NoiseStream
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.limits import limits
from scoreinv.system.options import MASK_THRESHOLD
from scoreinv.system.progress import Callback, Part, parts
from scoreinv.tasks.common import (
    Gathered,
    Model,
    in_batches,
    models_of,
    to_arrays,
    to_tensor,
)
from scoreinv.tasks.deep_holes import Scale, draw_in_scales, enough_to_copy
from scoreinv.tasks.holes import hole_to_fill, without_fringe
from scoreinv.tasks.notes import Note, warning
from scoreinv.tasks.once import for_each
from scoreinv.tasks.outcome import ImageLike, InpaintOutcome
from scoreinv.tasks.posterior import MEAN_WINDOW, Windows, accepts_holes, draw_given
from scoreinv.tasks.requests import FillEstimate, FillMethod, InpaintRequest, Inputs, Sampling
from scoreinv.windows.boxes import Box, crop
from scoreinv.windows.transforms import ALL


def inpaint(
    image: ImageLike,
    mask: Any,
    *,
    prior: Model | None = None,
    method: FillMethod | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: FillEstimate | None = None,
    start: float | None = None,
    mask_threshold: float = MASK_THRESHOLD,
    invert: bool = False,
    grow: int = 0,
    avoid: Any = None,
    exact: bool = False,
    callback: Callback | None = None,
    progress: bool = False,
) -> InpaintOutcome[ImageLike]:
    """Fill the holes of a picture.

        result = scoreinv.inpaint(image, mask, samples=4, seed=0)
        result.image, result.samples, result.std

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (B)xCxHxW of uint8, uint16 or floats in [0, 1].
        mask: array HxW or HxWx3(4), PIL image, or tensor HxW or (B)xCxHxW of bool, uint8, uint16 or floats in [0, 1],
            of the picture's size. True, or above `mask_threshold` of its range, is a hole.
        prior: the model, its name or its file; None: the bundled one, or none for a classical method.
        mask_threshold: fraction of a mask's range, from 0, which suits the values 0 and 1, to below 1.
        invert: the mask marks the known pixels.
        grow: pixels by which holes are enlarged, for soft edges. If part of the object seems to remain beside a hole, a
            note states the number of pixels that would include it.
        avoid: a mask, in the form of `mask`, of pixels that fills of deep holes do not copy. They never copy heads and
            shoulders of people whose face is found, or colours that do not occur near the hole.
        exact: keep every known pixel. Otherwise, if a JPEG smeared the object over its blocks, the 8 pixels beside the
            mask are redrawn (chroma, and luma where ringing is visible), and the outcome has a note.
        method: `conditioned` (a network with the observation as input) or `pc` (constrained predictor-corrector, with
            any model), None for the model's; or `telea`, `navier-stokes` or `biharmonic`, without a model.
        steps: of the sampler; narrow holes take at most 3, copied ones none. None: 10 for `conditioned`, 30 for `pc`.
        samples: number of fills.
        seed: the same seed gives the same fills; each sample has its own noise.
        estimate: `detail`: the posterior mean with the texture of a sample, without a sample's specks; `sample`: one
            possible fill; `mean`: the average of the samples, or for one the posterior mean, smooth where uncertain.
            None: `detail` for one sample of `conditioned`, else `sample`.
        start: with `pc`: noise level to begin at, for pictures in [0, 1]; `math.inf` is pure noise. None: 0.5, and pure
            noise from 1000 steps on.
        callback: called with the fraction of work done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or occasional lines if that is not a terminal.

    Raises:
        InputError: a wrong picture, mask or setting.
        Cancelled: the callback stopped the work.
        ScoreinvError: the model returned values that are not finite, or OpenCV is needed and cannot be loaded.
    """
    request = InpaintRequest(
        method=method, steps=steps, start=start, samples=samples, seed=seed, estimate=estimate, exact=exact
    )
    if request.classical is not None and prior is not None:
        raise SettingError("prior", f"does not go with {method}, which needs no model")
    request.check_given({"mask"} if avoid is None else {"mask", "avoid"})  # before the pictures are read
    models = models_of(inpaint=prior)
    pictures, form = pictures_from_api(image)
    sizes = [picture.size for picture in pictures]
    holes = as_holes(mask, sizes, threshold=mask_threshold, invert=invert, grow=grow)
    avoided: Sequence[np.ndarray | None] = [None] * len(pictures)
    if avoid is not None:
        avoided = as_holes(avoid, sizes, threshold=mask_threshold, may_be_black=True, what="the mask to avoid")
    inputs = [Inputs(*each) for each in zip(pictures, holes, avoided, strict=True)]
    together = None if request.classical is not None else _filled
    return for_each("inpaint", inputs, request, models, form, callback, progress=progress, together=together)


def _filled(inputs: Sequence[Inputs], request: InpaintRequest, models: Models) -> list[InpaintOutcome[Picture]]:
    return draw_fills([PreparedFill(each, request, models) for each in inputs], request)


def draw_fills(prepared: list[PreparedFill], request: InpaintRequest) -> list[InpaintOutcome[Picture]]:
    """Fill pictures that were prepared for one prior and this request; seed and samples may differ.

    A fill does not depend on the other pictures.
    """
    prior = prepared[0].prior
    sampling = request.sampling(conditional=accepts_holes(prior))
    for fill in prepared:
        fill.unknown, fill.nfe = fill.hole.copy(), 0
        fill.fills = [[] for _ in range(sampling.samples)]
    row_groups = list(_row_groups(prepared, sampling.samples))
    sizes = [sum(region.hole.size for _, _, region in rows) for rows in row_groups]
    for rows, share in zip(row_groups, parts(sizes), strict=True):
        drawn: list[np.ndarray] = []
        with share:
            for batch, part in in_batches(rows, rows[0][2].hole.size):
                with part:
                    drawn += _draw(batch, prior, sampling)
        for (fill, sample, region), rgb in zip(rows, drawn, strict=True):
            # Only the hole is kept: with its surroundings, specks would take as much memory as the whole picture.
            down, across = extent(region.hole)
            hole, values = region.hole[down, across], rgb[down, across].copy()
            box = (region.box[0] + down.start, region.box[1] + across.start, *hole.shape)
            if fill.gray:
                values[...] = luma(values)[..., None]
            fill.fills[sample].append(Fill(box, hole, values))
            crop(fill.unknown, region.box)[region.hole] = False
    return [fill.outcome(request, sampling) for fill in prepared]


class PreparedFill:
    """A picture prepared for filling, which several requests can share, and the state of the current fill.

    `draw_fills` resets `unknown`, `fills` and `nfe`, and updates them region by region.

    Args:
        inputs: the picture with its mask.
        notes: notes about the mask; None: it is a user's, see `hole_to_fill`.

    Attributes:
        picture: the input of the model.
        kept: the picture into which fills are written.
        hole: HxW bool.
        unknown: HxW bool, pixels of the hole that are not filled yet.
        gray: the fill is grey.
        groups: regions in the order in which they are filled; those of a group are alike and filled together.
        fills: for each sample, its fills so far.
        nfe: maximum number of network evaluations at a place so far.
        window: side of the model's windows in pixels.

    Raises InputError if `avoid` leaves too little to copy from.
    """

    def __init__(
        self, inputs: Inputs, request: InpaintRequest, models: Models, notes: list[Note] | None = None
    ) -> None:
        picture, hole, avoid = inputs.picture, inputs.hole, inputs.avoid
        assert hole is not None
        self.prior = prior = models.filler()
        if notes is None:
            hole, notes = hole_to_fill(picture, hole, request)
        self.notes = list(notes)
        if trained_task(prior) == "colour":
            self.notes.append(warning("model_other_task", task="colour"))
        sampling = request.sampling(conditional=accepts_holes(prior))
        if avoid is not None and sampling.method == "pc":
            raise SettingError("avoid", "does not go with the method pc, which copies nothing")
        self.picture, self.kept = without_fringe(picture, hole, request, self.notes)
        self.hole, self.unknown, self.nfe = hole, hole, 0
        self.fills: list[list[Fill]] = []
        self.gray = picture.is_gray(~hole)
        deep = sampling.method == "conditioned" and not sampling.mean
        self.window = prior.image_size * (MEAN_WINDOW if sampling.mean else 1)
        groups = regions_to_fill(hole, self.window, prior.stride, deep=deep, at_once=limits().pixels_at_once)
        self.groups = [[self._with_sources(region, prior, avoid) for region in group] for group in groups]
        if avoid is not None and not any(region.halvings for group in groups for region in group):
            self.notes.append(warning("avoid_unused"))

    def draw(self, request: InpaintRequest) -> InpaintOutcome[Picture]:
        """Fill the picture; seed and samples of the request may differ from those it was prepared for."""
        return draw_fills([self], request)[0]

    def _with_sources(self, region: Region, prior: ScorePrior, avoid: np.ndarray | None) -> Region:
        """Return a region; if it is deep, with the pixels that it must not copy, and enlarged to have enough others.

        The excluded pixels are the user's `avoid`, people, and colours that are foreign to the hole's surroundings. If
        too few others are left, foreign colours are allowed, then the region is enlarged up to the whole picture, and
        then people are allowed.

        Raises InputError if `avoid` leaves too little.
        """
        wanted = region.halvings
        while True:
            box = region.box
            most = int(math.log2(max(1, min(box[2:]) // prior.stride)))  # reduces to the model's minimum side
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
            raise InputError("the mask to avoid leaves too little of the picture to copy from: mark less of it")
        return replace(region, avoid=marked)

    def _people(self, box: Box) -> np.ndarray:
        """Return where people are in a box, hxw bool: a fill should not repeat them."""
        # A margin finds faces that the box cuts.
        top, left = (max(0, first - side // 4) for first, side in zip(box[:2], box[2:], strict=True))
        bottom, right = (first + side + side // 4 for first, side in zip(box[:2], box[2:], strict=True))
        height, width = self.picture.size
        wide = (top, left, min(bottom, height) - top, min(right, width) - left)
        people = people_beside(crop(self.hole, wide), luma(self.picture.rgb(wide)))
        return crop(people, (box[0] - top, box[1] - left, *box[2:]))

    def known(self, sample: int, box: Box) -> np.ndarray:
        """Return the colours of a box, with the fills of this sample so far."""
        rgb = self.picture.rgb(box)
        for fill in self.fills[sample]:
            if both := overlap(box, fill.box):
                ours, theirs = both
                inside = fill.hole[theirs]
                rgb[ours][inside] = fill.rgb[theirs][inside]
        return rgb

    def outcome(self, request: InpaintRequest, sampling: Sampling) -> InpaintOutcome[Picture]:
        """Return the filled picture, its samples, and their standard deviation, 0 outside the holes."""
        first = self.fills[0]
        ends = np.cumsum([fill.hole.size for fill in first])[:-1]  # of the fills in the colours of all

        def filled(colours: np.ndarray) -> Picture:
            pieces = zip(first, np.split(colours, ends), strict=True) if first else ()
            return self.kept.with_fills(replace(fill, rgb=rgb.reshape(fill.rgb.shape)) for fill, rgb in pieces)

        gathered = Gathered(filled, len(self.fills))
        for fills in self.fills:
            colours = [np.zeros((0, 3), np.float32), *(fill.rgb.reshape(-1, 3) for fill in fills)]
            gathered.add(np.concatenate(colours), self.kept.with_fills(fills))
        drawn, std = gathered.outcome(request.estimate, self.nfe, sampling.method), None
        if drawn.std is not None:
            std = np.zeros(self.kept.size, dtype=np.float32)
            for fill, values in zip(first, np.split(drawn.std, ends), strict=False):
                crop(std, fill.box)[fill.hole] = values.reshape(fill.hole.shape)[fill.hole]
        return InpaintOutcome(**vars(drawn) | {"std": std, "notes": list(self.notes), "generated": self.hole})


_Row = tuple[PreparedFill, int, Region]
"""A sample of a region of a picture: one row of a batch."""


def _row_groups(prepared: list[PreparedFill], samples: int) -> Iterator[list[_Row]]:
    """Yield the rows that are drawn together: samples of regions that are alike, of all pictures."""
    for groups in zip_longest(*(fill.groups for fill in prepared)):
        alike: defaultdict[Hashable, list[_Row]] = defaultdict(list)
        for fill, group in zip(prepared, groups, strict=True):
            for sample in range(samples if group else 0):
                # Regions within one window are evaluated together, whatever their holes. A picture with windows around
                # holes makes its own batch, and so does a picture's deep hole, which may need another method.
                lead = group[0]
                kind = (lead.hole.shape, lead.narrow, lead.window, None if lead.in_one_window else fill)
                alike[kind] += [(fill, sample, region) for region in group]
        yield from alike.values()


def _draw(rows: Sequence[_Row], prior: ScorePrior, sampling: Sampling) -> list[np.ndarray]:
    """Draw the regions of the rows, which are alike; return the colours of each box, hxwx3 in [0, 1]."""
    keys = [(sampling.seed, sample, *region.box[:2]) for _, sample, region in rows]
    values = to_tensor([fill.known(sample, region.box) for fill, sample, region in rows], prior.device)
    unknown = [crop(fill.unknown, region.box) for fill, _, region in rows]  # also of holes of other regions
    observed = torch.from_numpy(np.stack([observed_from_hole(hole) for hole in unknown]))[:, None].to(prior.device)
    region = rows[0][2]
    if region.halvings:
        sources = observed if region.avoid is None else observed * torch.from_numpy(~region.avoid).to(observed)

        def noise(scale: int) -> NoiseStream:
            return NoiseStream.keyed([(*key, scale) for key in keys] if scale else keys, prior.device)

        typical = torch.tensor([sample == 0 for _, sample, _ in rows], device=prior.device)
        pictures = values.mean(1, keepdim=True) if rows[0][0].gray else values
        finest = Scale(pictures, observed, sources)
        drawn, nfe = draw_in_scales(sampling, prior, finest, region.halvings, typical, noise)
    else:
        operator, stream = ObservedComponents(observed), NoiseStream.keyed(keys, prior.device)
        observation = Observation(operator, operator(prior.to_model(values)))
        needed = None if region.in_one_window else torch.from_numpy(region.hole)
        windows = Windows(region.window, rows[0][0].window // 8, needed, ALL)
        with Part(0, 0):  # its time does not count: it is short
            initial = 0.5 + smooth_estimate(values - 0.5, observed).mean if sampling.method == "pc" else None
        context = (prior, observation, windows, stream)
        drawn, nfe = draw_given(sampling, *context, initial=initial, known=observed, narrow=region.narrow)
    for fill, _, _ in rows:
        fill.nfe = max(fill.nfe, nfe)
    return to_arrays(drawn)
