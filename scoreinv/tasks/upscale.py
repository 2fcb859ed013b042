"""The task `upscale`: an enlarged photograph that, reduced again, is the given one without its noise.

Noise is removed first, by `tasks.denoise`: enlarged, it would be sharpened. A network estimates the large picture x0
of the small one y (`models.upscaler`). The nearest picture with A x = y, for the reduction A, corrects it:

    x = x0 + A^T (A A^T)^-1 (y - A x0).

Samples start from this estimate.

The network's receptive field has a radius of `SPAN.reach` pixels, and the correction decays faster. So windows that
overlap by twice the radius, and by that of `_checked`, have the same result as the whole picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv import operators
from scoreinv.imaging.picture import Fill, Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.models.catalogue import load_upscaler
from scoreinv.models.loading import Models
from scoreinv.models.upscaler import Upscaler
from scoreinv.system.options import GRAY_LEVELS
from scoreinv.system.progress import Callback, part, parts, report
from scoreinv.tasks.common import Model, finite, given_model, models_of, noise_range
from scoreinv.tasks.denoise import FAINT, photograph, remove_noise, written
from scoreinv.tasks.noise import LEAST, Noise, given_or_estimated, std_of
from scoreinv.tasks.notes import info
from scoreinv.tasks.once import for_each
from scoreinv.tasks.outcome import ImageLike, Outcome, UpscaleOutcome
from scoreinv.tasks.requests import DenoiseRequest, Downsampling, Estimate, Inputs, SampleMethod, UpscaleRequest
from scoreinv.tasks.solve import Problem, solve_problem
from scoreinv.windows.boxes import Box
from scoreinv.windows.placement import covering_tile, grid
from scoreinv.windows.transforms import ALL, crop, turn, turn_back

_LEAST_SIDE, _MOST_SIDE = 192, 320
"""Range of the side of windows, in pixels of the small picture; the largest take about a second of a core."""
_MOST_ERROR = 0.2
"""Difference of a reduced estimate from the photograph above which the estimate is wrong. That of photographs is at
most 0.09 (31 at two and four times the size), and 0.17 after JPEG compression of quality 10 to 60."""
_AROUND, _SOFT = 4, 2
"""Radius of the surroundings of a wrong estimate that are not used, and of their soft edge, in pixels of the small
picture."""
_LIMITINGS = 8
"""Maximum number of alternating projections onto [0, 1] and onto the pictures that reduce to the photograph. For block
means of high-contrast photographs, and lines on black, four to five reach float32's precision."""
_MISSING = 0.045
"""`Problem.missing` divided by the factor. Of values from .02 to .09, it has the best CRPS of samples on eight
photographs."""


def upscale(
    image: ImageLike,
    factor: int = 2,
    *,
    downsampling: Downsampling = "area",
    noise_std: float | None = None,
    method: SampleMethod | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate | None = None,
    orientations: int = 1,
    model: Upscaler | str | Path | None = None,
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
        noise_std: standard deviation of the photograph's noise, in [0, 1]; with 0 block means of the result equal it,
            up to its rounding. None: noise of any kind is estimated.
        method, steps, samples, seed: of samples, see `solve`.
        estimate: `mean` for one sample is the network's estimate, in one evaluation; otherwise see `solve`. None:
            `mean` for one sample without a method.
        orientations: flips and turns that the network's estimate is averaged over: 1, 2, 4 or 8.
        model: the upscaler, its name or its file; None: the bundled one.
        prior: the model of samples, its name or its file; None: the bundled one.
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
        orientations=orientations,
        factor=factor,
        downsampling=downsampling,
        noise_std=noise_std,
    )
    pictures, form = pictures_from_api(image)
    inputs, models = [Inputs(picture) for picture in pictures], models_of(denoise=prior)
    if model is not None:
        models = replace(models, upscale=given_model(model, load_upscaler, Upscaler))
    return for_each("upscale", inputs, request, models, form, callback, progress=progress)


def upscale_picture(inputs: Inputs, request: UpscaleRequest, models: Models) -> UpscaleOutcome[Picture]:
    """Enlarge a photograph."""
    picture, factor = inputs.picture, request.factor
    frame, notes = picture.blank_enlarged(factor), []
    report()  # the noise of a large photograph and its first window together take over 2 seconds
    denoising, enlarging, sampling = parts([1, *((4, 0) if request.mean else (4, 4 * request.samples))])
    noise = given_or_estimated(request.noise_std, picture, models)
    noise_std, least = std_of(noise), LEAST if isinstance(noise, Noise) else 0.0
    clean = picture
    if noise_std > max(least, noise_range(models.denoiser())[0]):
        prior = models.denoiser(exact=noise_std < FAINT)
        with denoising:
            clean = remove_noise(picture, noise, prior, DenoiseRequest()).image
        if isinstance(noise, Noise):
            notes.append(info("noise_estimated", level=noise_std * GRAY_LEVELS, kind=noise.words))
    network = Enlarging(clean, request, models.upscaler())
    if request.mean:
        with enlarging:
            result = frame.with_fills(network.fills())
        drawn = Outcome(result, [result], None, request.orientations, "network")
    else:
        with enlarging:
            problem = network.problem(frame, picture, noise_std)
        with sampling:
            drawn = solve_problem(problem, models.denoiser(), request)
    return UpscaleOutcome(**vars(drawn) | {"notes": notes}, noise_std=noise_std, factor=factor)


class Enlarging:
    """The estimate of a large picture by the network, in windows.

    Args:
        picture: the small picture, without noise.
        model: the network.
    """

    def __init__(self, picture: Picture, request: UpscaleRequest, model: Upscaler) -> None:
        self.values, self.gray = photograph(picture)
        self.request = request
        self.model = model
        self._reduction = lru_cache(maxsize=1)(self._operator)

    def _operator(self, height: int, width: int) -> operators.SpectralOperator:
        """Return the reduction to height x width."""
        factor = self.request.factor
        return operators.downsampling(factor, factor * height, factor * width, self.request.downsampling)

    @torch.no_grad()
    def windows(self) -> Iterator[tuple[Box, Tensor]]:
        """Yield boxes that cover the large picture, and their colours (1, 3, h, w) in [0, 1]."""
        factor, model = self.request.factor, self.model
        height, width = self.values.shape[-2:]
        boxes = upscaling_windows(height, width, model.reach)
        margin = _margin(model.reach)
        for number, box in enumerate(boxes):
            y = crop(self.values, box).to(model.device)
            with part(number, len(boxes)):
                x = self._estimate(y)
            x = x.mean(1, keepdim=True).expand_as(x) if self.gray else x
            top, left, tall, wide = box
            # The estimate is wrong near the borders of a window that are not borders of the picture.
            above, before = (margin if start else 0 for start in (top, left))
            below = margin if top + tall < height else 0
            after = margin if left + wide < width else 0
            size = factor * (tall - above - below), factor * (wide - before - after)
            inner = crop(x, (factor * above, factor * before, *size))
            yield (factor * (top + above), factor * (left + before), *size), inner

    def _estimate(self, y: Tensor) -> Tensor:
        """Return the corrected estimate for a window y, averaged over the request's orientations."""
        request, means = self.request, self.request.downsampling == "area"
        count, estimates = request.orientations + 1, []
        for number, each in enumerate(ALL[: request.orientations]):
            with part(number, count):
                large = self.model.enlarged(turn(y, each), request.factor, means=means)
            estimates.append(turn_back(large, each))
        with part(request.orientations, count):
            return self._corrected(self._checked(finite(torch.stack(estimates).mean(0)), y), y)

    def _checked(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the estimate x, with cubic interpolation of y where x is wrong beyond doubt.

        SPAN's attention has no limit: scratches and letters on black, which its training lacked, come out as bursts of
        black, white and coloured pixels. Reduced, these differ from y.
        """
        error = (y - self._reduction(*y.shape[2:])(x)).abs().amax(1, keepdim=True)
        wrong = (error > _MOST_ERROR).to(x)
        if not wrong.any():
            return x
        around, soft = _AROUND + _SOFT, 2 * _SOFT + 1
        share = F.avg_pool2d(F.max_pool2d(wrong, 2 * around + 1, 1, around), soft, 1, _SOFT, count_include_pad=False)
        size = tuple(x.shape[2:])
        cubic = F.interpolate(y, size, mode="bicubic", align_corners=False)
        return torch.lerp(x.clamp(0, 1), cubic, F.interpolate(share, size, mode="bilinear", align_corners=False))

    def _corrected(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the estimate x corrected by the photograph y, and limited to [0, 1] where that agrees with y."""
        reduce = self._reduction(*y.shape[2:])
        x = x + reduce.pinv(y - reduce(x))
        aim = reduce(x)
        for _ in range(_LIMITINGS):
            limited = x.clamp(0, 1)
            if torch.equal(limited, x):
                break
            lost = aim - reduce(limited)
            if self.request.downsampling == "area":  # the pixels of a block that are not at the limit make up for it
                free = torch.where(reduce.adjoint(lost) > 0, limited < 1, limited > 0)
                lost = lost / reduce(free.to(x)).clamp_min(self.request.factor**-2)
            x = limited + reduce.pinv(lost)
        return x

    def fills(self) -> Iterator[Fill]:
        """Yield the windows of the large picture."""
        for box, x in self.windows():
            yield Fill(box, np.ones(box[2:], dtype=bool), x[0].permute(1, 2, 0).float().cpu().numpy())

    def problem(self, frame: Picture, picture: Picture, noise_std: float) -> Problem:
        """Return the problem of sampling, which starts at the estimate, for the picture with its noise."""
        initial, (values, gray) = self.values.new_empty(1, 3, *frame.size), photograph(picture)
        for box, x in self.windows():
            crop(initial, box).copy_(x)
        height, width = self.values.shape[-2:]
        operator = self._operator(height, width)
        missing = _MISSING * self.request.factor
        finish = partial(written, frame)
        return Problem(operator, values, noise_std, gray, finish, initial, missing=missing)


def upscaling_windows(height: int, width: int, reach: int) -> list[Box]:
    """Return windows that cover a picture and share twice their margins, for a network's reach."""
    overlap = 2 * _margin(reach)
    return grid(height, width, covering_tile(height, width, overlap, 1, _LEAST_SIDE, _MOST_SIDE), overlap, 1)


def _margin(reach: int) -> int:
    """Return the width of the border of a window where its result is not that of the whole picture."""
    return reach + _AROUND + 2 * _SOFT + 1
