"""Whole pictures restored from an observation: noisy, blurred, reduced, projected.

Any linear inverse problem by `solve`; photographs by `denoise_picture`, `upscale_picture` and `deblur_picture`.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.checks import check_callback, check_noise_share, check_number, shown
from scoreinv.errors import InputError, SettingError
from scoreinv.imaging.arrays import (
    Form,
    is_tensor,
    layout_remedy,
    pictures_from_api,
    plain_values,
    refuse_masked,
    refuse_nested,
)
from scoreinv.imaging.colour import STRAY_CHROMA
from scoreinv.imaging.picture import Fill, Picture
from scoreinv.operators import LinearOperator, check_adjoint, downsampling, pad_observation, photographed, valid_blur
from scoreinv.options import Downsampling, Estimate, RestorationMethod
from scoreinv.prior import ScorePrior
from scoreinv.tasks.common import Model, check_colour, knows_limited_noise, model_of, noise_range
from scoreinv.tasks.linear import Problem, RestorationJob, denoise, denoising_time, restore, white_level
from scoreinv.tasks.results import Given, Restored, TaskCallback, restore_each
from scoreinv.tasks.settings import LinearSettings

LEAST_NOISE = 0.3 / 255
"""Noise that rounding to 8 bits leaves in a photograph: no photograph has less."""

_LEAST_CUT_NOISE = 1 / 255
"""Less noise than this moves no stored value that black and white cut off by as much as a grey level."""
_SPECTRUM = 5e-4
"""P of a photograph's power spectrum P / f^2, of pixels in [0, 1]: see `missing_detail`."""
_BLUR_ITERATIONS = 20
_LEAST_TRANSFORM = 128
"""Side of the transform of a kernel, at least: zeros of its transfer function are narrow."""
_UNKNOWN = 0.055
"""Deviation of what the estimate of the mean lacks for any observation, of pixels in [0, 1]."""
_STRIP = 256


def solve(
    operator: LinearOperator,
    y: Given,
    *,
    prior: Model,
    noise_std: float = 0.0,
    method: RestorationMethod | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate | None = None,
    orientations: int = 1,
    callback: TaskCallback | None = None,
) -> Restored[Given]:
    """Restore pictures from an observation y = A x + noise, for any linear A.

        blur = scoreinv.operators.Blur(scoreinv.kernels.gaussian(2), 256, 256)
        result = scoreinv.solve(blur, y, prior=scoreinv.load("denoiser"), noise_std=0.02)

    Arguments:
        operator: A, on pictures of values in [0, 1].
        y: the observation, of the shape A(x): array HxW or HxWx3 (uint8 or uint16 of [0, 1], or any floats), PIL image,
            or tensor (B)xCxHxW of any floats. One channel stands for three alike, with one and the same noise: the
            picture is grey.
        prior: the model, or its name or file, which is then loaded for this call.
        noise_std: standard deviation of the white noise in y, in [0, 1] units.
        method: None: `dpir` for the mean of one, else `diffpir`. Where A loses nothing (an orthogonal one) the
            posterior of noise alone is sampled exactly, unless a method is asked for.
            `diffpir`, `ddnm`, `ddrm`, `pigdm`, `dps`, `mmps` and `pc` draw samples.
        steps: of the method. None: as many as were measured to be enough, 24 for `diffpir`, 30 for `dpir` and 300 for
            `dps`; for `diffpir` 8 where a model that knows little noise, as `denoiser`, finds the mean by `dpir` first.
        samples: how many pictures are drawn.
        seed: the same one gives the same pictures; each sample has its own noise.
        estimate: `sample`: one possible picture; `mean`: the average of the samples, or for one an estimate of the
            posterior mean at once. None: `mean` for `dpir`, which draws no samples, else `sample`.
        orientations: flips and turns of the picture that the mean at once is averaged over: 1, 2, 4 or 8.
        callback: called with the share of the work that is done; stops the work by returning False.

    Raises:
        InputError: a wrong observation or setting, or settings that do not go together.
        Cancelled: the callback stopped the work.
        ScoreinvError: the model gave values that are not finite, or the method diverges, as `dps` and `pigdm` may.
    """
    if estimate is None:
        estimate = "mean" if method == "dpir" else "sample"
    settings = LinearSettings(method, steps, samples, seed, estimate, orientations)
    model = model_of(prior)
    check_colour(model)
    check_number("noise_std", noise_std, 0)
    check_callback(callback)
    if not isinstance(operator, LinearOperator):
        raise SettingError(
            "operator",
            f"must be a scoreinv.operators.LinearOperator, from which one of your own derives, not {shown(operator)}",
        )
    observations, dtype, form = _observations(y)
    observations = [observation.to(model.device) for observation in observations]
    _check_noise(noise_std, observations)
    _check_operator(operator, observations[0])
    noise_alone = operator.orthogonal and noise_std > 0 and method is None
    if noise_alone and steps is not None and settings.mean:
        raise SettingError("steps", "are for samples: the mean without noise takes one evaluation")

    def solved(number: int, share: TaskCallback) -> Restored:
        values, gray = _three_channels(observations[number])
        job = RestorationJob(model, settings, partial(_as_picture, dtype=dtype, gray=gray), share)
        if noise_alone:
            return denoise(operator.adjoint(values), noise_std, job, gray=gray)
        if knows_limited_noise(model):
            return restore(Problem(operator, values, noise_std, gray, rough=True, missing=_UNKNOWN), job)
        return restore(Problem(operator, values, noise_std, gray), job)

    return restore_each(observations, form, solved, callback)


def denoise_picture(
    picture: Picture,
    noise_std: float,
    prior: ScorePrior,
    settings: LinearSettings,
    callback: TaskCallback | None = None,
) -> Restored:
    """A photograph without its white noise, of standard deviation `noise_std` in [0, 1] units; gives a `Picture`.

    The posterior mean is one evaluation of the network in each orientation, or two where black and white cut off more
    than 15 % of the values (`tasks.censored`). Where the photograph is grey the result is, whatever its mode.
    """
    check_noise_share(noise_std)
    check_colour(prior)
    values, gray = _photograph(picture)
    job = RestorationJob(prior, settings, partial(_written, picture), callback)
    return denoise(values, noise_std, job, gray=gray, stored=True)


def has_noise(picture: Picture, noise_std: float, prior: ScorePrior) -> bool:
    """Whether noise of this standard deviation is above the least that the model knows."""
    return white_level(noise_std, gray=picture.is_gray(STRAY_CHROMA)) > noise_range(prior)[0]


def check_noise(picture: Picture, noise_std: float, prior: ScorePrior) -> None:
    """Raise InputError unless the model knows noise of this standard deviation, for `denoise_picture`."""
    denoising_time(prior, white_level(noise_std, gray=picture.is_gray(STRAY_CHROMA)))


def unchanged(picture: Picture, settings: LinearSettings) -> Restored:
    """The result for a photograph that is left as it is, in the form of `denoise_picture`."""
    several = settings.samples > 1
    std = np.zeros(picture.size, dtype=np.float32) if several else None
    return Restored(picture, [picture] * settings.samples, std, 0, "exact")


def upscale_picture(
    picture: Picture,
    factor: int,
    kind: Downsampling,
    noise_std: float,
    prior: ScorePrior,
    settings: LinearSettings,
    callback: TaskCallback | None = None,
) -> Restored:
    """A photograph `factor` times as large; reduced by `kind` it is the given one again. Returns a `Picture`.

    Args:
        noise_std: of the photograph's noise, in [0, 1] units; 0: it is kept exactly.
    """
    check_noise_share(noise_std)
    check_colour(prior)
    frame = picture.enlarged(factor)
    height, width = frame.size
    operator = downsampling(factor, height, width, kind)
    values, gray = _photograph(picture)
    guess = F.interpolate(values, size=(height, width), mode="bicubic", align_corners=False)
    if noise_std == 0:
        guess = operator.replace(guess, values)
    problem = Problem(operator, values, noise_std, gray, guess, missing=missing_detail(factor))
    return restore(problem, RestorationJob(prior, settings, partial(_written, frame), callback))


def missing_detail(factor: int) -> float:
    """Standard deviation of the largest components of a photograph, in [0, 1], that are lost at 1 / factor of its size.

    Photographs look alike at every scale: their power spectrum is about P / f^2 at f cycles a pixel (Ruderman and
    Bialek 1994; P measured on held-out photographs). What is lost begins at f = 1 / (2 factor): sqrt(P) 2 factor.
    """
    return math.sqrt(_SPECTRUM) * 2 * factor


def deblur_picture(
    picture: Picture,
    kernel: np.ndarray,
    noise_std: float,
    prior: ScorePrior,
    settings: LinearSettings,
    callback: TaskCallback | None = None,
) -> Restored:
    """A photograph without the blur of a kernel (`scoreinv.kernels`); gives a `Picture`.

    What lay beyond the photograph's borders and was blurred into it is restored too, and left out.

    Args:
        noise_std: of the photograph's noise, in [0, 1] units; taken for at least `LEAST_NOISE`.
    """
    check_noise_share(noise_std)
    check_colour(prior)
    check_kernel_size(kernel, picture)
    blurring = torch.from_numpy(kernel)
    operator = valid_blur(blurring, *picture.size, _BLUR_ITERATIONS)
    values, gray = _photograph(picture)
    y = pad_observation(values, blurring)
    part = photographed(blurring, *picture.size)
    top, left, height, width = part
    below, right = y.shape[-2] - top - height, y.shape[-1] - left - width
    guess = F.pad(values, (left, right, top, below), mode="replicate")
    stored = noise_std >= _LEAST_CUT_NOISE
    noise_std = max(noise_std, LEAST_NOISE)
    missing = blurred_detail(kernel, noise_std)
    problem = Problem(operator, y, noise_std, gray, guess, rough=True, part=part, missing=missing, stored=stored)
    return restore(problem, RestorationJob(prior, settings, partial(_written, picture), callback))


def check_kernel_size(kernel: np.ndarray, picture: Picture) -> None:
    """Raise InputError for a kernel that is larger than the photograph."""
    if kernel.shape[0] > picture.height or kernel.shape[1] > picture.width:
        raise InputError(
            f"the kernel is {kernel.shape[1]}x{kernel.shape[0]} and the picture {picture.width}x{picture.height}: it "
            "must not be larger"
        )


def blurred_detail(kernel: np.ndarray, noise_std: float) -> float:
    """Root mean square of a photograph's components, in [0, 1], that a blur and noise leave open.

    With the spectrum P / f^2 (see `missing_detail`) and the kernel's transfer function K the best linear estimate errs
    by the variance 1 / (f^2 / P + |K|^2 / noise_std^2) at f.
    """
    side = max(_LEAST_TRANSFORM, *kernel.shape)
    squares = np.square(np.fft.fftfreq(side))
    frequencies = (squares[:, None] + squares).clip(side**-2.0)
    transfer = np.square(np.abs(np.fft.fft2(kernel, (side, side))))
    return float(np.sqrt(np.mean(1 / (frequencies / _SPECTRUM + transfer / noise_std**2))))


def _photograph(picture: Picture) -> tuple[Tensor, bool]:
    """The colours as (1, 3, H, W) in [0, 1], and whether they are grey; those of a grey photograph are exactly so."""
    gray = picture.is_gray(STRAY_CHROMA)
    rgb = np.repeat(picture.luma()[..., None], 3, axis=2) if gray else picture.rgb()
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].contiguous(), gray


def _written(picture: Picture, rgb: np.ndarray) -> Picture:
    """A picture of the same mode and metadata with other colours; its alpha is kept."""
    strips = [(top, min(_STRIP, picture.height - top)) for top in range(0, picture.height, _STRIP)]
    return picture.with_fills(
        Fill((top, 0, rows, picture.width), np.ones((rows, picture.width), dtype=bool), rgb[top : top + rows])
        for top, rows in strips
    )


def _observations(y: Any) -> tuple[list[Tensor], np.dtype, Form]:
    """The observations of a caller, (1, C, h, w) each, for pictures in [0, 1]; the results' type, and their form."""
    if is_tensor(y):
        refuse_nested(y, "the observation")
        if y.ndim not in (3, 4) or 0 in y.shape or y.shape[-3] not in (1, 3) or not y.is_floating_point():
            raise InputError(f"an observation is a floating-point (B)xCxHxW of 1 or 3 channels, not {tuple(y.shape)}")
        batch = torch.from_numpy(plain_values(y, "the observation")).float()
        _check_finite(batch)
        batch = batch if batch.ndim == 4 else batch[None]
        return list(batch.split(1)), np.dtype(np.float32), Form("tensor", y.ndim, y.dtype, y.device)
    if isinstance(y, np.ndarray) and y.dtype.kind == "f":
        refuse_masked(y, "the observation")
        if y.ndim not in (2, 3) or 0 in y.shape or (y.ndim == 3 and y.shape[2] != 3):
            shape = "x".join(map(str, y.shape))
            raise InputError(f"an observation is HxW or HxWx3, not {shape}{_remedy(y.shape)}")
        values = torch.from_numpy(np.ascontiguousarray(y, dtype=np.float32))
        _check_finite(values)
        values = values[None] if y.ndim == 2 else values.permute(2, 0, 1)
        return [values[None].contiguous()], y.dtype, Form("array")
    pictures, form = pictures_from_api(y)
    if pictures[0].has_alpha:
        raise InputError("an observation has 1 or 3 channels, and this one has alpha too: leave it out")
    rgb = pictures[0].rgb()
    channels = rgb[..., :1] if pictures[0].is_gray_mode else rgb
    return [torch.from_numpy(channels).permute(2, 0, 1)[None].contiguous()], pictures[0].pixels.dtype, form


def _remedy(shape: tuple[int, ...]) -> str:
    """`layout_remedy`; but what has an alpha is no observation when its channels are last, either."""
    if len(shape) == 3 and shape[0] == 4:
        return ": leave out the alpha, and put the channels last"
    return layout_remedy(shape)


def _check_finite(y: Tensor) -> None:
    if not y.isfinite().all():
        raise InputError("the observation has values that are not finite")


def _check_noise(noise_std: float, observations: list[Tensor]) -> None:
    """Raise SettingError for more noise than the observations have values: then the one is in other units."""
    size = max(float(y.double().square().mean().sqrt()) for y in observations)
    if noise_std > max(1.0, 2 * size):
        raise SettingError(
            "noise_std",
            f"is in [0, 1] units, and {noise_std:g} is more than the observation holds: 25 grey levels are 25/255",
        )


def _check_operator(operator: LinearOperator, y: Tensor) -> None:
    """Raise InputError for an observation that the operator cannot have given, or one that is not linear."""
    y, _ = _three_channels(y)
    try:
        back = operator.adjoint(y)
        again = operator(back).shape
    except RuntimeError:
        again = None
    if again is not None and again[0] > 1:
        raise InputError(f"{type(operator).__name__} is of {again[0]} pictures: solve each with its own operator")
    if again != y.shape:
        gives = "does not take that" if again is None else f"gives {_sides(again)} of it"
        raise InputError(
            f"the observation is {_sides(y.shape)} (channels, height, width; one channel stands for three alike), and "
            f"{type(operator).__name__} {gives}: it must give three channels of the observation's size"
        )
    check_adjoint(operator, back)


def _sides(shape: torch.Size) -> str:
    return "x".join(map(str, shape[1:]))


def _three_channels(y: Tensor) -> tuple[Tensor, bool]:
    """An observation with three channels, and whether they are one channel repeated."""
    return (y.expand(-1, 3, -1, -1).contiguous(), True) if y.shape[1] == 1 else (y, False)


def _as_picture(rgb: np.ndarray, *, dtype: np.dtype, gray: bool) -> Picture:
    pixels = np.zeros(rgb.shape[:2] if gray else rgb.shape, dtype=dtype)
    return _written(Picture(pixels), rgb)
