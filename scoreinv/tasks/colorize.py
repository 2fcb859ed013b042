"""Colour for grey pictures: samples of the prior whose luma is the picture's.

A model that takes the luma as an observation is sampled by `conditioned`, where by default samples are pulled towards
the posterior mean (`COLOUR_TEMPERATURE`) and their chroma is strengthened (`COLOUR_SATURATION`). Another is sampled by
`pc`, which holds each state to the luma (Song et al. 2021, appendix I.3).

Colour is smooth and depends on the whole scene, so it is drawn at the model's own scale (`work_size`) and raised to
full resolution along the edges of the picture's luma. The luma, and so all detail, stays the picture's own, to the grey
level. Colours of several pictures that are of one size there are drawn together.
"""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from scoreinv.checks import check_callback
from scoreinv.colour_space import luma
from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.errors import InputError
from scoreinv.guidance.conditioned import check_conditional
from scoreinv.guidance.orientations import MIRRORED
from scoreinv.imaging.arrays import pictures_from_api
from scoreinv.imaging.colour import FINER, STRAY_CHROMA, ChromaAlongEdges, reach
from scoreinv.imaging.hints import KnownColours, hints_from_picture, present_colours
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.tint import is_tinted, untinted
from scoreinv.machine import PIXELS_AT_ONCE
from scoreinv.operators import gray_and_hints
from scoreinv.options import COLOUR_STEPS, COLOUR_TEMPERATURE, MEAN_DRAWS, Estimate, GrayWeights, Method
from scoreinv.prior import ScorePrior
from scoreinv.tasks.common import Model, RunningSpread, check_colour, model_of, spread, tile_side, to_arrays, to_tensor
from scoreinv.tasks.drawing import draw, given_observation
from scoreinv.tasks.picture_noise import PictureNoise, noise_weights_of
from scoreinv.tasks.results import Given, PictureKind, Restored, Share, TaskCallback, as_given, tell
from scoreinv.tasks.settings import Colours, ConditionalSampling, ResolvedSampling

_log = logging.getLogger(__name__)

_LONGEST = 4
"""Longer side of a picture, in shorter ones, up to which its colours are drawn at the model's own scale."""

_FINE_PIXELS = 1 << 16
"""What is solved at once for colours along edges: a quarter of a second, and 100 MB."""
_RAISED_AT_ONCE = 300
"""Pixels whose colours are raised to full size in the time in which the network evaluates one, on a CPU."""

Found = Literal["grey", "tinted", "coloured"]
"""What a picture was: `tinted` has tones of one colour each, as sepia has."""


@dataclass(frozen=True, repr=False)
class Colorized(Restored[PictureKind]):
    """A coloured picture.

    Attributes:
        found: what the picture was; of a batch of pictures, a list of what each was.
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
    keep_color: bool = False,
    saturation: float | None = None,
    temperature: float | None = None,
    whiten: bool = False,
    callback: TaskCallback | None = None,
) -> Colorized[Given]:
    """Colour a grey picture; the colours of one that has any are replaced.

        result = scoreinv.colorize(gray, prior=scoreinv.load("scene"), seed=0)
        result.image, result.found

    Arguments:
        image: array HxW, HxWx3 or HxWx4 (uint8, uint16, float in [0, 1]), PIL image, or tensor (B)xCxHxW in [0, 1].
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
        gray_weights: how the grey was made of red, green and blue: `rec601`, `average` or `rec709`.
        keep_color: leave what has colour already as it is, and let it guide the rest.
        saturation: factor of the drawn chroma. None: 1.45 for samples of `conditioned` at the default temperature
            without colours given, else 1.
        temperature: factor of the deviation of samples of `conditioned` from the posterior mean. None: 0.2.
        whiten: of a print of one tint, which always loses the tint: make its lightest tone white.
        callback: called with the share of the work that is done; stops the work by returning False.

    Raises:
        InputError: a wrong picture or setting.
        Cancelled: the callback stopped the work.
        ScoreinvError: the model gave values that are not finite.
    """
    sampling = ConditionalSampling(method, steps, start, samples, seed, estimate)
    colours = Colours(gray_weights, keep_color, saturation, temperature, whiten)
    model = model_of(prior)
    check_callback(callback)
    pictures, form = pictures_from_api(image)
    given = hints_for(hints, len(pictures))
    undecided = sampling.method is None and sampling.start is None
    if undecided and isinstance(model, ConditionalPrior) and not _knows_gray(model, gray_weights):
        _log.warning(
            "gray_weights %s: the model knows %s only, and the weaker method pc is taken",
            gray_weights,
            model.gray_weights,
        )

    coloured: list[Colorized[Any]] = colorize_pictures(pictures, model, sampling, colours, given, callback)
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


def colorize_picture(
    picture: Picture,
    prior: ScorePrior,
    sampling: ConditionalSampling,
    colours: Colours,
    hints: KnownColours | None = None,
    callback: TaskCallback | None = None,
    noise_weights: np.ndarray | None = None,
) -> Colorized[Picture]:
    """`colorize_pictures` of one; noise_weights: of its noise, None for its own (`noise_weights_of`)."""
    (result,) = colorize_pictures([picture], prior, sampling, colours, [hints], callback, [noise_weights])
    return result


def colorize_pictures(
    pictures: Sequence[Picture],
    prior: ScorePrior,
    sampling: ConditionalSampling,
    colours: Colours,
    hints: Sequence[KnownColours | None],
    callback: TaskCallback | None = None,
    noise_weights: Sequence[np.ndarray | None] | None = None,
) -> list[Colorized[Picture]]:
    """`colorize` for each `Picture` and its hints; gives a `Picture` for each, which the others do not change.

    noise_weights: of the noise of each, None for its own (`noise_weights_of`).
    """
    resolved = resolve(sampling, colours, prior)
    for picture, strokes in zip(pictures, hints, strict=True):
        if strokes is not None:
            strokes.check_size(picture.size, "the hints")
    noise_weights = noise_weights or [None] * len(pictures)
    each = [
        _Colouring.of(picture, prior, resolved, colours, strokes, weights)
        for picture, strokes, weights in zip(pictures, hints, noise_weights, strict=True)
    ]
    drawing = [_evaluations(resolved) * one.known.gray.size * (1 if one.hints is None else 2) for one in each]
    raising = [
        (resolved.samples + _is_average(resolved)) * math.prod(one.picture.size) / _RAISED_AT_ONCE for one in each
    ]
    share = Share(callback, sum(drawing) + sum(raising))
    alike: defaultdict[Hashable, list[int]] = defaultdict(list)
    for number, one in enumerate(each):
        alike[one.kind].append(number)
    drawn: dict[int, list[np.ndarray]] = {}
    evaluations: dict[int, int] = {}
    for numbers in alike.values():
        share.begin(sum(drawing[number] for number in numbers))
        knowns, given = [each[number].known for number in numbers], [each[number].hints for number in numbers]
        some, nfe = _draw_hinted(knowns, given, prior, resolved, colours, share)
        drawn |= zip(numbers, some, strict=True)
        evaluations |= dict.fromkeys(numbers, nfe)
    results = []
    for number, one in enumerate(each):
        share.begin(raising[number])
        results.append(one.result(drawn[number], evaluations[number], resolved, colours.gray_weights, share))
    return results


def resolve(sampling: ConditionalSampling, colours: Colours, prior: ScorePrior) -> ResolvedSampling:
    """The sampling with method and steps decided for a model; InputError where that cannot colour so."""
    check_colour(prior)
    resolved = sampling.resolved(COLOUR_STEPS, conditional=_knows_gray(prior, colours.gray_weights))
    colours.check_with(resolved)
    return resolved


@dataclass(frozen=True)
class _Colouring:
    """The work on one picture.

    Attributes:
        picture: without its tint where that is taken out.
        found: what it was.
        kept: its own colours that stay.
        known: what its colours are drawn from.
        hints: strokes of colour.
    """

    picture: Picture
    found: Found
    kept: KnownColours | None
    known: _Known
    hints: KnownColours | None

    @classmethod
    def of(
        cls,
        picture: Picture,
        prior: ScorePrior,
        sampling: ResolvedSampling,
        colours: Colours,
        hints: KnownColours | None,
        noise_weights: np.ndarray | None,
    ) -> _Colouring:
        weights = colours.gray_weights
        found, present = found_in(picture)
        if found == "tinted" and colours.whiten:
            picture = untinted(picture, weights)
        kept = present if colours.keep_color else None
        noise_weights = noise_weights_of(picture) if noise_weights is None else noise_weights
        known = _known(picture, prior, sampling, weights, noise_weights)
        return cls(picture, found, kept, known if kept is None else known.given(kept), hints)

    @property
    def kind(self) -> Hashable:
        """The same for pictures whose colours are drawn together: of one size, with the same things known."""
        known = self.known
        maps = None if known.features is None else tuple(shown.shape for shown in known.features)
        return (known.gray.shape, known.fine is None, maps, self.hints is None)

    def result(
        self,
        drawn: list[np.ndarray],
        nfe: int,
        sampling: ResolvedSampling,
        weights: GrayWeights,
        callback: TaskCallback,
    ) -> Colorized[Picture]:
        """The picture with the colours of each sample, which took `nfe` evaluations each."""
        averaged = _is_average(sampling)
        wanted = [*drawn, np.mean(drawn, axis=0)] if averaged else drawn
        edges = _edges(self.picture, self.known.gray.shape, weights)
        share = Share(callback, len(wanted))
        coloured = []
        for small in wanted:
            share.begin(1)
            coloured.append(_raised(small, self.picture, edges, weights, self.kept, self.hints, share))
        image = coloured.pop() if averaged else coloured[0]
        return Colorized(image, coloured, _spread(drawn, self.picture), nfe, sampling.method, self.found)


def _is_average(sampling: ResolvedSampling) -> bool:
    """Whether the image is the mean of several samples, and not one of them."""
    return sampling.estimate == "mean" and sampling.samples > 1


def colorize_filled(
    filled: Restored[Picture],
    prior: ScorePrior,
    sampling: ConditionalSampling,
    callback: TaskCallback | None = None,
    colours: Colours | None = None,
    hints: KnownColours | None = None,
) -> Restored[Picture]:
    """Colours for a grey picture whose holes were filled: one drawing for each of its samples.

    p(picture | known luma) = p(luma | known luma) p(colours | luma): first the luma was drawn, now the colours are.

    Arguments:
        filled: the result of `inpaint_picture`.
        sampling: what it was filled by. The mean of one sample, a posterior mean, is coloured by a posterior mean.
        callback: called with the share of the work that is done; stops the work by returning False.
        colours, hints: as for `colorize_picture`. The saturation of a mean is 1 unless another is asked for.
    """
    share = Share(callback, len(filled.samples))
    estimate = sampling.estimate if len(filled.samples) == 1 else "sample"
    colours = colours or Colours()
    if sampling.estimate == "mean" and colours.saturation is None:
        colours = replace(colours, saturation=1.0)
    coloured, spread_so_far, nfe = [], RunningSpread(), filled.nfe
    own = noise_weights_of(filled.samples[0])  # one for all: pairs stay pairs
    for number, sample in enumerate(filled.samples):
        share.begin(1)
        one = replace(sampling, samples=1, first=sampling.first + number, estimate=estimate)
        result = colorize_picture(sample, prior, one, colours, hints, share, own)
        coloured.append(result.image)
        spread_so_far.add(result.image.rgb())
    image = coloured[0]
    if sampling.estimate == "mean" and len(coloured) > 1:
        image = filled.image.colorized(spread_so_far.mean, colours.gray_weights)
    std = spread_so_far.std if len(coloured) > 1 else None
    return Restored(image, coloured, std, nfe + result.nfe, filled.method)


def found_in(picture: Picture) -> tuple[Found, KnownColours | None]:
    """What a picture is, and the colours of one that has any. A tint may be too pale to count as colour anywhere."""
    if picture.is_gray(STRAY_CHROMA):
        return "grey", None
    if is_tinted(picture):
        return "tinted", None
    present = present_colours(picture)
    return "grey" if present is None else "coloured", present


def _knows_gray(prior: ScorePrior, weights: GrayWeights) -> bool:
    """Whether the network takes luma as an observation, of these weights: by others it was given another grey."""
    return isinstance(prior, ConditionalPrior) and prior.gray_weights == weights


def work_size(size: tuple[int, int], side: int, stride: int) -> tuple[int, int]:
    """(height, width) at which colours are drawn: the shorter side is the model's, and nothing is enlarged.

    A picture of more than `_LONGEST` times its shorter side is drawn smaller, so that it takes no more windows than one
    of that shape: the time is that of the picture's size, whatever its shape. side: of the model's windows; stride: the
    least that a window is high and wide.
    """
    shorter, longer = min(size), max(size)
    most = _LONGEST * side * side
    scale = min(1.0, side / shorter, math.sqrt(most / (shorter * longer)), most / (stride * longer))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(frozen=True)
class _Known:
    """What is known of a picture at the size at which its colours are drawn.

    Attributes:
        gray: HxW, the luma, in [0, 1].
        rgb: HxWx3 in [0, 1], with that luma, and the chroma where `hinted`.
        hinted: HxW bool.
        fine: the luma at the multiple of the size that the model takes, (s H)x(s W), where the picture is that large.
        features: what the picture shows, for a model that takes it.
        weights: name of the grey weights.
        noise_weights: of the picture's noise.
    """

    gray: np.ndarray
    rgb: np.ndarray
    hinted: np.ndarray
    fine: np.ndarray | None
    features: tuple[torch.Tensor, ...] | None
    weights: GrayWeights
    noise_weights: np.ndarray

    def given(self, colours: KnownColours) -> _Known:
        """The same with more colours that are known; they count where others were."""
        height, width = self.gray.shape
        chroma, where = colours.small(height, width, self.weights)
        rgb = np.where(where[..., None], self.gray[..., None] + chroma, self.rgb)
        return replace(self, rgb=rgb, hinted=self.hinted | where)


def _known(
    picture: Picture,
    prior: ScorePrior,
    sampling: ResolvedSampling,
    weights: GrayWeights,
    noise_weights: np.ndarray,
) -> _Known:
    """What is known of a picture at its `work_size`, without any colours."""
    height, width = work_size(picture.size, tile_side(prior), prior.stride)
    looking = check_conditional(prior) if sampling.method == "conditioned" else None
    scale = 1 if looking is None else looking.luma_scale
    fine = None
    if scale > 1 and picture.height >= scale * height and picture.width >= scale * width:
        fine = luma(picture.resized_rgb(scale * height, scale * width), weights)
        gray = fine.reshape(height, scale, width, scale).mean((1, 3))
    else:
        gray = luma(picture.resized_rgb(height, width), weights)
    features = None
    if looking is not None and looking.encoder is not None:
        seen = luma(picture.resized_rgb(*looking.seen_size(height, width)), weights)
        features = looking.look(to_tensor([seen[..., None]], prior.device))
    rgb, hinted = np.repeat(gray[..., None], 3, axis=2), np.zeros(gray.shape, dtype=bool)
    return _Known(gray, rgb, hinted, fine, features, weights, noise_weights)


def _draw_hinted(
    knowns: list[_Known],
    hints: list[KnownColours | None],
    prior: ScorePrior,
    sampling: ResolvedSampling,
    colours: Colours,
    callback: TaskCallback,
) -> tuple[list[list[np.ndarray]], int]:
    """`_draw_strong`, with what strokes of colour change, as far as they reach (`reach`); all have some, or none has.

    The network takes a stroke for a sign of what the whole scene is like, and alone would colour all of it.
    """
    strokes = [given for given in hints if given is not None]
    share = Share(callback, 2 if strokes else 1)
    share.begin(1)
    without, nfe = _draw_strong(knowns, prior, sampling, colours, share)
    if not strokes:
        return without, nfe
    share.begin(1)
    given = [known.given(some) for known, some in zip(knowns, strokes, strict=True)]
    drawn, more = _draw_strong(given, prior, sampling, colours, share)
    found = []
    for known, some, befores, afters in zip(knowns, strokes, without, drawn, strict=True):
        height, width = known.gray.shape
        _, painted = some.small(height, width, known.weights)
        here = reach(known.gray, painted)[..., None]
        found.append([before + here * (after - before) for before, after in zip(befores, afters, strict=True)])
    return found, nfe + more


def _draw_strong(
    knowns: list[_Known], prior: ScorePrior, sampling: ResolvedSampling, colours: Colours, callback: TaskCallback
) -> tuple[list[list[np.ndarray]], int]:
    """`_draw_tempered`, with the saturation that is asked for."""
    drawn, nfe = _draw_tempered(knowns, prior, sampling, colours.temperature, callback)
    strong = []
    for known, samples in zip(knowns, drawn, strict=True):
        factor = colours.saturation_of(sampling, hinted=bool(known.hinted.any()))
        strong.append(samples if factor == 1 else [_saturated(sample, known, factor) for sample in samples])
    return strong, nfe


def _draw_tempered(
    knowns: list[_Known],
    prior: ScorePrior,
    sampling: ResolvedSampling,
    temperature: float | None,
    callback: TaskCallback,
) -> tuple[list[list[np.ndarray]], int]:
    """`_draw`, with the samples of `conditioned` brought nearer to the posterior mean, or away from it."""
    share = Share(callback, _evaluations(sampling))
    share.begin(_evaluations_drawn(sampling))
    drawn, nfe = _draw(knowns, prior, sampling, share)
    if not _is_tempered(sampling):
        return drawn, nfe
    share.begin(_evaluations_drawn(_mean_of(sampling)))
    means, more = _draw(knowns, prior, _mean_of(sampling), share)
    factor = COLOUR_TEMPERATURE if temperature is None else temperature
    tempered = [
        [mean + factor * (sample - mean) for sample in samples] for samples, (mean,) in zip(drawn, means, strict=True)
    ]
    return tempered, nfe + more


def _is_tempered(sampling: ResolvedSampling) -> bool:
    return sampling.method == "conditioned" and not sampling.is_posterior_mean


def _mean_of(sampling: ResolvedSampling) -> ResolvedSampling:
    return replace(sampling, samples=1, estimate="mean")


def _evaluations(sampling: ResolvedSampling) -> int:
    """How often `_draw_tempered` evaluates the network at each pixel."""
    return _evaluations_drawn(sampling) + (_evaluations_drawn(_mean_of(sampling)) if _is_tempered(sampling) else 0)


def _evaluations_drawn(sampling: ResolvedSampling) -> int:
    """How often `_draw` does."""
    if sampling.is_posterior_mean:
        return MEAN_DRAWS * len(MIRRORED)
    of_a_step = 2 if sampling.method == "pc" else 1  # by the corrector too
    return sampling.samples * sampling.steps * of_a_step


def _draw(
    knowns: list[_Known], prior: ScorePrior, sampling: ResolvedSampling, callback: TaskCallback
) -> tuple[list[list[np.ndarray]], int]:
    """Samples HxWx3 of each picture with what is known of it, or its posterior mean, and the evaluations of each."""
    averaged = sampling.is_posterior_mean
    # In pairs of opposite noise: the tints that single samples have cancel in the mean. The draws of a posterior mean,
    # whose noise hardly enters the network, do better without.
    each = [2 * k for k in range(MEAN_DRAWS)] if averaged else range(sampling.first, sampling.first + sampling.samples)
    rows = [(known, number) for known in knowns for number in each]
    at_once = max(1, PIXELS_AT_ONCE // knowns[0].gray.size)
    share = Share(callback, len(rows))
    drawn: list[np.ndarray] = []
    nfe = 0
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        share.begin(len(some))
        x, nfe = _draw_rows(some, prior, sampling, share)
        drawn += to_arrays(x)
    of_each = [drawn[first : first + len(each)] for first in range(0, len(drawn), len(each))]
    return ([[np.mean(some, axis=0)] for some in of_each], nfe * len(each)) if averaged else (of_each, nfe)


def _draw_rows(
    rows: list[tuple[_Known, int]], prior: ScorePrior, sampling: ResolvedSampling, callback: TaskCallback
) -> tuple[torch.Tensor, int]:
    """The sample of each number with what is known of a picture, and the evaluations of each; pictures of one kind."""
    knowns = [known for known, _ in rows]
    first = knowns[0]
    hinted = torch.from_numpy(np.stack([known.hinted for known in knowns]))[:, None].to(prior.device, torch.float32)
    operator = gray_and_hints(first.weights, hinted)
    guess = to_tensor([known.rgb for known in knowns], prior.device)
    fine = None
    if first.fine is not None:
        lumas = [np.repeat(known.fine[..., None], 3, axis=2) for known in knowns if known.fine is not None]
        fine = prior.to_model(to_tensor(lumas, prior.device))
    features = None
    if first.features is not None:
        maps = zip(*(known.features for known in knowns if known.features is not None), strict=True)
        features = tuple(torch.cat(same) for same in maps)
    condition = given_observation(
        sampling,
        prior,
        operator,
        operator(prior.to_model(guess)),
        overlap=tile_side(prior) // 2,
        orientations=MIRRORED,
        fine=fine,
        features=features,
    )
    weights = np.stack([known.noise_weights for known in knowns])
    noise = PictureNoise(sampling.seed, [number for _, number in rows], weights, prior.device)
    return draw(sampling, condition, prior, guess, noise, callback)


def _saturated(rgb: np.ndarray, known: _Known, factor: float) -> np.ndarray:
    """Colours with their chroma multiplied by a factor, except where it is known."""
    gray = known.gray[..., None]
    return np.where(known.hinted[..., None], rgb, gray + factor * (rgb - gray))


def _edges(picture: Picture, small: tuple[int, int], weights: GrayWeights) -> ChromaAlongEdges | None:
    """The edges that colours drawn at the size `small` follow; None where the picture is not twice as large."""
    height, width = small
    most = math.isqrt(_FINE_PIXELS // (height * width))
    scale = min(FINER, most, picture.height // height, picture.width // width)
    if scale < 2:
        return None
    return ChromaAlongEdges.fit(luma(picture.resized_rgb(scale * height, scale * width), weights), scale)


def _raised(
    small: np.ndarray,
    picture: Picture,
    edges: ChromaAlongEdges | None,
    weights: GrayWeights,
    kept: KnownColours | None,
    hints: KnownColours | None,
    callback: TaskCallback,
) -> Picture:
    """The picture with colours that were drawn at a smaller size, its own where they are kept, and the hints."""
    chroma = small - luma(small, weights)[..., None]
    finer = chroma if edges is None else edges.finer(chroma)
    coloured = picture.with_chroma(finer, weights, callback=partial(tell, callback))
    if kept is not None:
        coloured = coloured.with_pixels_of(picture, kept.known)
    return coloured if hints is None else coloured.with_colours_at(hints.rgb, hints.known, picture, weights)


def _spread(drawn: list[np.ndarray], picture: Picture) -> np.ndarray | None:
    """The standard deviation of samples, HxW of the picture; None for one."""
    if len(drawn) == 1:
        return None
    # The mean of a pair of opposite noise is known; only of an odd number is it estimated.
    small = Image.fromarray(spread(np.stack(drawn), ddof=len(drawn) % 2))
    return np.array(small.resize((picture.width, picture.height), Image.Resampling.BILINEAR))  # of the caller's own
