"""The task `colorize`: samples of the prior whose luma is the picture's.

A conditional model, with the luma as observation, predicts the posterior mean, or samples that are pulled towards it
(`COLOR_TEMPERATURE`); the chroma of both is strengthened (`COLOR_SATURATION`). Other models are sampled by `pc`, which
replaces the luma of each state by the picture's (Song et al. 2021, appendix I.3).

Colour is smooth and depends on the whole scene, so it is drawn at the model's own scale (`work_size`) and upsampled
along the edges of the picture's luma. The luma, and with it all detail, does not change by a grey level. Colours of
several pictures of one size are drawn together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeGuard
from weakref import WeakKeyDictionary

import numpy as np
import torch
from PIL import Image

from scoreinv.analysis.kind import Kind, untinted
from scoreinv.conditional.colour import ColourPrior, GrayView, check_references, trained_task, view_gray
from scoreinv.conditional.prior import known_gray_weights, resized_like
from scoreinv.conditional.references import ColourPlaces, GrayPlaces, ReferenceColours, match_references, similarity_to
from scoreinv.guidance import Observation, refusal
from scoreinv.imaging.colour import FINER, ChromaAlongEdges, reach
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.resizing import resized, scaled
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.hints import KnownColours, hints_from_picture, present_colours, references_of
from scoreinv.models.loading import Models
from scoreinv.models.places import colour_places_of, gray_places_of, paleness_of
from scoreinv.operators import gray, gray_and_hints
from scoreinv.operators.luma import luma
from scoreinv.prior import ScorePrior
from scoreinv.system.errors import InputError
from scoreinv.system.progress import Callback, Part, part, parts
from scoreinv.tasks.common import (
    Gathered,
    Model,
    in_batches,
    models_of,
    to_arrays,
    to_tensor,
)
from scoreinv.tasks.damage import kind_of
from scoreinv.tasks.noise_streams import PictureNoise, ddof_of_pairs, noise_weights_of
from scoreinv.tasks.notes import Note, info, warning
from scoreinv.tasks.once import for_each
from scoreinv.tasks.outcome import ColorizeOutcome, ImageLike
from scoreinv.tasks.posterior import MEAN_WINDOW, Windows, draw_given
from scoreinv.tasks.requests import (
    COLOR_TEMPERATURE,
    MEAN_DRAWS,
    ColorizeRequest,
    Estimate,
    GrayWeights,
    Inputs,
    Method,
    Sampling,
)
from scoreinv.windows.transforms import MIRRORED

_LONGEST = 4
"""Ratio of the sides of a picture up to which its colours are drawn at the model's own scale."""
_FINE_PIXELS = 1 << 16
"""Maximum number of pixels when chroma is fitted along edges: 0.25 s and 100 MB."""
_UPSAMPLED_PIXELS = 300
"""Number of pixels upsampled in the time of one network evaluation of one pixel, on a CPU; for the progress."""


def colorize(
    image: ImageLike,
    *,
    prior: Model | None = None,
    gray_weights: GrayWeights = "rec601",
    method: Method | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate | None = None,
    start: float | None = None,
    hints: Any = None,
    like: Any = None,
    keep_color: bool = False,
    saturation: float | None = None,
    whiten: bool = False,
    callback: Callback | None = None,
    progress: bool = False,
) -> ColorizeOutcome[ImageLike]:
    """Colour a grey picture; the colours of any other are replaced.

        result = scoreinv.colorize(gray, seed=0)
        result.image, result.kind

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (B)xCxHxW of uint8, uint16 or floats in [0, 1].
        prior: the model, its name or its file; None: the bundled one.
        method: `conditioned` (a network conditional on the grey) or `pc` (constrained predictor-corrector, with any
            model); None: the model's.
        steps: steps of the sampler; the mean takes none. None: 15 for `conditioned`, 30 for `pc`.
        samples: number of colourings.
        seed: the same seed gives the same colours; samples come in pairs of opposite noise.
        estimate: `mean`: the average of the samples, or for one of `conditioned` the posterior mean; `sample`: one
            possible colouring. None: the mean for one of `conditioned`, else `sample`.
        start: starting noise level of `pc`, for pictures in [0, 1]; `math.inf` is pure noise. None: 0.5, and pure noise
            from 1000 steps on.
        hints: picture of the same size with alpha, as array, PIL image or tensor. Its chroma is used where it is more
            than half opaque. One applies to all pictures; a tensor may have one for each.
        like: a colour photograph of any size, or a list: a source of colours for similar things.
        gray_weights: weights of red, green and blue in the grey: `rec601`, `average` or `rec709`.
        keep_color: keep the colours of a colour picture; in a mostly grey one, keep the coloured parts, which guide
            the colours of the rest.
        saturation: factor of the drawn chroma. None: up to 1.45 for `conditioned` without given colours, else 1.
        whiten: make the lightest tone of a tinted print white. It loses its tint anyway.
        callback: called with the fraction of work done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or occasional lines if that is not a terminal.

    Raises:
        InputError: a wrong picture or setting.
        Cancelled: the callback stopped the work.
        ScoreinvError: the model returned values that are not finite.
    """
    request = ColorizeRequest(
        method, steps, start, samples, seed, estimate, gray_weights, keep_color, saturation, whiten
    )
    models = models_of(colorize=prior)
    pictures, form = pictures_from_api(image)
    given = hints_for(hints, len(pictures))
    references = _references_from_api(like)
    inputs = [Inputs(picture, hints=one, references=references) for picture, one in zip(pictures, given, strict=True)]
    return for_each("colorize", inputs, request, models, form, callback, progress=progress, together=_colorize_all)


def hints_for(hints: Any, count: int) -> list[KnownColours | None]:
    """Return the hints of each picture, None without hints. Raise InputError for a wrong number of them."""
    if hints is None:
        return [None] * count
    given = [hints_from_picture(picture) for picture in pictures_from_api(hints)[0]]
    if len(given) not in (1, count):
        raise InputError(f"{len(given)} hints for {count} pictures: give one, or one for each")
    return [given[number % len(given)] for number in range(count)]


def _references_from_api(like: Any) -> list[Picture]:
    """Return reference photos, given one or a list. Raise InputError if none has colours."""
    given = [] if like is None else like if isinstance(like, list | tuple) else [like]
    pictures = [picture for one in given for picture in pictures_from_api(one)[0]]
    names = ["like"] if len(pictures) == 1 else [f"like[{number}]" for number in range(len(pictures))]
    return references_of(zip(names, pictures, strict=True))


def colorize_picture(inputs: Inputs, request: ColorizeRequest, models: Models) -> ColorizeOutcome[Picture]:
    """Colour a photograph; see `colorize`."""
    return _colorize_all([inputs], request, models)[0]


def _colorize_all(inputs: Sequence[Inputs], request: ColorizeRequest, models: Models) -> list[ColorizeOutcome[Picture]]:
    """Colour photographs of one size with the same references; the outcome of one does not depend on the others."""
    prior = models.colorizer()
    notes = _model_notes(prior, request)
    with Part(0, 0):  # the time of the detector does not count: few photographs need it
        kinds = [kind_of(one.picture, models) for one in inputs]
    references = [_places(picture, prior) for picture in inputs[0].references]
    pictures, hints = [one.picture for one in inputs], [one.hints for one in inputs]
    outcomes = draw_colors(pictures, kinds, prior, request, hints, references=references)
    return [
        replace(outcome, notes=[*notes, *color_notes(outcome.kind, request)])  # type: ignore[arg-type]
        for outcome in outcomes
    ]


_PLACES: WeakKeyDictionary[Picture, tuple[ScorePrior, ColourPlaces]] = WeakKeyDictionary()
"""Cache: the places of each reference photo, and the model that computed them."""


def _places(picture: Picture, prior: ScorePrior) -> ColourPlaces:
    """Return the places of a reference photo, computed once for all pictures of a batch.

    Raises InputError if the model does not support references.
    """
    if picture not in _PLACES or _PLACES[picture][0] is not prior:
        _PLACES[picture] = prior, _computed_places(picture, prior)
    return _PLACES[picture][1]


def _computed_places(picture: Picture, prior: ScorePrior) -> ColourPlaces:
    conditional = check_references(prior)
    size = work_size(picture.size, conditional.image_size, conditional.stride)
    rgb = picture.resized_rgb(*conditional.encoder_size(*size))
    gray = luma(rgb, conditional.gray_weights)[..., None]
    return colour_places_of(to_tensor([rgb], prior.device), to_tensor([gray], prior.device), conditional)


def work_size(size: tuple[int, int], side: int, stride: int) -> tuple[int, int]:
    """Return the (height, width) at which colours are drawn: the shorter side is the model's, without enlarging.

    Pictures longer than `_LONGEST` times their shorter side are drawn smaller, to bound the number of windows.

    Args:
        size: height and width of the picture.
        side: side of the model's windows in pixels.
        stride: minimum side of a window in pixels.
    """
    shorter, longer = min(size), max(size)
    max_pixels = _LONGEST * side * side
    scale = min(1.0, side / shorter, math.sqrt(max_pixels / (shorter * longer)), max_pixels / (stride * longer))
    return scaled(size, scale)


def _model_notes(prior: ScorePrior, request: ColorizeRequest) -> list[Note]:
    """Return the notes about a model that was trained for another task, or with other grey weights."""
    notes, known = [], known_gray_weights(prior)
    if trained_task(prior) == "fill":
        notes.append(warning("model_other_task", task="fill"))
    is_default_method = request.method is None and request.start is None
    if is_default_method and known not in (None, request.gray_weights):
        notes.append(warning("gray_weights_unknown", given=request.gray_weights, known=known))
    return notes


def color_notes(kind: Kind, request: ColorizeRequest) -> list[Note]:
    """Return the notes about what colorization does to a picture that is not grey."""
    if kind == "coloured":
        return [info("colors_kept") if request.keep_color else warning("colors_replaced")]
    return [warning("tint_removed", whiten=request.whiten)] if kind == "tinted" else []


def draw_colors(
    pictures: Sequence[Picture],
    kinds: Sequence[Kind],
    prior: ScorePrior,
    request: ColorizeRequest,
    hints: Sequence[KnownColours | None],
    *,
    references: Sequence[ColourPlaces] = (),
    first: int = 0,
    noise_weights: np.ndarray | None = None,
) -> list[ColorizeOutcome[Picture]]:
    """Draw the colours of pictures of one size.

    Args:
        kinds: kind of each picture.
        hints: hints for each picture, or None.
        references: places of reference photos; they need the method `conditioned`.
        first: number of the first sample.
        noise_weights: weights of the noise, the same for all pictures; None: each picture's `noise_weights_of`.
    """
    sampling = replace(request.sampling(conditional=accepts_gray(prior, request)), first=first)
    grays = [
        _Gray.of(picture, kind, prior, request, sampling, own_hints, references, noise_weights)
        for picture, kind, own_hints in zip(pictures, kinds, hints, strict=True)
    ]
    if all(one.is_finished for one in grays):
        return [one.unchanged(sampling.samples) for one in grays]
    averaged = request.estimate == "mean" and sampling.samples > 1
    evaluations = sum(map(_evaluations, _with_mean(sampling)))
    draw_work = evaluations * sum(one.luma.size * (1 if one.hints is None else 2) for one in grays)
    upsample_work = [(sampling.samples + averaged) * math.prod(one.picture.size) / _UPSAMPLED_PIXELS for one in grays]
    drawing, *upsampling = parts([draw_work, *upsample_work])
    with drawing:
        drawn, nfe = _draw_hinted(grays, prior, request, sampling)
    outcomes = []
    for one, samples, share in zip(grays, drawn, upsampling, strict=True):
        gathered, count = Gathered(one.upsampled, len(samples)), len(samples) + averaged
        with share:
            for number, sample in enumerate(samples):
                with part(number, count):
                    gathered.add(sample)
            with part(len(samples), count):
                found = gathered.outcome(request.estimate, nfe, sampling.method, ddof_of_pairs(len(samples)))
        std = None if found.std is None else resized(found.std, one.picture.size, Image.Resampling.BILINEAR)
        outcomes.append(ColorizeOutcome(**vars(found) | {"std": std}, kind=one.kind))
    return outcomes


def _with_mean(sampling: Sampling) -> list[Sampling]:
    """Return the sampling, and that of the mean towards which samples of a conditional model are pulled."""
    if sampling.method == "pc" or sampling.mean:
        return [sampling]
    return [sampling, replace(sampling, samples=1, estimate="mean")]


def accepts_gray(prior: ScorePrior, request: ColorizeRequest) -> bool:
    """Return whether the prior accepts the luma by these grey weights as an observation."""
    return refusal(prior, Observation(gray(request.gray_weights, 1, 1), torch.zeros(1, 3, 1, 1))) is None


@dataclass(frozen=True)
class _Gray:
    """A picture to colour, and its observation at the working size (h, w).

    Attributes:
        picture: the picture, without its tint if that is removed.
        kind: kind of the original.
        weights: name of the grey weights.
        kept: original colours to keep.
        hints: the user's colour hints.
        noise_weights: weights of the noise, see `noise_weights_of`.
        luma: hxw in [0, 1].
        rgb: hxwx3 in [0, 1], with that luma, and the chroma of `known` pixels.
        known: hxw bool, pixels with known chroma.
        view: input of the model.
        places: the places of the picture; None without hints and references, or if the model does not support
            references.
        references: colours from reference photos.
    """

    picture: Picture
    kind: Kind
    weights: GrayWeights
    kept: KnownColours | None
    hints: KnownColours | None
    noise_weights: np.ndarray
    luma: np.ndarray
    rgb: np.ndarray
    known: np.ndarray
    view: GrayView
    places: GrayPlaces | None
    references: ReferenceColours | None

    @classmethod
    def of(
        cls,
        picture: Picture,
        kind: Kind,
        prior: ScorePrior,
        request: ColorizeRequest,
        sampling: Sampling,
        hints: KnownColours | None,
        references: Sequence[ColourPlaces],
        noise_weights: np.ndarray | None,
    ) -> _Gray:
        """Prepare a picture to be coloured; raise InputError if the method does not support references."""
        weights = request.gray_weights
        if kind == "tinted" and request.whiten:
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
        if references and view.encoder_luma is None:
            raise InputError("references need the method conditioned and a model that supports them, such as scene")
        places = colours = None
        if view.encoder_luma is not None and (references or hints is not None) and _compares_places(prior):
            places = gray_places_of(view.encoder_luma, prior)
        if references and places is not None:
            colours = match_references(references, places)
        rgb, known = np.repeat(view.luma[..., None], 3, axis=2), np.zeros((height, width), dtype=bool)
        kept = present_colours(picture) if request.keep_color and kind != "tinted" else None
        one = cls(picture, kind, weights, kept, hints, noise_weights, view.luma, rgb, known, view, places, colours)
        return one if kept is None else one.given(kept)

    @property
    def is_finished(self) -> bool:
        """Whether the picture keeps all its colours."""
        return self.kept is not None and self.hints is None and bool(self.kept.known.all())

    def unchanged(self, samples: int) -> ColorizeOutcome[Picture]:
        """Return the picture itself as every sample."""
        std = np.zeros(self.picture.size, np.float32) if samples > 1 else None
        return ColorizeOutcome(self.picture, [self.picture] * samples, std, 0, "exact", self.kind)

    def given(self, colours: KnownColours) -> _Gray:
        """Return a copy with more known colours; they take precedence over earlier ones."""
        height, width = self.luma.shape
        chroma, where = colours.small(height, width, self.weights)
        rgb = np.where(where[..., None], self.luma[..., None] + chroma, self.rgb)
        return replace(self, rgb=rgb, known=self.known | where)

    def reach_of(self, hints: KnownColours) -> np.ndarray:
        """Return the weight of hints at each pixel, hxw in [0, 1].

        It is small behind edges of the luma, and in other materials than those under the hints. Places narrower than
        three pixels have the weight of their surroundings: colours of this size are mixed there, and a spot without the
        hints' colour amid it would be upsampled to its complement.
        """
        from scipy import ndimage  # slow to import, and only hints need it

        height, width = self.luma.shape
        _, painted = hints.small(height, width, self.weights)
        weights = reach(self.luma, painted)
        if self.places is not None:
            _, painted_places = hints.small(*self.places.size, self.weights)
            similarity = similarity_to(torch.from_numpy(painted_places), self.places)
            weights *= resized_like(similarity[None, None], torch.empty(1, 1, height, width))[0, 0].numpy()
        return np.where(painted, 1, ndimage.grey_closing(weights, 3))

    def strengths(self, most: float, prior: ScorePrior) -> np.ndarray | float:
        """Return the factor of the chroma, hxwx1, at most `most`: the `paleness` of the mean, which it compensates.

        Without a network of the mean chroma the factor is `most` everywhere.
        """
        if self.view.encoder_luma is None or not _compares_places(prior):
            return most
        paleness = resized_like(paleness_of(self.view.encoder_luma, prior), torch.empty(1, 1, *self.luma.shape))
        return paleness[0].permute(1, 2, 0).clamp(max=most).numpy()

    @cached_property
    def edges(self) -> ChromaAlongEdges | None:
        """The edges along which chroma becomes finer; None if the picture is too small, or the working size large."""
        picture, (height, width) = self.picture, self.luma.shape
        most = min(FINER, math.isqrt(_FINE_PIXELS // (height * width)))
        scale = min(most, picture.height // height, picture.width // width)
        if scale < 2:
            return None
        return ChromaAlongEdges.fit(luma(picture.resized_rgb(scale * height, scale * width), self.weights), scale)

    def upsampled(self, drawn: np.ndarray) -> Picture:
        """Return the picture in drawn colours, hxwx3, with its kept colours and hints."""
        picture, chroma = self.picture, drawn - luma(drawn, self.weights)[..., None]
        finer = chroma if self.edges is None else self.edges.finer(chroma)
        coloured = picture.with_chroma(finer, self.weights)
        if self.kept is not None:
            coloured = coloured.with_pixels(np.where(self.kept.known[..., None], picture.pixels, coloured.pixels))
        if self.hints is not None:
            coloured = coloured.with_colours_at(self.hints.rgb, self.hints.known, picture, self.weights)
        return coloured

    def with_references(self, drawn: np.ndarray) -> np.ndarray:
        """Return drawn colours, hxwx3, blended with those of the references."""
        if self.references is None:
            return drawn
        like = torch.empty(1, 1, *self.luma.shape)
        chroma, prior_weight = (
            resized_like(value.cpu(), like)[0].permute(1, 2, 0).numpy() for value in self.references
        )
        gray = self.luma[..., None]
        return gray + prior_weight * (drawn - gray) + chroma


def _compares_places(prior: ScorePrior) -> TypeGuard[ColourPrior]:
    return isinstance(prior, ColourPrior) and prior.chroma is not None


def _draw_hinted(
    grays: list[_Gray], prior: ScorePrior, request: ColorizeRequest, sampling: Sampling
) -> tuple[list[list[np.ndarray]], int]:
    """Draw colours, and limit the effect of colour hints to their reach. All pictures have hints, or none has.

    The network would treat a hint as evidence about the whole scene. So colours are drawn with and without hints, and
    the former are used within the reach. References affect only the latter.

    Returns:
        The samples of each picture, hxwx3, and the evaluations for each.
    """
    hints = [one.hints for one in grays if one.hints is not None]
    with part(0, 2 if hints else 1):
        drawn, nfe = _draw_tempered(grays, prior, request, sampling)
    without = [list(map(one.with_references, samples)) for one, samples in zip(grays, drawn, strict=True)]
    if not hints:
        return without, nfe
    hinted = [one.given(own_hints) for one, own_hints in zip(grays, hints, strict=True)]
    with part(1, 2):
        with_hints, more = _draw_tempered(hinted, prior, request, sampling)
    blended = []
    for one, own_hints, befores, afters in zip(grays, hints, without, with_hints, strict=True):
        weight = one.reach_of(own_hints)[..., None]
        blended.append([before + weight * (after - before) for before, after in zip(befores, afters, strict=True)])
    return blended, nfe + more


def _draw_tempered(
    grays: list[_Gray], prior: ScorePrior, request: ColorizeRequest, sampling: Sampling
) -> tuple[list[list[np.ndarray]], int]:
    """Draw colours, pull samples of a conditional model towards their mean, and apply the requested saturation.

    Returns as `_draw_hinted`.
    """
    samplings = _with_mean(sampling)
    first, *rest = parts(map(_evaluations, samplings))
    with first:
        drawn, nfe = _draw(grays, prior, sampling)
    for mean_sampling, share in zip(samplings[1:], rest, strict=True):
        with share:
            means, more = _draw(grays, prior, mean_sampling)
        nfe += more
        drawn = [
            [mean + COLOR_TEMPERATURE * (sample - mean) for sample in samples]
            for samples, (mean,) in zip(drawn, means, strict=True)
        ]
    for one, samples in zip(grays, drawn, strict=True):
        factor: Any = request.saturation_of(sampling, hinted=bool(one.known.any()))
        if factor == 1:
            continue
        if request.saturation is None:
            factor = one.strengths(factor, prior)
        gray, known = one.luma[..., None], one.known[..., None]
        samples[:] = [np.where(known, sample, gray + factor * (sample - gray)) for sample in samples]
    return drawn, nfe


def _evaluations(sampling: Sampling) -> int:
    """Return the number of network evaluations of `_draw` at each pixel."""
    if sampling.mean:
        return MEAN_DRAWS * len(MIRRORED)
    per_step = 2 if sampling.method == "pc" else 1  # predictor and corrector
    return sampling.samples * sampling.steps * per_step


def _draw(grays: list[_Gray], prior: ScorePrior, sampling: Sampling) -> tuple[list[list[np.ndarray]], int]:
    """Draw samples hxwx3 of pictures of one size, or their posterior mean; return them with the evaluations for each.

    All pictures have hints, or none has.
    """
    # Samples come in antithetic pairs, so the tints of single samples cancel in their mean. For draws of the posterior
    # mean independent noise is better, since it hardly enters the network: they have even numbers.
    numbers = [sampling.first + sample for sample in range(sampling.samples)]
    if sampling.mean:
        numbers = [2 * k for k in range(MEAN_DRAWS)]
    rows = [(one, number) for one in grays for number in numbers]
    drawn: list[np.ndarray] = []
    nfe = 0
    for batch, share in in_batches(rows, grays[0].luma.size):
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
        with share:
            x, nfe = draw_given(sampling, prior, observation, windows, stream, initial=initial)
        drawn += to_arrays(x)
    pictures = [drawn[begin : begin + len(numbers)] for begin in range(0, len(drawn), len(numbers))]
    if sampling.mean:
        return [[np.mean(draws, axis=0)] for draws in pictures], nfe * len(numbers)
    return pictures, nfe
