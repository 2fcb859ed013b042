"""The task `deblur`: estimate the blur of a photograph's light from its power spectrum, and remove it.

From the spectrum a network (`models.blur_estimator`) estimates the probability and the size of each kind of blur. The
likelihood of the spectrum (`analysis.spectrum.blur_misfits`) refines size and angle, and checks the user's kernels. The
blur of a shaken camera is of no kind: its kernel is estimated from edges (`analysis.shake`), and taken if it explains
the photograph better (`analysis.spectrum.blur_evidence`), and if that of each half explains the other. A wrong kernel
causes stripes and rings. Therefore the mean of the possible kernels is deconvolved, their covariance counts as noise,
and the task fails if no kernel is likely, or if the result has too little or too much detail.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations, product
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

from scoreinv.analysis.jpeg_quantisation import coding_of
from scoreinv.analysis.shake import SIDES, aligned, shake_kernel
from scoreinv.analysis.spectrum import BLOCK, block_powers, blur_evidence, blur_misfits, polar_spectrum
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.regions import extent, with_context
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.blur import as_kernel, check_kernel_size, kernel_array
from scoreinv.inputs.masks import as_holes
from scoreinv.models.blur_estimator import ANGLES, RADII, BlurNetwork, BlurPrediction
from scoreinv.models.catalogue import bundled_network
from scoreinv.models.loading import Models
from scoreinv.operators import Blur, InLight, pad_observation, photographed, valid_blur
from scoreinv.operators.kernels import SMALLEST, BlurKind, PointSpread, gaussian, kernel_moments
from scoreinv.operators.tones import linear
from scoreinv.prior import ScorePrior
from scoreinv.system.errors import InputError
from scoreinv.system.options import GRAY_LEVELS
from scoreinv.system.progress import Callback, report
from scoreinv.tasks.blend import blend_result
from scoreinv.tasks.common import Model, models_of
from scoreinv.tasks.denoise import photograph, written
from scoreinv.tasks.noise import estimate_noise
from scoreinv.tasks.notes import Note, info, warning
from scoreinv.tasks.once import for_each
from scoreinv.tasks.outcome import DeblurOutcome, ImageLike, Outcome
from scoreinv.tasks.requests import (
    DeblurRequest,
    Estimate,
    Inputs,
    RestorationMethod,
    SolveRequest,
)
from scoreinv.tasks.solve import Problem, solve_problem
from scoreinv.windows.boxes import Box, crop

SPECTRUM = 5e-4
"""P of `_spectra`, for pixels in [0, 1], measured on held-out photographs."""
LEAST_NOISE = 0.3 / 255
"""Noise that rounding to 8 bits leaves in a photograph: no photograph has less."""
_LEAST_CLIPPED_NOISE = 1 / 255
"""Noise from which clipped values are treated as censored: with less, clipping changed them by under a grey level."""
_JPEG_NOISE = 1.5
"""White noise to assume for a JPEG, relative to its error. At qualities of 50 and 75, Gaussians are best with 1 to 1.5,
and defocused photographs with 1.5 to 2."""
_EXCESS = 1.0
"""Standard deviation of the light above white in clipped areas, relative to white."""
BLUR_ITERATIONS = 12
"""Conjugate gradient iterations of a step."""
_LEAST_TRANSFORM = 128
"""Minimum side of the transform of a kernel: the zeros of its transfer function are narrow."""
_KINDS: tuple[BlurKind, ...] = get_args(BlurKind)
_LARGEST = {"gaussian": 4.5, "disk": 7.0, "motion": 24.0}
"""Largest sizes in pixels that are estimated; the network was trained with slightly larger ones."""
_BLURRED, _ONE_KIND, _MOST_SPREAD = 0.95, 0.55, 0.2
"""Minimum probability of blur, minimum probability of motion (or of no motion), and maximum standard deviation of the
log size, for an estimate to count as certain. The probability of blur in photographs for tuning: of 157 sharp ones, one
has 0.93, the others less; of 103 blurred ones, three have 0.93."""
_LEAST_PROBABILITY = 0.01
"""Minimum probability of a kind of blur in the mean kernel."""
_NODES = ((-(3**0.5), 1 / 6), (0.0, 2 / 3), (3**0.5, 1 / 6))
"""Standard deviations and weights of the Gauss-Hermite quadrature of order 3."""
_REFINED_SPREAD = 0.03
"""Standard deviation of the logarithm of a refined size: on 24 blurs for tuning all were within 3 %."""
_ANGLES = range(-12, 13, 3), range(-2, 3)
_SIZES = np.geomspace(0.8, 1.4, 13).tolist(), np.geomspace(0.96, 1.04, 5).tolist()
"""Grid search for angle (turns in degrees) and size (factors): a coarse grid, then a fine one."""
_LEAST_DISK = 2.5
"""Radius from which the first zero of a disk, at 0.61 / radius cycles per pixel, stands out from the noise."""
_PART, _PARTS = 448, 3
"""Largest side of the parts of a photograph in which a shake is looked for, and most parts along a side."""
_FITTED = 160
"""Side of the part of a photograph by which its tone curve is decided, without the kernel's, in pixels."""
_LIGHT = 0.89
"""Ratio of the misfits of light and of the usual curve below which the values are light. With the kernels that were
found it is 0.66 to 0.896 for six drawn shakes of light, and 0.8996 or more for five of encoded values."""
_OWN = np.ones((1, 1)), gaussian(0.5), gaussian(0.8), gaussian(1.1)
"""Blurs of sharp photographs: none, and those of a sensor, its filters and resizing."""
_LEAST_GAIN = 0.04
"""Nats per pixel by which a shake must be likelier than these, or than a blur of another kind; differences between
estimates that count as equal. Of 375 photographs three gain more, as `_gain_across` counts, and these are soft."""
_FREEDOM = 0.02
"""Nats per pixel that the free weights of a shake gain over a blur of another kind: with `_LEAST_GAIN`, more than those
of 14 of 15 drawn blurs."""
_EQUAL = 0.01
"""Nats per pixel by which no blur, or another kernel, must be likelier than the user's kernel for a warning. All
warnings together: for 80 of 84 wrong kernels that cost 2 dB or more, 4 of 7 right ones that did, and 10 of 99 right
ones that made the photograph better."""
_MOST_MISFIT, _ROUNDING = 1.6, 0.5 / GRAY_LEVELS
"""Largest `misfit` of a right kernel, as a multiple of the noise (113 have 1.5 at most), and the error of rounding."""
_FEATHER = 4
"""Width in pixels of the soft edge within a mask."""
_LITTLE, _MOST_GROWTH = 0.7, 1.2
"""Largest change of a photograph that may be noise alone, relative to the expected error; most growth of its noise."""


def deblur(
    image: ImageLike,
    *,
    kernel: PointSpread | np.ndarray | str | None = None,
    prior: Model | None = None,
    noise_std: float | None = None,
    light: bool | None = None,
    mask: Any = None,
    kernel_from: Sequence[float] | None = None,
    method: RestorationMethod | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate | None = None,
    callback: Callback | None = None,
    progress: bool = False,
) -> DeblurOutcome[ImageLike]:
    """Remove the blur of a photograph.

        result = scoreinv.deblur(image)
        result.image, result.blur  # PointSpread(kind='disk', size=3.1, angle=0.0)

    Args:
        image: array HxW, HxWx3 or HxWx4 (uint8, uint16, float in [0, 1]), PIL image, or tensor CxHxW or BxCxHxW
            in [0, 1].
        kernel: the blur; its image of a point, as `scoreinv.operators.kernels` makes it; or, as on the command
            line, `gaussian:2`, `disk:3`, `motion:15,30` or a picture file. None: estimated.
        prior: the model, its name or its file; None: the bundled one.
        noise_std: standard deviation of the photograph's noise, in [0, 1]; None: estimated, see `deblurring_noise`.
        light: whether the values are light, without a tone curve; None: decided by the fit (`is_light`), if the
            picture has neither a colour profile nor EXIF.
        mask: the blurred part, in the form of `scoreinv.inpaint`; the rest is kept. None: all.
        kernel_from: x, y, width, height of the box from which the kernel is estimated; None: the mask's, or all.
        method, samples, seed: see `solve`; None for `method`: `dpir` for the mean, `diffpir` for samples.
        steps: steps of the method. None: 3 for `dpir`, 8 for `diffpir`, 300 for `dps`, 12 for the others.
        estimate: see `solve`. None: `mean` for one sample without a method or by `dpir`, otherwise `sample`.
        callback: called with the fraction of work done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or occasional lines if that is not a terminal.

    Raises:
        InputError: a wrong picture, kernel or setting; or no kernel is given, and the photograph is sharp, its blur is
            uncertain, or the result is unlikely to be better (`check_detail`).
        Cancelled: the callback stopped the work.
    """
    request = DeblurRequest(
        method=method,
        steps=steps,
        samples=samples,
        seed=seed,
        estimate=estimate,
        kernel=None if kernel is None else as_kernel(kernel),
        noise_std=noise_std,
        light=light,
        kernel_from=kernel_from,
    )
    pictures, form = pictures_from_api(image)
    holes = [None] * len(pictures) if mask is None else as_holes(mask, [picture.size for picture in pictures])
    inputs, models = list(map(Inputs, pictures, holes)), models_of(denoise=prior)
    return for_each("deblur", inputs, request, models, form, callback, progress=progress)


def deblur_picture(inputs: Inputs, request: DeblurRequest, models: Models) -> DeblurOutcome[Picture]:
    """Remove the blur of a photograph, and check its kernel.

    Raises InputError as `deblur` does.
    """
    picture, hole = inputs.picture, inputs.hole
    box = (0, 0, *picture.size) if hole is None else _box_of(hole)
    views = _by_curves(picture, request.light)
    estimates = _estimates(views, box, request)
    largest = max(max(each.kernel.shape) for each in estimates)
    box = with_context(box, picture.size, context=0, multiple=1, minimum=largest + 1)
    report()
    own, noise_std, noise_notes = _noise_levels(picture, request, models)
    parts, prior = [view.part(box) for view in views], models.denoiser()
    chosen = int(len(estimates) > 1 and is_light(parts, [each.kernel for each in estimates], noise_std, prior))
    part, estimate = parts[chosen], estimates[chosen]
    notes = [*_blur_notes(part, estimate), *noise_notes, *([info("light_found")] if chosen else [])]
    inside = None if hole is None else crop(hole, box)
    drawn = remove_blur(part, estimate.kernel, noise_std, prior, request, estimate.deviations, inside)
    if estimate.deviations is not None:
        check_detail(part, drawn.image, estimate.kernel, own)
    if inside is None:
        notes += result_notes(part, drawn.image, estimate.kernel, noise_std, own, models, estimate.deviations)
    else:
        drawn = _in_photograph(drawn, picture, inside, box)
    made: dict[str, Any] = vars(drawn) | {"notes": notes, "kernel": estimate.name, "point_spread": estimate.kernel}
    return DeblurOutcome(**made, noise_std=noise_std, blur=None if request.kernel is not None else estimate.likeliest)


def _by_curves(picture: Picture, light: bool | None) -> list[Picture]:
    """Return a photograph with each of its possible tone curves, the usual one first.

    Cameras and profiles name a curve; other files of light exist.
    """
    if light is None and picture.metadata.icc is None and picture.metadata.exif is None:
        return [picture, replace(picture, curve=linear())]
    return [replace(picture, curve=linear()) if light else picture]


def _estimates(views: list[Picture], box: Box, request: DeblurRequest) -> list[BlurEstimate]:
    """Return the given blur for each view, or what `found_blurs` does from the box, or the user's box."""
    if request.kernel is not None:
        return [BlurEstimate(request.kernel, kernel_array(request.kernel))] * len(views)
    if request.kernel_from is not None:
        left, top, width, height = map(round, request.kernel_from)
        box = top, left, height, width
    return found_blurs([view.part(box) for view in views])


def _noise_levels(picture: Picture, request: DeblurRequest, models: Models) -> tuple[float, float, list[Note]]:
    """Return the noise of a photograph, the level to assume when it is deblurred, in [0, 1], and notes."""
    if request.noise_std is not None:
        return request.noise_std, request.noise_std, []
    noise = estimate_noise(picture, models)
    level = deblurring_noise(picture, noise.std)
    return noise.std, level, [info("noise_estimated", level=level * GRAY_LEVELS, kind=noise.words)]


def _blur_notes(part: Picture, estimate: BlurEstimate) -> list[Note]:
    """Return a note of the blur that was found, or warnings about the given one."""
    blur = estimate.likeliest
    if estimate.deviations is None:
        return kernel_notes(part, blur)
    if isinstance(blur, PointSpread):
        return [info("blur_found", kernel=str(blur), kind=blur.kind, size=blur.size, angle=blur.angle)]
    return [info("shake_found", size=max(blur.shape))]


def _box_of(hole: np.ndarray) -> Box:
    """Return the bounding box of a mask, HxW bool; raise InputError for an empty one."""
    if not hole.any():
        raise InputError("the mask is empty: nothing is deblurred")
    rows, columns = extent(hole)
    return rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start


def _in_photograph(drawn: Outcome[Picture], picture: Picture, inside: np.ndarray, box: Box) -> Outcome[Picture]:
    """Return the outcome of a box of a photograph, placed in the photograph within a mask of the box, bool."""

    def placed(image: Picture) -> Picture:
        part, pixels = blend_result(picture.part(box), image, hole=inside, feather=_FEATHER), picture.pixels.copy()
        crop(pixels, box)[inside] = part.pixels[inside]
        return picture.with_pixels(pixels)

    samples, std = [placed(sample) for sample in drawn.samples], None
    if drawn.std is not None:
        std = np.zeros(picture.size, np.float32)
        crop(std, box)[inside] = drawn.std[inside]
    return replace(drawn, image=samples[0] if len(samples) == 1 else placed(drawn.image), samples=samples, std=std)


def found_blurs(candidates: list[Picture]) -> list[BlurEstimate]:
    """Return the blur of a photograph by each of its possible tone curves; where one finds none, that of another.

    A blur of a usual kind by the first curve is taken: then that curve is right, too.

    Raises InputError as `find_blur` does for the first curve, if no curve shows a blur.
    """
    found: dict[int, BlurEstimate] = {}
    errors = []
    for number, candidate in enumerate(candidates):
        try:
            found[number] = find_blur(candidate)
        except InputError as error:
            errors.append(error)
        if not number and number in found and isinstance(found[0].likeliest, PointSpread):
            return [found[0]]
    if not found:
        raise errors[0]
    usual = next(iter(found.values()))
    return [found.get(number, usual) for number in range(len(candidates))]


def is_light(candidates: list[Picture], kernels: list[np.ndarray], noise_std: float, prior: ScorePrior) -> bool:
    """Return whether the values of a blurred photograph are light, and have no tone curve.

    With the wrong curve no scene, once blurred, is like the photograph at its edges. So a busy part is deblurred with
    each curve, and blurred again. A kernel that was estimated by the wrong curve fits that curve too well: so each
    kernel is tried with both. Misfits far below the noise, which is overestimated in a blurred photograph, tell
    nothing.

    Args:
        candidates: the photograph with its usual curve, and as light.
        kernels: the kernel for each; one array if they are the same.
    """
    misfits = []
    for kernel in {id(kernel): kernel for kernel in kernels}.values():
        boxes = _parts(candidates[0].size, _FITTED + max(kernel.shape))
        box = max(boxes, key=lambda box: _edges(candidates[0].luma(box)))
        for candidate in candidates:
            part = candidate.part(box)
            misfits.append(misfit(part, remove_blur(part, kernel, noise_std, prior, DeblurRequest()).image, kernel))
    usual, light = misfits[::2], misfits[1::2]
    return bool(min(usual) > noise_std / 2 and np.prod(light) < np.prod(usual) * _LIGHT ** len(usual))


def misfit(picture: Picture, result: Picture, kernel: np.ndarray) -> float:
    """Return the standard deviation between a photograph and its deblurred result, blurred again, within [0, 1]."""
    again = InLight(Blur(kernel, *picture.size), picture.tones)(photograph(result)[0])
    rows, columns = ((side - 1) // 2 for side in kernel.shape)
    difference = (again - photograph(picture)[0])[..., rows : picture.height - rows, columns : picture.width - columns]
    return float(difference.std())


def deblurring_noise(picture: Picture, noise_std: float) -> float:
    """Return the level of white noise to assume for a blurred photograph with this noise, in [0, 1].

    The error of JPEG is not white: the frequencies that a blur leaves have more of it than their share. So a multiple
    of its standard deviation counts if that is larger.
    """
    coding = coding_of(picture)
    return max(noise_std, 0.0 if coding is None else _JPEG_NOISE * coding.rgb_noise_std)


def remove_blur(
    picture: Picture,
    kernel: np.ndarray,
    noise_std: float,
    prior: ScorePrior,
    request: SolveRequest,
    deviations: np.ndarray | None = None,
    hole: np.ndarray | None = None,
) -> Outcome[Picture]:
    """Remove the blur of a kernel from a photograph.

    The scene beyond the borders, which was blurred into the photograph, is estimated too, and left out.

    Args:
        noise_std: standard deviation of the photograph's noise, in [0, 1]; at least `LEAST_NOISE` is assumed.
        deviations: principal components of an uncertain kernel's covariance, (R, h, w); None: the kernel is certain.
        hole: HxW bool, the pixels that this kernel blurred; None: all.
    """
    check_kernel_size(kernel, picture.size)
    blurring = torch.from_numpy(_in_fast_scene(kernel, picture.size))
    operator = InLight(valid_blur(blurring, *picture.size, BLUR_ITERATIONS), picture.tones)
    values, gray = photograph(picture)
    noise_std = max(noise_std, LEAST_NOISE)
    y = pad_observation(values, blurring)
    part = photographed(blurring, *picture.size)
    top, left, height, width = part
    below, right = y.shape[-2] - top - height, y.shape[-1] - left - width
    initial = F.pad(values, (left, right, top, below), mode="replicate")
    weights = _observation_weights(operator, y, initial, noise_std, deviations)
    if hole is not None:
        weights = weights * pad_observation(torch.from_numpy(hole)[None, None].float(), blurring)
    problem = Problem(
        replace(operator, weights=weights),
        weights * y,
        noise_std,
        gray,
        partial(written, picture),
        initial,
        starts_from_mean=True,
        part=part,
        missing=blurred_detail(kernel, noise_std),
        stored=noise_std >= _LEAST_CLIPPED_NOISE,
    )
    return solve_problem(problem, prior, request)


def _observation_weights(
    operator: InLight, y: Tensor, initial: Tensor, noise_std: float, deviations: np.ndarray | None
) -> Tensor:
    """Return the weights of the observed values, (1, C, H, W): noise_std over the standard deviation of their error.

    Two errors of light add to the noise. The light of clipped parts of the scene exceeds white by an unknown amount, of
    standard deviation `_EXCESS`, and the blur spreads it. An uncertain kernel has an error of variance
    sum_r (D_r * light)^2, mostly at edges.
    """
    height, width = y.shape[-2:]
    slope = operator.slope(y)
    clipped = (y >= 1 - noise_std).float()
    variance = (_EXCESS * operator.operator(clipped) / slope).square()
    if deviations is not None:
        light = operator.decoded(initial)
        for deviation in deviations:
            variance += (Blur(deviation, height, width)(light) / slope).square()
    return noise_std / (noise_std**2 + variance).sqrt()


def _in_fast_scene(kernel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the kernel with zeros around it, so that the scene of `valid_blur` has a size with a fast transform."""
    margins = []
    for side, length in zip(kernel.shape, size, strict=True):
        wider = next_fast_len(length + side - 1, real=True) - length + 1
        before = wider // 2 - side // 2  # the centre is the element side // 2
        margins.append((before, wider - side - before))
    return np.pad(kernel, margins)


def blurred_detail(kernel: np.ndarray, noise_std: float) -> float:
    """Return the root mean square of a photograph's components, in [0, 1], that a blur and noise leave unknown.

    For the kernel's transfer function K and the power S of photographs, the best linear estimate has an error of
    variance 1 / (1 / S + |K|^2 / noise_std^2) at each frequency.
    """
    _, power, transfer = _spectra(kernel)
    return float(np.sqrt(np.mean(1 / (1 / power + transfer / noise_std**2))))


def check_detail(picture: Picture, result: Picture, kernel: np.ndarray, noise_std: float) -> None:
    """Raise InputError if a deblurred photograph has no more detail than it had, or more than its blur can hide.

    The detail that it had excludes that of its noise, of standard deviation `noise_std` in [0, 1].

    Detail is the mean square difference d of neighbouring pixels. For the power S of photographs, the kernel's
    transfer function K and that of differences, D, the scene has d mean(D S) / mean(D S |K|^2). A sharper result means
    that the photograph, or a part of it, has fine detail that the kernel would have deleted.
    """
    differences, power, transfer = _spectra(kernel)
    most = np.mean(differences * power) / np.mean(differences * power * transfer)
    before = _detail(picture)
    noise = 4 * noise_std**2
    after = _detail(result)
    if after <= before - noise:
        raise InputError("its blur was estimated, but noise hides the lost detail: give the kernel to remove it anyway")
    if after > most * before:
        raise InputError("it is sharper than its estimated blur allows: give the kernel")


def _detail(picture: Picture) -> float:
    """Return the mean square differences of luma between neighbours, added for both directions."""
    luma = picture.luma()
    return float(sum(np.square(np.diff(luma, axis=axis)).mean() for axis in (0, 1)))


def _spectra(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the squared transfer function of differences, the power of photographs, and |K|^2 of a kernel.

    Photographs look alike at every scale: their power is about P / f^2 at f cycles a pixel (Ruderman and Bialek 1994).
    """
    side = max(_LEAST_TRANSFORM, *kernel.shape)
    frequencies = np.fft.fftfreq(side)
    squares, differences = np.square(frequencies), 2 - 2 * np.cos(2 * np.pi * frequencies)
    power = SPECTRUM / (squares[:, None] + squares).clip(side**-2.0)
    return differences[:, None] + differences, power, np.square(np.abs(np.fft.fft2(kernel, (side, side))))


def kernel_notes(picture: Picture, kernel: PointSpread | np.ndarray) -> list[Note]:
    """Return a warning if a photograph is likelier without the given kernel, or with another one.

    The others are the kernel turned by half a turn, its mirror image, and the estimated blur.
    """
    if min(picture.size) < BLOCK:
        return []
    parts, values = _luminances(picture), kernel_array(kernel)
    mirrored = str(replace(kernel, angle=-kernel.angle % 180)) if isinstance(kernel, PointSpread) else "mirrored"
    others = {"none": _OWN[0], "turned": values[::-1, ::-1], mirrored: values[:, ::-1]}
    evidence = {name: _evidence(parts, other) for name, other in others.items()}
    with suppress(InputError):
        powers = block_powers(picture)
        blur = _estimate(powers, _predicted(powers)).likeliest
        evidence.setdefault(str(blur), _evidence(parts, kernel_array(blur)) - _LEAST_GAIN)
    best = max(evidence, key=lambda name: evidence[name])
    if evidence[best] < _evidence(parts, values) + _EQUAL:
        return []
    return [warning("looks_sharp") if best == "none" else warning("kernel_misfit", better=best)]


def result_notes(
    picture: Picture,
    result: Picture,
    kernel: np.ndarray,
    noise_std: float,
    own: float,
    models: Models,
    deviations: np.ndarray | None = None,
) -> list[Note]:
    """Return a warning if the result is worse than the photograph by the model's own evidence.

    Either the result, blurred again by a certain kernel, is not the photograph, up to the noise; or it has more noise
    than the photograph, and otherwise hardly differs.

    Args:
        noise_std, deviations: see `remove_blur`.
        own: the noise of the photograph, in [0, 1].
    """
    if deviations is None:
        difference = misfit(picture, result, kernel)
        if difference > _MOST_MISFIT * math.hypot(noise_std, _ROUNDING):
            return [warning("blur_unexplained", level=difference * GRAY_LEVELS)]
    change = float(np.sqrt(np.square(result.rgb() - picture.rgb()).mean()))
    if change < _LITTLE * blurred_detail(kernel, max(noise_std, LEAST_NOISE)):
        grown = estimate_noise(result, models).std
        if grown > _MOST_GROWTH * own:
            return [warning("noise_grew", level=grown * GRAY_LEVELS)]
    return []


@dataclass(frozen=True, eq=False)
class BlurEstimate:
    """The blur of a photograph, estimated or given.

    Attributes:
        likeliest: the likeliest blur; for a shake or a file its kernel.
        kernel: (h, w), the mean of the possible kernels, by their probability: see `find_blur`.
        deviations: (R, h, w), principal components of the kernel's covariance, see `kernel_moments`; None: given.
    """

    likeliest: PointSpread | np.ndarray
    kernel: np.ndarray
    deviations: np.ndarray | None = None

    @property
    def name(self) -> str:
        """Return the blur in the command's spelling, or the kind of its kernel."""
        if isinstance(self.likeliest, PointSpread):
            return str(self.likeliest)
        return "file" if self.deviations is None else "shake"


def find_blur(picture: Picture, network: BlurNetwork | None = None) -> BlurEstimate:
    """Estimate the blur of a whole photograph: a Gaussian, a disk (defocus), a straight movement or a shake.

    For an uncertain transfer function K, power P of the scene and noise n, the best linear estimate multiplies the
    spectrum by E[K]* P / ((|E[K]|^2 + var K) P + n^2). So the mean of the possible kernels is deconvolved, and their
    covariance adds to the noise: frequencies that only some of the kernels transmit are hardly amplified.

    Args:
        network: the blur estimator; None: the bundled one.

    Raises InputError if the photograph is sharp or too small, or if its blur is uncertain.
    """
    if min(picture.size) < BLOCK:
        raise InputError(f"the blur of less than {BLOCK}x{BLOCK} pixels cannot be estimated: give the kernel")
    powers = block_powers(picture)
    parts = _luminances(picture)
    sharp = [_evidence(parts, own) for own in _OWN]
    try:
        found = _estimate(powers, _predicted(powers, network))
        # The wider blurs of sharp photographs are themselves blurs of a usual kind.
        if (evidence := _evidence(parts, kernel_array(found.likeliest))) < max(sharp[:2]):
            raise InputError("it looks blurred, but is likelier without the estimated blur: give the kernel")
    except InputError:
        shake, gain = _shake(parts, max(sharp))
        if gain < 0 or gain + _gain_across(picture) < _LEAST_GAIN:
            raise
        return shake
    shake, gain = _shake(parts, evidence + _FREEDOM)
    return shake if gain >= _LEAST_GAIN else found


def _shake(parts: list[np.ndarray], other: float) -> tuple[BlurEstimate, float]:
    """Return the blur of a shaken camera, and its gain over another blur of this evidence, in nats per pixel."""
    busiest = max(parts, key=_edges)
    first = shake_kernel(busiest, SIDES[0])
    if (gain := _evidence(parts, first) - other) < 0:
        return BlurEstimate(first, first), gain
    kernels = aligned([first, *(shake_kernel(busiest, side) for side in SIDES[1:])])
    evidence = np.array([_evidence(parts, kernel) for kernel in kernels])
    weights = np.exp((evidence - evidence.max()) / _LEAST_GAIN)
    kernel, deviations = kernel_moments(kernels, weights.tolist())
    return BlurEstimate(kernel, kernel, deviations), _evidence(parts, kernel) - other


def _gain_across(picture: Picture) -> float:
    """Return the gain of the shake of one half of a photograph in the other half, in nats per pixel.

    A free kernel fits the edges that it was estimated from, even those of a sharp scene. It fits other edges only if
    the camera moved while it saw both. The smaller one of both gains counts; halves that are too small gain 0.
    """
    height, width = picture.size
    rows, columns = (height, width // 2) if width >= height else (height // 2, width)
    if min(rows, columns) < BLOCK:
        return 0.0
    boxes = (0, 0, rows, columns), (height - rows, width - columns, rows, columns)
    halves = [max(_luminances(picture.part(box)), key=_edges) for box in boxes]
    return min(
        blur_evidence(half, shake_kernel(other, SIDES[0])) - max(blur_evidence(half, own) for own in _OWN)
        for half, other in permutations(halves)
    )


def _parts(size: tuple[int, int], most: int = _PART) -> list[Box]:
    """Return boxes of at most this many pixels a side, evenly spaced over a photograph."""
    sides = [min(length, most) for length in size]
    places = [
        np.linspace(0, length - side, min(_PARTS, -(-length // side))).astype(int).tolist()
        for length, side in zip(size, sides, strict=True)
    ]
    return [(top, left, sides[0], sides[1]) for top, left in product(*places)]


def _luminances(picture: Picture) -> list[np.ndarray]:
    """Return the luminance of parts of a photograph."""
    return [picture.tones.luminance(picture.rgb(box)) for box in _parts(picture.size)]


def _edges(luminance: np.ndarray) -> float:
    """Return how many edges light has: the root lets many count more than a few strong ones."""
    return float(sum(np.sqrt(np.abs(np.diff(luminance, axis=axis))).mean() for axis in (0, 1)))


def _evidence(parts: list[np.ndarray], kernel: np.ndarray) -> float:
    """Return the log-likelihood of a blur per pixel, in nats, as the mean over parts of a photograph."""
    return float(np.mean([blur_evidence(part, kernel) for part in parts]))


def _estimate(powers: np.ndarray, prediction: BlurPrediction) -> BlurEstimate:
    """Return the estimate of `find_blur` from the power of the blocks and the network's prediction."""
    sharp, *probabilities = _probabilities(prediction)
    sizes, spreads = prediction.log_size[0].exp().tolist(), prediction.log_spread[0].exp().tolist()
    best = int(np.argmax(probabilities))
    if 1 - sharp < _BLURRED:
        raise InputError("it looks sharp, or blurred in parts only: give the kernel, or a mask or box of such a part")
    # Gaussians and disks of the same width are nearly the same blur, so confusing them does no harm.
    one_kind = probabilities[2] if _KINDS[best] == "motion" else probabilities[0] + probabilities[1]
    if one_kind < _ONE_KIND or spreads[best] > _MOST_SPREAD or sizes[best] > _LARGEST[_KINDS[best]]:
        raise InputError("it is blurred, but the kernel is uncertain: give the kernel, or reduce the photo first")
    # The circular mean of the doubled angle, since motion has a period of half a turn.
    turns = torch.exp(2j * math.pi * torch.arange(ANGLES) / ANGLES)
    angle = math.degrees(float((prediction.angles[0].softmax(0) * turns).sum().angle())) / 2
    kernels, weights = [np.ones((1, 1))], [sharp]
    for number, (kind, probability) in enumerate(zip(_KINDS, probabilities, strict=True)):
        if probability < _LEAST_PROBABILITY:
            continue
        start = PointSpread(kind, min(sizes[number], _LARGEST[kind]), angle if kind == "motion" else 0.0)
        blur, spread = _refined(powers, start, spreads[number])
        if number == best:
            likeliest = blur
        for deviations, weight in _NODES:
            size = min(max(SMALLEST, blur.size * math.exp(deviations * spread)), _LARGEST[kind])
            kernels.append(replace(blur, size=size).kernel())
            weights.append(probability * weight)
    return BlurEstimate(likeliest, *kernel_moments(kernels, weights))


def _refined(powers: np.ndarray, blur: PointSpread, spread: float) -> tuple[PointSpread, float]:
    """Return the most likely blur of the same kind near the given one, and the deviation of its size's logarithm.

    The zeros of the transfer function give size and angle. A Gaussian has none, and a small disk's first zero is lost
    in noise: their size is confused with the photograph's own spectrum, and stays.
    """
    if blur.kind == "gaussian" or (blur.kind == "disk" and blur.size < _LEAST_DISK):
        return replace(blur, size=round(blur.size, 2)), spread
    for turns, factors in zip(_ANGLES, _SIZES, strict=True):
        if blur.kind == "motion":
            blur = _likeliest(powers, [replace(blur, angle=round(blur.angle + turn) % 180) for turn in turns])
        blur = _likeliest(powers, [replace(blur, size=round(blur.size * factor, 2)) for factor in factors])
    return blur, _REFINED_SPREAD


def _likeliest(powers: np.ndarray, blurs: list[PointSpread]) -> PointSpread:
    return blurs[int(np.argmin(blur_misfits(powers, [blur.kernel() for blur in blurs])))]


@torch.no_grad()
def _predicted(powers: np.ndarray, network: BlurNetwork | None = None) -> BlurPrediction:
    return (network or bundled_network("blur"))(torch.from_numpy(polar_spectrum(powers, RADII, ANGLES))[None])


def _probabilities(prediction: BlurPrediction) -> list[float]:
    """Return the probabilities of no blur, a Gaussian, a disk and motion."""
    return prediction.kinds[0].softmax(0).tolist()
