"""The task `upscale`: an enlarged photograph that, reduced again, is the given one."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import torch.nn.functional as F

from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.models.loading import Models
from scoreinv.operators import downsampling
from scoreinv.tasks.callbacks import Callback
from scoreinv.tasks.common import Model, check_samples, models_of
from scoreinv.tasks.denoise import photograph, written
from scoreinv.tasks.outcome import ImageLike, UpscaleOutcome, for_each
from scoreinv.tasks.requests import EXACT_STEPS, Downsampling, Estimate, Inputs, RestorationMethod, UpscaleRequest
from scoreinv.tasks.solve import Problem, solve_problem

SPECTRUM = 5e-4
"""P of a photograph's power spectrum P / f^2, for pixels in [0, 1]: see `missing_detail`."""


def upscale(
    image: ImageLike,
    factor: int = 2,
    *,
    downsampling: Downsampling = "area",
    noise_std: float = 0.0,
    method: RestorationMethod | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate | None = None,
    prior: Model | None = None,
    callback: Callback | None = None,
    progress: bool = False,
) -> UpscaleOutcome[ImageLike]:
    """Enlarge a photograph 2 to 4 times.

        result = scoreinv.upscale(image, 2)

    Args:
        image: array HxW, HxWx3 or HxWx4, PIL image, or tensor (B)xCxHxW of uint8, uint16 or floats in [0, 1].
        factor: 2, 3 or 4.
        downsampling: the kernel that would reduce the result to the photograph: `area` (block means) or `bicubic`.
        noise_std: standard deviation of the photograph's noise, in [0, 1]; with 0 the reduced result equals it.
        method, steps, samples, seed, estimate: see `solve`; None for `estimate`: `mean` for one sample.
        prior: the model, its name or its file; None: the bundled one.
        callback: called with the fraction of work done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or occasional lines if that is not a terminal.

    Raises:
        InputError: a wrong picture or setting.
        Cancelled: the callback stopped the work.
    """
    request = UpscaleRequest(
        method=method,
        steps=steps,
        samples=samples,
        seed=seed,
        estimate=estimate,
        factor=factor,
        downsampling=downsampling,
        noise_std=noise_std,
    )
    pictures, form = pictures_from_api(image)
    inputs, models = [Inputs(picture) for picture in pictures], models_of(denoise=prior)
    return for_each(upscale_picture, inputs, request, models, form, "upscaling", callback, progress=progress)


def upscale_picture(
    inputs: Inputs, request: UpscaleRequest, models: Models, callback: Callback | None = None
) -> UpscaleOutcome[Picture]:
    """Enlarge a photograph."""
    picture, factor, noise_std = inputs.picture, request.factor, request.noise_std
    check_samples(request.samples, factor**2 * picture.pixels.nbytes)
    frame = picture.enlarged(factor)
    height, width = frame.size
    operator = downsampling(factor, height, width, request.downsampling)
    values, gray = photograph(picture)
    initial = F.interpolate(values, size=(height, width), mode="bicubic", align_corners=False)
    if noise_std == 0:
        initial = operator.replace(initial, values)
    finish, missing = partial(written, frame), missing_detail(factor)
    problem = Problem(operator, values, noise_std, gray, finish, initial, missing=missing)
    if noise_std == 0:
        problem = replace(problem, mean_steps=EXACT_STEPS)
    drawn = solve_problem(problem, models.denoiser(), request, callback)
    return UpscaleOutcome(**vars(drawn), noise_std=noise_std, factor=factor)


def missing_detail(factor: int) -> float:
    """Return the standard deviation of the largest components of a photograph, in [0, 1], that reduction removes.

    Photographs look alike at every scale: their power spectrum is about P / f^2 at f cycles a pixel (Ruderman and
    Bialek 1994; P measured on held-out photographs). Reduction removes f from 1 / (2 factor) on: sqrt(P) 2 factor.
    """
    return math.sqrt(SPECTRUM) * 2 * factor
