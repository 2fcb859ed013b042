"""The task `deblur`: estimate the blur of a photograph's light from its power spectrum, and remove it.

A network reads the spectrum (`models.blur_estimator`) and gives the odds of each kind of blur, and its size. The
likelihood of the spectrum (`analysis.spectrum.blur_misfits`) refines size and angle, and checks kernels that a user
gives. If the network is not sure, nothing is done: a wrong kernel draws stripes and rings.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import get_args

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import next_fast_len
from torch import Tensor

from scoreinv.analysis.noise import noise_under_blur
from scoreinv.analysis.spectrum import BLOCK, blur_misfits, polar_spectrum
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.inputs.blur import check_kernel_size, kernel_array
from scoreinv.models.blur_estimator import ANGLES, RADII, BlurNetwork, Reading, load_blur
from scoreinv.models.loading import Models
from scoreinv.operators import InLight, pad_observation, photographed, valid_blur
from scoreinv.operators.kernels import BlurKind, PointSpread, normalised
from scoreinv.prior import ScorePrior
from scoreinv.system.errors import InputError
from scoreinv.system.options import GRAY_LEVELS
from scoreinv.tasks.callbacks import Callback
from scoreinv.tasks.common import Model, check_samples, models_of
from scoreinv.tasks.denoise import photograph, written
from scoreinv.tasks.notes import Note, info, warning
from scoreinv.tasks.outcome import DeblurOutcome, ImageLike, Outcome, for_each
from scoreinv.tasks.requests import (
    DeblurRequest,
    Estimate,
    Inputs,
    RestorationMethod,
    SolveRequest,
)
from scoreinv.tasks.solve import Problem, solve_problem

SPECTRUM = 5e-4
"""P of `blurred_detail`, for pixels in [0, 1], measured on held-out photographs."""
LEAST_NOISE = 0.3 / 255
"""Noise that rounding to 8 bits leaves in a photograph: no photograph has less."""
_LEAST_CUT_NOISE = 1 / 255
"""Less noise than this moves no stored value that black and white cut off by as much as a grey level."""
_EXCESS = 1.0
"""Standard deviation of the light that clipped white hides, relative to white."""
BLUR_ITERATIONS = 12
"""Conjugate gradient iterations of a step."""
_LEAST_TRANSFORM = 128
"""Side of the transform of a kernel, at least: zeros of its transfer function are narrow."""
_KINDS: tuple[BlurKind, ...] = get_args(BlurKind)
_LARGEST = {"gaussian": 4.5, "disk": 7.0, "motion": 24.0}
"""Largest sizes in pixels that are estimated; the network was trained with slightly larger ones."""
_BLURRED, _ONE_KIND, _MOST_SPREAD = 0.9, 0.55, 0.2
"""Probability of any blur, and of motion or its absence, and deviation of the logarithm of the size, that are sure
enough."""
_BETTER = 0.3
"""Nats per frequency by which another kernel must fit better. Of 16 pictures of 8 photographs, moved by 15 pixels, the
true angle won by 1.3 or more over its mirror image, and no other kernel over the true one."""
_ANGLES = range(-12, 13, 3), range(-2, 3)
_SIZES = np.geomspace(0.8, 1.4, 13).tolist(), np.geomspace(0.96, 1.04, 5).tolist()
"""Turns in degrees and factors of the size that are tried one after the other, coarse and fine."""
_LEAST_DISK = 2.5
"""Radius from which the first zero of a disk, at 0.61 / radius cycles per pixel, stands out from the noise."""
_SHARP = 0.5
"""Probability of no blur above which a kernel that is given is doubted. 35 of 41 photographs have it (skies, waves and
bark do not), and none of them if blurred in light by a Gaussian of 1 or 2 pixels."""


def deblur(
    image: ImageLike,
    *,
    kernel: PointSpread | np.ndarray | None = None,
    prior: Model | None = None,
    noise_std: float | None = None,
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
        kernel: the blur, or its image of a point, as `scoreinv.operators.kernels` makes it; None: estimated.
        prior: the model, its name or its file; None: the bundled one.
        noise_std: standard deviation of the photograph's noise, in [0, 1]; None: estimated, see `noise_under_blur`.
        method, steps, samples, seed, estimate: see `solve`; None for `estimate`: `mean` for one sample.
        callback: called with the fraction of work done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or occasional lines if that is not a terminal.

    Raises:
        InputError: a wrong picture, kernel or setting; or no kernel is given, and the photograph is sharp or its blur
            is uncertain.
        Cancelled: the callback stopped the work.
    """
    if kernel is not None and not isinstance(kernel, PointSpread):
        kernel = normalised(kernel, "the kernel")
    request = DeblurRequest(
        method=method, steps=steps, samples=samples, seed=seed, estimate=estimate, kernel=kernel, noise_std=noise_std
    )
    pictures, form = pictures_from_api(image)
    inputs, models = [Inputs(picture) for picture in pictures], models_of(denoise=prior)
    return for_each(deblur_picture, inputs, request, models, form, "deblurring", callback, progress=progress)


def deblur_picture(
    inputs: Inputs, request: DeblurRequest, models: Models, callback: Callback | None = None
) -> DeblurOutcome[Picture]:
    """Remove the blur of a photograph, and check its kernel.

    Raises InputError as `deblur` does.
    """
    picture, kernel, blur = inputs.picture, request.kernel, None
    check_samples(request.samples, picture.pixels.nbytes)
    if kernel is None:
        kernel = blur = find_blur(picture)
        notes = [info("blur_found", kernel=str(blur), kind=blur.kind, size=blur.size, angle=blur.angle)]
    else:
        notes = kernel_notes(picture, kernel)
    noise_std = request.noise_std
    if noise_std is None:
        noise_std = noise_under_blur(picture)
        notes.append(info("noise_estimated", level=noise_std * GRAY_LEVELS))
    drawn = remove_blur(picture, kernel_array(kernel), noise_std, models.denoiser(), request, callback)
    name = str(kernel) if isinstance(kernel, PointSpread) else "file"
    return DeblurOutcome(**vars(drawn) | {"notes": notes}, noise_std=noise_std, blur=blur, kernel=name)


def remove_blur(
    picture: Picture,
    kernel: np.ndarray,
    noise_std: float,
    prior: ScorePrior,
    request: SolveRequest,
    callback: Callback | None = None,
) -> Outcome[Picture]:
    """Remove the blur of a kernel from a photograph.

    The scene beyond the borders, which was blurred into the photograph, is estimated too, and left out.

    Args:
        noise_std: standard deviation of the photograph's noise, in [0, 1]; at least `LEAST_NOISE` is assumed.
    """
    check_kernel_size(kernel, picture.size)
    blurring = torch.from_numpy(_in_fast_scene(kernel, picture.size))
    operator = InLight(valid_blur(blurring, *picture.size, BLUR_ITERATIONS), picture.tones)
    values, gray = photograph(picture)
    noise_std = max(noise_std, LEAST_NOISE)
    y = pad_observation(values, blurring)
    weights = _trust(operator, y, noise_std)
    operator, y = replace(operator, weights=weights), weights * y
    part = photographed(blurring, *picture.size)
    top, left, height, width = part
    below, right = y.shape[-2] - top - height, y.shape[-1] - left - width
    initial = F.pad(values, (left, right, top, below), mode="replicate")
    stored = noise_std >= _LEAST_CUT_NOISE
    missing = blurred_detail(kernel, noise_std)
    finish = partial(written, picture)
    problem = Problem(operator, y, noise_std, gray, finish, initial, True, part, missing, stored)
    return solve_problem(problem, prior, request, callback)


def _trust(operator: InLight, y: Tensor, noise_std: float) -> Tensor:
    """Return weights of the observation that are small near clipped white, (1, C, H, W) in (0, 1].

    The light of clipped parts of the scene exceeds white by an unknown amount, of standard deviation `_EXCESS`. The
    blur spreads it: it adds to the noise of each value in proportion to the share of such light.
    """
    clipped = (y >= 1 - noise_std).float()
    excess = _EXCESS * operator.operator(clipped) / operator.slope(y)
    return noise_std / torch.hypot(torch.as_tensor(noise_std), excess)


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

    Photographs look alike at every scale: their power spectrum is about P / f^2 at f cycles a pixel (Ruderman and
    Bialek 1994). For the kernel's transfer function K, the best linear estimate has an error of variance
    1 / (f^2 / P + |K|^2 / noise_std^2) at f.
    """
    side = max(_LEAST_TRANSFORM, *kernel.shape)
    squares = np.square(np.fft.fftfreq(side))
    frequencies = (squares[:, None] + squares).clip(side**-2.0)
    transfer = np.square(np.abs(np.fft.fft2(kernel, (side, side))))
    return float(np.sqrt(np.mean(1 / (frequencies / SPECTRUM + transfer / noise_std**2))))


def kernel_notes(picture: Picture, kernel: PointSpread | np.ndarray) -> list[Note]:
    """Return a note if a photograph looks sharp, or if another kernel fits its spectrum better than the given one.

    The others are the kernel's mirror image, for an angle turned the wrong way, and the estimated blur.
    """
    if min(picture.size) < BLOCK:
        return []
    if looks_sharp(picture):
        return [warning("looks_sharp")]
    values = kernel_array(kernel)
    others = [("mirrored", values[:, ::-1])]
    if isinstance(kernel, PointSpread):
        mirrored = replace(kernel, angle=-kernel.angle % 180)
        others = [(str(mirrored), mirrored.kernel())]
    with suppress(InputError):
        blur = find_blur(picture)
        others.append((str(blur), blur.kernel()))
    misfit, *misfits = blur_misfits(picture, [values, *(other for _, other in others)])
    best = int(np.argmin(misfits))
    return [warning("kernel_misfit", better=others[best][0])] if misfit - misfits[best] >= _BETTER else []


@torch.no_grad()
def find_blur(picture: Picture, network: BlurNetwork | None = None) -> PointSpread:
    """Estimate the blur of a whole photograph: a Gaussian, a disk (defocus) or a straight movement.

    Args:
        network: reads spectra; None: the bundled one.

    Raises InputError if the photograph is sharp or too small, or if its blur is uncertain.
    """
    if min(picture.size) < BLOCK:
        raise InputError(f"the blur of less than {BLOCK}x{BLOCK} pixels cannot be estimated: give the kernel")
    reading = _reading(picture, network or load_blur())
    odds = reading.kinds[0].softmax(0).tolist()
    number = int(np.argmax(odds[1:]))
    kind, size = _KINDS[number], math.exp(float(reading.size[0, number]))
    if 1 - odds[0] < _BLURRED:
        raise InputError("it looks sharp, or blurred in parts only: give the kernel if there is one")
    # A Gaussian and a disk of the same width remove nearly the same blur, so that one for the other is no harm.
    shape = odds[3] if kind == "motion" else odds[1] + odds[2]
    sure = shape >= _ONE_KIND and math.exp(float(reading.spread[0, number])) <= _MOST_SPREAD
    if not sure or size > _LARGEST[kind]:
        raise InputError("it is blurred, but the kernel is uncertain: give the kernel, or reduce the photo first")
    turns = torch.exp(2j * math.pi * torch.arange(ANGLES) / ANGLES)
    middle = (reading.angles[0].softmax(0) * turns).sum()
    angle = math.degrees(float(middle.angle())) / 2 % 180 if kind == "motion" else 0.0
    found = _refined(picture, PointSpread(kind, size, angle))
    misfit, without = blur_misfits(picture, [found.kernel(), np.ones((1, 1))])
    if misfit >= without:
        raise InputError("it looks blurred, but no kernel fits its spectrum: give the kernel")
    return found


def _refined(picture: Picture, blur: PointSpread) -> PointSpread:
    """Return the most likely blur of the same kind near the given one, by the spectrum.

    The zeros of the transfer function give size and angle. A Gaussian has none, and a small disk's first zero is lost
    in noise: their size is confused with the photograph's own spectrum.
    """
    if blur.kind == "gaussian" or (blur.kind == "disk" and blur.size < _LEAST_DISK):
        return replace(blur, size=round(blur.size, 2))
    for turns, factors in zip(_ANGLES, _SIZES, strict=True):
        if blur.kind == "motion":
            blur = _likeliest(picture, [replace(blur, angle=round(blur.angle + turn) % 180) for turn in turns])
        blur = _likeliest(picture, [replace(blur, size=round(blur.size * factor, 2)) for factor in factors])
    return blur


def _likeliest(picture: Picture, blurs: list[PointSpread]) -> PointSpread:
    return blurs[int(np.argmin(blur_misfits(picture, [blur.kernel() for blur in blurs])))]


@torch.no_grad()
def looks_sharp(picture: Picture) -> bool:
    """Return whether a photograph probably has no blur: removing one would draw rings."""
    return min(picture.size) >= BLOCK and float(_reading(picture, load_blur()).kinds[0].softmax(0)[0]) > _SHARP


def _reading(picture: Picture, network: BlurNetwork) -> Reading:
    return network(torch.from_numpy(polar_spectrum(picture, RADII, ANGLES))[None])
