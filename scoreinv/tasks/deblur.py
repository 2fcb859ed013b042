"""The task `deblur`: what blurred photographs is told from their power spectrum, where it can be, and taken away.

A network reads the spectrum (`networks.blurring`) and tells how likely each kind of blur is, and how large. Where it is
not sure nothing is done: a wrong kernel rings, and a sharp photograph has nothing to gain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, get_args

import numpy as np
import torch

from scoreinv.analysis.noise import noise_under_blur
from scoreinv.analysis.spectrum import BLOCK, polar_spectrum
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.models.blur_estimator import ANGLES, BLUR_FILE, RADII, BlurNetwork, Reading
from scoreinv.networks.base import with_weights
from scoreinv.operators.kernels import BlurKind, PointSpread, normalised
from scoreinv.system.errors import InputError
from scoreinv.system.options import check_callback, check_noise_share
from scoreinv.tasks.common import Model, model_of
from scoreinv.tasks.linear import deblur_picture
from scoreinv.tasks.results import Given, Restored, TaskCallback, at_work, restore_each
from scoreinv.tasks.settings import Estimate, LinearSettings, RestorationMethod

_KINDS: tuple[BlurKind, ...] = get_args(BlurKind)
_LARGEST = {"gaussian": 4.5, "disk": 7.0, "motion": 24.0}
"""Pixels up to which sizes are told: the network was trained a little further."""
_BLURRED, _ONE_KIND, _MOST_SPREAD = 0.9, 0.55, 0.2
"""Probability of any blur, and of its kind, and deviation of the logarithm of its size, that are sure enough."""
_SHARP = 0.5
"""Probability of no blur above which a kernel that is given is doubted. All of 22 photographs had it, and one of 132
that were blurred by a pixel or more."""


@dataclass(frozen=True, repr=False)
class Deblurred(Restored[Any]):
    """A photograph without its blur.

    Attributes:
        blur: what was found to have blurred it, and taken away; None where the kernel was given.
    """

    blur: Any


def deblur(
    image: Given,
    *,
    kernel: np.ndarray | None = None,
    prior: Model = "denoiser",
    noise_std: float | None = None,
    method: RestorationMethod | None = None,
    steps: int | None = None,
    samples: int = 1,
    seed: int = 0,
    estimate: Estimate | None = None,
    callback: TaskCallback | None = None,
    progress: bool = False,
) -> Deblurred:
    """Remove the blur of a photograph: what it is is told from the photograph, or given.

        result = scoreinv.deblur(image)
        result.image, result.blur  # PointSpread(kind='disk', size=3.1, angle=0.0)

    Args:
        image: array HxW, HxWx3 or HxWx4 (uint8, uint16, float in [0, 1]), PIL image, or tensor CxHxW or BxCxHxW
            in [0, 1].
        kernel: the image of a point, as `scoreinv.operators.kernels` makes it; None: found, see `find_blur`.
        prior: the model, or its name or file, which is then loaded for this call.
        noise_std: standard deviation of the photograph's noise, in [0, 1] units; None: estimated, see
            `noise_under_blur`.
        method, steps, samples, seed, estimate: as for `solve`; None for `estimate`: `mean` for one sample.
        callback: called with the share of the work that is done; stops the work by returning False.
        progress: show a bar with the time left on stderr, or a line now and then where that is no terminal.

    Raises:
        InputError: a wrong picture, kernel or setting; or no kernel was given, and the photograph is sharp or what
            blurred it cannot be told.
        Cancelled: the callback stopped the work.
    """
    settings = LinearSettings(method=method, steps=steps, samples=samples, seed=seed, estimate=estimate)
    check_callback(callback)
    if noise_std is not None:
        check_noise_share(noise_std)
    given = None if kernel is None else normalised(kernel, "the kernel")
    pictures, form = pictures_from_api(image)
    found = [find_blur(picture) if given is None else None for picture in pictures]
    model = model_of(prior)

    def restored(number: int, share: TaskCallback) -> Deblurred:
        picture, blur = pictures[number], found[number]
        values = given if blur is None else blur.kernel()
        assert values is not None
        noise = noise_under_blur(picture) if noise_std is None else noise_std
        result = deblur_picture(picture, values, noise, model, settings, share)
        return Deblurred(**{name: getattr(result, name) for name in Restored.__dataclass_fields__}, blur=blur)

    with at_work("deblurring", callback, progress=progress) as told:
        return restore_each(pictures, form, restored, told)


@torch.no_grad()
def find_blur(picture: Picture, network: BlurNetwork | None = None) -> PointSpread:
    """What has blurred a photograph all over: a Gaussian, a disk (defocus) or a straight movement, and by how much.

    Args:
        network: that reads spectra; None: the bundled one.

    Raises InputError where the photograph is sharp, too small, or what blurred it cannot be told.
    """
    if min(picture.size) < BLOCK:
        raise InputError(f"what blurred it is told from {BLOCK}x{BLOCK} pixels on: name the blur")
    told = _reading(picture, network or _network())
    odds = told.kinds[0].softmax(0).tolist()
    number = int(np.argmax(odds[1:]))
    kind, size = _KINDS[number], math.exp(float(told.size[0, number]))
    if 1 - odds[0] < _BLURRED:
        raise InputError("it is sharp, or not blurred all over, as far as can be told: name the blur if there is one")
    sure = odds[1 + number] >= _ONE_KIND and math.exp(float(told.spread[0, number])) <= _MOST_SPREAD
    if not sure or size > _LARGEST[kind]:
        raise InputError(
            "it is blurred, but by what cannot be told: give the kernel, or make the picture smaller first"
        )
    turns = torch.exp(2j * math.pi * torch.arange(ANGLES) / ANGLES)
    middle = (told.angles[0].softmax(0) * turns).sum()
    angle = math.degrees(float(middle.angle())) / 2 % 180 if kind == "motion" else 0.0
    return PointSpread(kind, round(size, 2), round(angle))


@torch.no_grad()
def looks_sharp(picture: Picture) -> bool:
    """Whether a photograph has no blur, as far as can be told: to take one away would draw rings."""
    return min(picture.size) >= BLOCK and float(_reading(picture, _network()).kinds[0].softmax(0)[0]) > _SHARP


def _reading(picture: Picture, network: BlurNetwork) -> Reading:
    return network(torch.from_numpy(polar_spectrum(picture, RADII, ANGLES))[None])


@lru_cache(maxsize=1)
def _network() -> BlurNetwork:
    return with_weights(BlurNetwork(), BLUR_FILE, "blur network")
