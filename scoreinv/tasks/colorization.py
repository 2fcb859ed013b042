"""Colour for grey pictures: samples of the prior whose luma is the picture's (Song et al. 2021, appendix I.3).

By default they lie nearer to the posterior mean than the posterior is wide: `COLOUR_TEMPERATURE`.

Colour is smooth and depends on the whole scene, so it is drawn at the model's own scale (`work_size`) and raised to
full resolution along the edges of the picture's luma. The luma itself, and so all detail, is the picture's, to the grey
level.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from scoreinv.arguments import check_callback, check_choice, check_flag, check_number
from scoreinv.colour import GREY_WEIGHTS, luma
from scoreinv.errors import InputError, SettingError
from scoreinv.guidance.orientations import MIRRORED
from scoreinv.imaging.arrays import pictures_from_api
from scoreinv.imaging.colour import STRAY_CHROMA
from scoreinv.imaging.hints import KnownColours, hints_from_picture, present_colours
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.tint import is_tinted, without_tint
from scoreinv.memory import PIXELS_AT_ONCE
from scoreinv.operators import gray_and_hints
from scoreinv.prior import ScorePrior
from scoreinv.samplers import NoiseStream
from scoreinv.tasks.drawing import conditioned, draw
from scoreinv.tasks.models import check_colour, check_model, tile_side
from scoreinv.tasks.progress import Share, TaskCallback
from scoreinv.tasks.restored import Restored, restore_each
from scoreinv.tasks.settings import (
    COLOUR_STEPS,
    COLOUR_TEMPERATURE,
    MEAN_DRAWS,
    ConditionalSampling,
    Estimate,
    Method,
)
from scoreinv.tasks.tensors import RunningSpread, fingerprint, spread, to_arrays, to_tensor

_STREAM = (0, 0, 0, 1)  # apart from the streams of holes, whose keys are shorter: a place and a scale

_LONGEST = 4
"""Longer side of a picture, in shorter ones, up to which its colours are drawn at the model's own scale."""


@dataclass(frozen=True)
class Colorized(Restored):
    """A coloured `Picture`.

    Attributes:
        found: what the picture was: `grey`, `tinted` (tones of one colour each, as sepia), or `coloured`.
    """

    found: Literal["grey", "tinted", "coloured"]


def colorize(
    image: Any,
    *,
    prior: ScorePrior,
    gray_weights: str = "rec601",
    method: Method | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate = "sample",
    start: float | None = None,
    hints: Any = None,
    keep_color: bool = False,
    saturation: float = 1.0,
    temperature: float | None = None,
    remove_tint: bool = False,
    callback: TaskCallback | None = None,
) -> Restored:
    """Colour a grey picture; the colours of one that has any are replaced.

    Arguments:
        image: array HxW, HxWx3 or HxWx4 (uint8, uint16, float in [0, 1]), PIL image, or tensor (B)xCxHxW in [0, 1].
        gray_weights: how the grey was made of red, green and blue: `rec601`, `average` (the paper's) or `rec709`.
        method, steps, samples, seed, estimate, start: see `ConditionalSampling`.
        hints: picture of the same size with alpha, array, PIL image or tensor: where it is more than half opaque, its
            chroma is that of the result. One serves all pictures, or a tensor has one for each.
        keep_color: leave what has colour already as it is, and let it guide the rest.
        saturation: the drawn chroma is multiplied by this, at least 0.
        temperature: of `conditioned`, factor of the samples' deviation from the posterior mean, at least 0: at 1 they
            are samples of the posterior, at 0 its mean. None: `COLOUR_TEMPERATURE`.
        remove_tint: of a print or scan of one tint, make the lightest tone white; else its luma is kept.
        callback: told of progress; may stop the work.

    Raises InputError for pictures or settings that are not such, Cancelled when the callback stopped, and ScoreinvError
    when the model gives values that are not finite.
    """
    sampling = ConditionalSampling(method, steps, start, samples, seed, estimate)
    check_model(prior)
    check_choice("gray_weights", gray_weights, tuple(GREY_WEIGHTS))
    check_number("saturation", saturation, 0)
    if temperature is not None:
        check_number("temperature", temperature, 0)
    check_flag("keep_color", keep_color)
    check_flag("remove_tint", remove_tint)
    check_callback(callback)
    pictures, form = pictures_from_api(image)
    given = [None] if hints is None else [hints_from_picture(picture) for picture in pictures_from_api(hints)[0]]
    if len(given) not in (1, len(pictures)):
        raise InputError(f"{len(given)} hints for {len(pictures)} pictures: give one, or one for each")
    colours = Colours(gray_weights, None, keep_color, saturation, temperature, remove_tint)

    def coloured(number: int, share: TaskCallback) -> Colorized:
        own = replace(colours, hints=given[number % len(given)])
        return colorize_picture(pictures[number], prior, sampling, own, share)

    return restore_each(pictures, form, coloured, callback)


@dataclass(frozen=True)
class Colours:
    """What is asked of the colours.

    Attributes:
        weights: name of the grey weights.
        hints: chroma known at some pixels; None for none.
        keep: keep the colours that the picture has.
        saturation: factor of the drawn chroma.
        temperature: factor of the deviation from the posterior mean; None for the default.
        remove_tint: make the lightest tone of a tinted picture white.
    """

    weights: str = "rec601"
    hints: KnownColours | None = None
    keep: bool = False
    saturation: float = 1.0
    temperature: float | None = None
    remove_tint: bool = False

    def check(self, sampling: ConditionalSampling) -> None:
        """Raise InputError for a temperature that is not such, or where the resolved sampling has none."""
        if self.temperature is None:
            return
        check_number("temperature", self.temperature, 0)
        if sampling.method == "pc":
            raise SettingError("temperature", "belongs to the method conditioned")
        if sampling.is_posterior_mean:
            raise SettingError(
                "temperature",
                "does not go with the posterior mean, which has no temperature: it is what samples have at 0",
            )


def colorize_picture(
    picture: Picture,
    prior: ScorePrior,
    sampling: ConditionalSampling,
    colours: Colours,
    callback: TaskCallback | None = None,
    key: int | None = None,
) -> Colorized:
    """`colorize` for one `Picture`; key: of its noise, in place of its own."""
    check_colour(prior)
    # A network that was given luma by other weights knows another grey.
    conditional = prior.conditional and prior.gray_weights == colours.weights
    sampling = sampling.resolved(COLOUR_STEPS, conditional=conditional)
    colours.check(sampling)
    weights, hints = colours.weights, colours.hints
    if hints is not None:
        hints.check_size(picture.size, "the hints")
    present = None if picture.is_gray(STRAY_CHROMA) else present_colours(picture)
    found = "grey" if present is None else "tinted" if is_tinted(picture) else "coloured"
    if found == "tinted" and colours.remove_tint:
        picture = without_tint(picture, weights)
    kept = present if colours.keep and found == "coloured" else None
    height, width = work_size(picture.size, tile_side(prior), prior.stride)
    scale = prior.luma_scale if sampling.method == "conditioned" else 1
    fine = None
    if scale > 1 and picture.height >= scale * height and picture.width >= scale * width:
        fine = luma(picture.resized_rgb(scale * height, scale * width), weights)
        small = fine.reshape(height, scale, width, scale).mean((1, 3))
    else:
        small = luma(picture.resized_rgb(height, width), weights)
    features = None
    if sampling.method == "conditioned" and prior.encoder is not None:
        seen = luma(picture.resized_rgb(*prior.seen_size(height, width)), weights)
        features = prior.look(to_tensor([seen[..., None]], prior.device))
    rgb, hinted = np.repeat(small[..., None], 3, axis=2), np.zeros(small.shape, dtype=bool)
    for colour in (kept, hints):
        if colour is not None:
            chroma, where = colour.small(height, width, weights)
            rgb[where] = small[where, None] + chroma[where]
            hinted |= where
    known = _Known(rgb, hinted, fine, features, weights, _noise_key(picture) if key is None else key)
    drawn, nfe = _draw(known, prior, sampling, callback)
    if sampling.method == "conditioned" and not sampling.is_posterior_mean:
        (mean,), more = _draw(known, prior, replace(sampling, samples=1, estimate="mean"), None)
        temperature = COLOUR_TEMPERATURE if colours.temperature is None else colours.temperature
        drawn, nfe = [mean + temperature * (sample - mean) for sample in drawn], nfe + more
    if colours.saturation != 1:
        drawn = [_saturated(sample, small, hinted, colours.saturation) for sample in drawn]

    def raised(low: np.ndarray) -> Picture:
        coloured = picture.with_chroma(low, weights)
        if kept is not None:
            coloured = coloured.with_pixels_of(picture, kept.known)
        return coloured if hints is None else coloured.with_colours_at(hints.rgb, hints.known, picture, weights)

    coloured = [raised(sample) for sample in drawn]
    image = raised(np.mean(drawn, axis=0)) if sampling.estimate == "mean" else coloured[0]
    std = None
    if sampling.samples > 1:
        low = Image.fromarray(spread(np.stack(drawn), ddof=len(drawn) % 2))
        std = np.asarray(low.resize((picture.width, picture.height), Image.Resampling.BILINEAR))
    return Colorized(image, coloured, std, nfe, sampling.method, found)


def colorize_filled(
    filled: Restored, prior: ScorePrior, sampling: ConditionalSampling, callback: TaskCallback | None = None
) -> Restored:
    """Colours for a grey picture whose holes were filled: a drawing for each of its samples.

    p(picture | known luma) = p(luma | known luma) p(colours | luma): a draw of the one, then of the other (at
    `COLOUR_TEMPERATURE`).

    Arguments:
        filled: of `inpaint_picture`.
        sampling: as the picture was filled; the mean of one sample, a posterior mean, is coloured by one.
        callback: told of progress; may stop the work.
    """
    share = Share(callback, len(filled.samples))
    estimate = sampling.estimate if len(filled.samples) == 1 else "sample"
    coloured, spread_so_far, nfe = [], RunningSpread(), filled.nfe
    key = _noise_key(filled.samples[0])  # one for all: pairs stay pairs
    for number, sample in enumerate(filled.samples):
        share.begin(1)
        one = replace(sampling, samples=1, first=sampling.first + number, estimate=estimate)
        result = colorize_picture(sample, prior, one, Colours(), share, key)
        coloured.append(result.image)
        spread_so_far.add(result.image.rgb())
    image = coloured[0]
    if sampling.estimate == "mean" and len(coloured) > 1:
        image = filled.image.colorized(spread_so_far.mean)
    std = spread_so_far.std if len(coloured) > 1 else None
    return Restored(image, coloured, std, nfe + result.nfe, filled.method)


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


def _noise_key(picture: Picture) -> int:
    """Made of a thumbnail's luma in 8 bits: whatever form it is given in, the same picture has the same noise."""
    return fingerprint(np.rint(255 * luma(picture.resized_rgb(8, 8))).astype(np.uint8))


def _saturated(rgb: np.ndarray, grey: np.ndarray, kept: np.ndarray, factor: float) -> np.ndarray:
    changed = grey[..., None] + factor * (rgb - grey[..., None])
    return np.where(kept[..., None], rgb, changed)


@dataclass(frozen=True)
class _Known:
    """What is known of a picture at the size at which its colours are drawn.

    Attributes:
        rgb: HxWx3 in [0, 1], with the luma, and the chroma where `hinted`.
        hinted: HxW bool.
        fine: the luma at the multiple of the size that the model takes, (s H)x(s W), where the picture is that large.
        features: what the picture shows, where the model is told.
        weights: name of the grey weights.
        key: of the picture's noise: with one for all, the pictures of a folder would have one tint.
    """

    rgb: np.ndarray
    hinted: np.ndarray
    fine: np.ndarray | None
    features: tuple[torch.Tensor, ...] | None
    weights: str
    key: int


def _draw(
    known: _Known, prior: ScorePrior, sampling: ConditionalSampling, callback: TaskCallback | None
) -> tuple[list[np.ndarray], int]:
    """Samples HxWx3 with what is known, or the posterior mean, and the evaluations of each."""
    height, width, _ = known.rgb.shape
    operator = gray_and_hints(known.weights, torch.from_numpy(known.hinted)[None, None].to(prior.device, torch.float32))
    fine = None
    if known.fine is not None:
        fine = prior.to_model(to_tensor([np.repeat(known.fine[..., None], 3, axis=2)], prior.device))
    at_once = max(1, PIXELS_AT_ONCE // (height * width))
    averaged = sampling.is_posterior_mean
    # In pairs of opposite noise: the tints that single samples have cancel in the mean. The draws of a posterior mean,
    # of whose noise little enters the network but not nothing, do better without.
    each = [2 * k for k in range(MEAN_DRAWS)] if averaged else range(sampling.first, sampling.first + sampling.samples)
    share = Share(callback, len(each))
    drawn: list[np.ndarray] = []
    nfe = 0
    for first in range(0, len(each), at_once):
        numbers = each[first : first + at_once]
        guess = to_tensor([known.rgb] * len(numbers), prior.device)
        y = operator(prior.to_model(guess))
        condition = conditioned(
            sampling,
            prior,
            operator,
            y,
            overlap=tile_side(prior) // 2,
            orientations=MIRRORED,
            fine=fine,
            features=known.features,
        )
        noise = NoiseStream.antithetic(sampling.seed, numbers, (*_STREAM, known.key), prior.device)
        share.begin(len(numbers))
        x, nfe = draw(sampling, condition, prior, guess, noise, share)
        drawn += to_arrays(x)
    return ([np.mean(drawn, axis=0)], nfe * len(each)) if averaged else (drawn, nfe)
