"""The task `colorize`: samples of the prior whose luma is the picture's.

A model that takes the luma as an observation is sampled by `conditioned`, where by default samples are pulled towards
the posterior mean (`COLOUR_TEMPERATURE`) and their chroma is strengthened (`COLOUR_SATURATION`). Another is sampled by
`pc`, which holds each state to the luma (Song et al. 2021, appendix I.3).

Colour is smooth and depends on the whole scene, so it is drawn at the model's own scale (`work_size`) and raised to
full resolution along the edges of the picture's luma. The luma, and so all detail, stays the picture's own, to the grey
level. Colours of several pictures, of one size, are drawn together.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from scoreinv.analysis.kind import Found, found_in, untinted
from scoreinv.conditional import Observation
from scoreinv.conditional.colour import GrayView, view_gray
from scoreinv.conditional.prior import at_size_of, known_gray_weights, trained_task
from scoreinv.conditional.references import ReferenceColours
from scoreinv.imaging.colour import FINER, ChromaAlongEdges, reach
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.hints import KnownColours, check_reference, hints_from_picture, present_colours
from scoreinv.operators import gray, gray_and_hints
from scoreinv.operators.colour_space import luma
from scoreinv.prior import ScorePrior
from scoreinv.system.errors import InputError
from scoreinv.system.memory import PIXELS_AT_ONCE
from scoreinv.system.options import check_callback
from scoreinv.tasks.common import (
    MEAN_WINDOW,
    Model,
    Windows,
    draw_conditioned,
    draw_constrained,
    model_of,
    posterior_mean,
    spread,
    to_arrays,
    to_tensor,
)
from scoreinv.tasks.picture_noise import PictureNoise, ddof_of_pairs, noise_weights_of
from scoreinv.tasks.references import Reference, reference_colours, work_size
from scoreinv.tasks.results import Given, PictureKind, Restored, TaskCallback, as_given, at_work, parts, tell
from scoreinv.tasks.settings import (
    COLOUR_TEMPERATURE,
    MEAN_DRAWS,
    ColourSettings,
    Estimate,
    GrayWeights,
    Method,
    Sampling,
)
from scoreinv.windows.ensemble import MIRRORED

_log = logging.getLogger(__name__)

_FINE_PIXELS = 1 << 16
"""What is solved at once for colours along edges: a quarter of a second, and 100 MB."""
_RAISED_AT_ONCE = 300
"""Pixels whose colours are raised to full size in the time in which the network evaluates one, on a CPU."""


@dataclass(frozen=True, repr=False)
class Colorized(Restored[PictureKind]):
    """A coloured picture.

    Attributes:
        found: whether the picture was grey, tinted or in colours; for a batch of pictures, a list.
    """

    found: Found | list[Found]


def colorize(
    image: Given,
    *,
    prior: Model,
    gray_weights: GrayWeights = "rec601",
    method: Method | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate = "sample",
    start: float | None = None,
    hints: Any = None,
    like: Any = None,
    keep_color: bool = False,
    saturation: float | None = None,
    whiten: bool = False,
    callback: TaskCallback | None = None,
    progress: bool = False,
) -> Colorized[Given]:
    """Colour a grey picture; the colours of one that has any are replaced.

        result = scoreinv.colorize(gray, prior=scoreinv.load("scene"), seed=0)
        result.image, result.found

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (B)xCxHxW of uint8, uint16 or floats in [0, 1].
        prior: the model, or its name or file, which is then loaded for this picture.
        method: `conditioned` (a network given the grey) or `pc` (constrained predictor-corrector, with any model); None
            for what the model was trained for.
        steps: of the sampler. None: 15 for `conditioned`, 30 for `pc`.
        samples: how many colourings are drawn.
        seed: the same one gives the same colours; samples come in pairs of opposite noise.
        estimate: `sample`: one possible colouring; `mean`: the average of the samples, or for one of `conditioned` the
            posterior mean at once, paler and seldom wrong.
        start: only for `pc`: the noise level to begin at, for pictures in [0, 1]; `math.inf` is pure noise. None: 0.5,
            and pure noise from 1000 steps on.
        hints: picture of the same size with alpha, as array, PIL image or tensor: where it is more than half opaque,
            the result takes its chroma. One serves all pictures; a tensor may have one for each.
        like: a photograph in colours, or a list of some, of any size: what looks alike in them takes their colours.
        gray_weights: how the grey was made of red, green and blue: `rec601`, `average` or `rec709`.
        keep_color: leave what has colour already as it is, and let it guide the rest.
        saturation: factor of the drawn chroma. None: 1.45 for samples of `conditioned` if no colours are given, else 1.
        whiten: of a print of one tint, which always loses the tint: make its lightest tone white.
        callback: called with the share of the work that is done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or a line now and then where that is no terminal.

    Warns of a model that was trained for another task, and of a picture in colours.

    Raises:
        InputError: a wrong picture or setting.
        Cancelled: the callback stopped the work.
        ScoreinvError: the model gave values that are not finite.
    """
    settings = ColourSettings(
        method, steps, start, samples, seed, estimate, gray_weights, keep_color, saturation, whiten
    )
    model = model_of(prior)
    check_callback(callback)
    pictures, form = pictures_from_api(image)
    given = hints_for(hints, len(pictures))
    references = references_from_api(like, model)
    undecided = method is None and start is None
    known = known_gray_weights(model)
    if undecided and known not in (None, gray_weights):
        _log.warning("gray_weights %s: the model knows %s only, and the weaker method pc is taken", gray_weights, known)
    if trained_task(model) == "fill":
        warnings.warn("prior: was trained to fill holes, not to colour grey pictures as scene was", stacklevel=2)
    with at_work("colouring", callback, progress=progress) as told:
        coloured: list[Colorized[Any]] = colorize_pictures(
            pictures, model, settings, given, told, references=references
        )
    if not keep_color and any(result.found == "coloured" for result in coloured):
        warnings.warn("image: is in colours, which are replaced: keep_color=True keeps them", stacklevel=2)
    return as_given(coloured, form)


def hints_for(hints: Any, count: int) -> list[KnownColours | None]:
    """The hints of each of so many pictures, of what `colorize` takes for them; InputError for another number of them.

    None where there are no hints.
    """
    if hints is None:
        return [None] * count
    given = [hints_from_picture(picture) for picture in pictures_from_api(hints)[0]]
    if len(given) not in (1, count):
        raise InputError(f"{len(given)} hints for {count} pictures: give one, or one for each")
    return [given[number % len(given)] for number in range(count)]


def references_from_api(like: Any, model: ScorePrior) -> list[Reference]:
    """The references that `colorize` is given, one or a list; InputError for one without colours."""
    given = [] if like is None else like if isinstance(like, list | tuple) else [like]
    pictures = [picture for one in given for picture in pictures_from_api(one)[0]]
    for picture in pictures:
        check_reference(picture, "like")
    return [Reference.of(picture, model) for picture in pictures]


def colorize_picture(
    picture: Picture,
    prior: ScorePrior,
    settings: ColourSettings,
    hints: KnownColours | None = None,
    callback: TaskCallback | None = None,
    *,
    references: Sequence[Reference] = (),
    first: int = 0,
    noise_weights: np.ndarray | None = None,
) -> Colorized[Picture]:
    """`colorize_pictures` of one."""
    return colorize_pictures(
        [picture], prior, settings, [hints], callback, references=references, first=first, noise_weights=noise_weights
    )[0]


def colorize_pictures(
    pictures: Sequence[Picture],
    prior: ScorePrior,
    settings: ColourSettings,
    hints: Sequence[KnownColours | None],
    callback: TaskCallback | None = None,
    *,
    references: Sequence[Reference] = (),
    first: int = 0,
    noise_weights: np.ndarray | None = None,
) -> list[Colorized[Picture]]:
    """`colorize` for each `Picture` and its hints; gives a `Picture` for each, which the others do not change.

    Args:
        pictures: of one size.
        hints: of each picture, or None for all.
        references: of all, as the prior sees them; they go with its method `conditioned`.
        first: number of the first sample: samples 3 and 4 are the first two from 3 on.
        noise_weights: of the noise of all; None: each picture's own (`noise_weights_of`).
    """
    sampling = replace(settings.sampling(conditional=knows_gray(prior, settings)), first=first)
    drawn_so = [sampling]
    if sampling.method == "conditioned" and not sampling.mean:
        drawn_so.append(replace(sampling, samples=1, mean=True))  # which the samples are brought nearer to
    for picture, strokes in zip(pictures, hints, strict=True):
        if strokes is not None:
            strokes.check_size(picture.size, "the hints")
    grays = [
        _Gray.of(picture, prior, settings, sampling, strokes, references, noise_weights)
        for picture, strokes in zip(pictures, hints, strict=True)
    ]
    averaged = settings.estimate == "mean" and sampling.samples > 1
    evaluations = sum(map(_evaluations, drawn_so))
    drawing = evaluations * sum(one.luma.size * (1 if one.strokes is None else 2) for one in grays)
    raising = [(sampling.samples + averaged) * math.prod(one.picture.size) / _RAISED_AT_ONCE for one in grays]
    told, *rest = parts(callback, [drawing, *raising])
    drawn, nfe = _draw_hinted(grays, prior, settings, drawn_so, told)
    results = []
    for one, samples, part in zip(grays, drawn, rest, strict=True):
        raised = _raised([*samples, np.mean(samples, axis=0)] if averaged else samples, one, part)
        image, std = raised.pop() if averaged else raised[0], None
        if len(samples) > 1:
            small = Image.fromarray(spread(np.stack(samples), ddof_of_pairs(len(samples))))
            size = (one.picture.width, one.picture.height)
            std = np.array(small.resize(size, Image.Resampling.BILINEAR))  # of the caller's own
        results.append(Colorized(image, raised, std, nfe, sampling.method, one.found))
    return results


def knows_gray(prior: ScorePrior, settings: ColourSettings) -> bool:
    """Return whether the prior accepts the luma by these grey weights as an observation."""
    return prior.accepts(Observation(gray(settings.gray_weights, 1, 1), torch.zeros(1, 3, 1, 1))) is None


@dataclass(frozen=True)
class _Gray:
    """A picture whose colours are to be drawn, and what is known of it at the size at which they are.

    Attributes:
        picture: without its tint where that is taken out.
        found: what it was.
        weights: name of the grey weights.
        kept: its own colours that stay.
        strokes: colours that are wanted.
        noise_weights: of the picture's noise.
        luma: hxw in [0, 1].
        rgb: hxwx3 in [0, 1], with that luma, and the chroma where that is `known`.
        known: hxw bool.
        view: the picture as the model takes it.
        references: the colours that references give to it.
    """

    picture: Picture
    found: Found
    weights: GrayWeights
    kept: KnownColours | None
    strokes: KnownColours | None
    noise_weights: np.ndarray
    luma: np.ndarray
    rgb: np.ndarray
    known: np.ndarray
    view: GrayView
    references: ReferenceColours | None

    @classmethod
    def of(
        cls,
        picture: Picture,
        prior: ScorePrior,
        settings: ColourSettings,
        sampling: Sampling,
        strokes: KnownColours | None,
        references: Sequence[Reference],
        noise_weights: np.ndarray | None,
    ) -> _Gray:
        weights = settings.gray_weights
        found = found_in(picture)
        if found == "tinted" and settings.whiten:
            picture = untinted(picture, weights)
        if noise_weights is None:
            noise_weights = noise_weights_of(picture)
        height, width = work_size(picture.size, prior.image_size, prior.stride)

        def luma_at(tall: int, wide: int) -> np.ndarray:
            return luma(picture.resized_rgb(tall, wide), weights)

        if sampling.method == "conditioned":
            view = view_gray(prior, luma_at, picture.size, (height, width))
        else:
            view = GrayView(luma_at(height, width))
        colours = reference_colours(references, prior, view.seen)
        rgb, known = np.repeat(view.luma[..., None], 3, axis=2), np.zeros((height, width), dtype=bool)
        kept = present_colours(picture) if settings.keep_color and found != "tinted" else None
        one = cls(picture, found, weights, kept, strokes, noise_weights, view.luma, rgb, known, view, colours)
        return one if kept is None else one.given(kept)

    def given(self, colours: KnownColours) -> _Gray:
        """The same with more colours that are known; they count where others were."""
        height, width = self.luma.shape
        chroma, where = colours.small(height, width, self.weights)
        rgb = np.where(where[..., None], self.luma[..., None] + chroma, self.rgb)
        return replace(self, rgb=rgb, known=self.known | where)

    def like_references(self, drawn: np.ndarray) -> np.ndarray:
        """What was drawn, hxwx3, with the colours that references tell."""
        if self.references is None:
            return drawn
        like = torch.empty(1, 1, *self.luma.shape)
        chroma, prior_weight = (at_size_of(value.cpu(), like)[0].permute(1, 2, 0).numpy() for value in self.references)
        gray = self.luma[..., None]
        return gray + prior_weight * (drawn - gray) + chroma


def _draw_hinted(
    grays: list[_Gray], prior: ScorePrior, settings: ColourSettings, drawn_so: list[Sampling], callback: TaskCallback
) -> tuple[list[list[np.ndarray]], int]:
    """`_draw_tempered`, with what strokes of colour change as far as they reach (`reach`); all have some, or none has.

    The network takes a stroke for a sign of what the whole scene is like, and alone would colour all of it.
    """
    strokes = [one.strokes for one in grays if one.strokes is not None]
    part, *rest = parts(callback, [1, 1] if strokes else [1])
    alone, nfe = _draw_tempered(grays, prior, settings, drawn_so, part)
    without = [list(map(one.like_references, samples)) for one, samples in zip(grays, alone, strict=True)]
    if not strokes:
        return without, nfe
    hinted = [one.given(some) for one, some in zip(grays, strokes, strict=True)]
    drawn, more = _draw_tempered(hinted, prior, settings, drawn_so, *rest)
    found = []
    for one, some, befores, afters in zip(grays, strokes, without, drawn, strict=True):
        height, width = one.luma.shape
        _, painted = some.small(height, width, one.weights)
        here = reach(one.luma, painted)[..., None]
        found.append([before + here * (after - before) for before, after in zip(befores, afters, strict=True)])
    return found, nfe + more


def _draw_tempered(
    grays: list[_Gray], prior: ScorePrior, settings: ColourSettings, drawn_so: list[Sampling], callback: TaskCallback
) -> tuple[list[list[np.ndarray]], int]:
    """What is drawn first, brought nearer to the posterior mean where that is drawn too, of the saturation wanted."""
    found, nfe = [], 0
    for sampling, part in zip(drawn_so, parts(callback, map(_evaluations, drawn_so)), strict=True):
        pictures, more = _draw(grays, prior, sampling, part)
        found.append(pictures)
        nfe += more
    drawn = found[0]
    if len(found) > 1:
        drawn = [
            [middle + COLOUR_TEMPERATURE * (sample - middle) for sample in samples]
            for samples, (middle,) in zip(*found, strict=True)
        ]
    for one, samples in zip(grays, drawn, strict=True):
        factor = settings.saturation_of(drawn_so[0], hinted=bool(one.known.any()))
        if factor != 1:
            gray, known = one.luma[..., None], one.known[..., None]
            samples[:] = [np.where(known, sample, gray + factor * (sample - gray)) for sample in samples]
    return drawn, nfe


def _evaluations(sampling: Sampling) -> int:
    """How often `_draw` evaluates the network at each pixel."""
    if sampling.mean:
        return MEAN_DRAWS * len(MIRRORED)
    of_a_step = 2 if sampling.method == "pc" else 1  # by the corrector too
    return sampling.samples * sampling.steps * of_a_step


def _draw(
    grays: list[_Gray], prior: ScorePrior, sampling: Sampling, callback: TaskCallback
) -> tuple[list[list[np.ndarray]], int]:
    """Samples hxwx3 of each picture with what is known of it, or its posterior mean, and the evaluations of each.

    The pictures are of one size, with the same things known.
    """
    # In pairs of opposite noise: the tints that single samples have cancel in the mean. The draws of a posterior mean,
    # whose noise hardly enters the network, do better without.
    numbers = [sampling.first + sample for sample in range(sampling.samples)]
    if sampling.mean:
        numbers = [2 * k for k in range(MEAN_DRAWS)]
    rows = [(one, number) for one in grays for number in numbers]
    at_once = max(1, PIXELS_AT_ONCE // grays[0].luma.size)
    batches = [rows[begin : begin + at_once] for begin in range(0, len(rows), at_once)]
    drawn: list[np.ndarray] = []
    nfe = 0
    for batch, part in zip(batches, parts(callback, map(len, batches)), strict=True):
        some = [one for one, _ in batch]
        known = torch.from_numpy(np.stack([one.known for one in some]))[:, None].to(prior.device, torch.float32)
        operator = gray_and_hints(some[0].weights, known)
        initial = to_tensor([one.rgb for one in some], prior.device)
        fines = [np.repeat(one.view.fine[..., None], 3, axis=2) for one in some if one.view.fine is not None]
        maps = [one.view.features for one in some if one.view.features is not None]
        weights = np.stack([one.noise_weights for one in some])
        observation = Observation(
            operator,
            operator(prior.to_model(initial)),
            fine=prior.to_model(to_tensor(fines, prior.device)) if fines else None,
            features=tuple(torch.cat(same) for same in zip(*maps, strict=True)) if maps else None,
        )
        tile = prior.image_size * (MEAN_WINDOW if sampling.mean else 1)
        windows = Windows(tile, prior.image_size // 2, orientations=MIRRORED)
        stream = PictureNoise(sampling.seed, [number for _, number in batch], weights, prior.device)
        if sampling.method == "pc":
            x, nfe = draw_constrained(sampling, prior, observation, initial, windows, stream, part)
        elif sampling.mean:
            x, nfe = posterior_mean(prior, observation, windows, stream, part)
        else:
            x, nfe = draw_conditioned(prior, observation, sampling.steps, windows, stream, part)
        drawn += to_arrays(x)
    pictures = [drawn[begin : begin + len(numbers)] for begin in range(0, len(drawn), len(numbers))]
    return ([[np.mean(some, axis=0)] for some in pictures], nfe * len(numbers)) if sampling.mean else (pictures, nfe)


def _raised(drawn: list[np.ndarray], one: _Gray, callback: TaskCallback) -> list[Picture]:
    """The picture with each colours drawn at a smaller size, its own where they are kept, and the strokes."""
    picture, (height, width), edges = one.picture, one.luma.shape, None
    scale = min(FINER, math.isqrt(_FINE_PIXELS // (height * width)), picture.height // height, picture.width // width)
    if scale >= 2:
        fine = luma(picture.resized_rgb(scale * height, scale * width), one.weights)
        edges = ChromaAlongEdges.fit(fine, scale)
    raised = []
    for small, part in zip(drawn, parts(callback, [1] * len(drawn)), strict=True):
        chroma = small - luma(small, one.weights)[..., None]
        finer = chroma if edges is None else edges.finer(chroma)
        coloured = picture.with_chroma(finer, one.weights, callback=partial(tell, part))
        if one.kept is not None:
            coloured = coloured.with_pixels(np.where(one.kept.known[..., None], picture.pixels, coloured.pixels))
        if one.strokes is not None:
            coloured = coloured.with_colours_at(one.strokes.rgb, one.strokes.known, picture, one.weights)
        raised.append(coloured)
    return raised
