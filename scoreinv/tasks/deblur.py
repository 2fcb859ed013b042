"""The task `deblur`: estimate the blur of a photograph from its power spectrum, and remove it.

A network reads the spectrum (`networks.blurring`) and gives the odds of each kind of blur, and its size. The likelihood
of the spectrum (`imaging.spectrum.blur_misfits`) refines size and angle, and checks kernels that a user gives. If the
network is not sure, nothing is done: a wrong kernel draws stripes and rings.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import torch

from scoreinv.analysis.noise import noise_under_blur
from scoreinv.analysis.spectrum import BLOCK, blur_misfits, polar_spectrum
from scoreinv.imaging.picture import Picture
from scoreinv.inputs.arrays import pictures_from_api
from scoreinv.models.blur_estimator import ANGLES, RADII, BlurNetwork, Reading, load_blur
from scoreinv.operators.kernels import BlurKind, PointSpread, normalised
from scoreinv.prior import ScorePrior
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
_BETTER = 0.3
"""Nats per frequency by which another kernel must fit better. Of 16 pictures of 8 photographs, moved by 15 pixels, the
true angle won by 1.3 or more over its mirror image, and no other kernel over the true one."""
_ANGLES = range(-12, 13, 3), range(-2, 3)
_SIZES = np.geomspace(0.8, 1.4, 13).tolist(), np.geomspace(0.96, 1.04, 5).tolist()
"""Turns in degrees and factors of the size that are tried one after the other, coarse and fine."""
_SHARP = 0.5
"""Probability of no blur above which a kernel that is given is doubted. All of 22 photographs had it, and one of 132
that were blurred by a pixel or more."""


@dataclass(frozen=True, repr=False)
class Deblurred(Restored[Any]):
    """A photograph without its blur.

    Attributes:
        blur: the `PointSpread` that was found and removed; None if the kernel was given.
        notes: sentences without capital letter and full stop: doubts about a kernel that was given. Of a batch, a list
            of them for each picture.
    """

    blur: Any
    notes: Any


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

    def restored(number: int, callback: TaskCallback) -> Deblurred:
        picture, blur = pictures[number], found[number]
        return deblur_photo(picture, given if blur is None else blur, noise_std, model, settings, callback, blur)

    with at_work("deblurring", callback, progress=progress) as callback:
        return restore_each(pictures, form, restored, callback)


def deblur_photo(
    picture: Picture,
    kernel: PointSpread | np.ndarray | None,
    noise_std: float | None,
    prior: ScorePrior,
    settings: LinearSettings,
    callback: TaskCallback | None = None,
    found: PointSpread | None = None,
) -> Deblurred:
    """Remove the blur of a photograph, and check its kernel; the images are `Picture`s.

    Args:
        kernel: None: found, see `find_blur`.
        noise_std: see `deblur`.
        found: the kernel, if `find_blur` gave it.

    Raises InputError as `deblur` does.
    """
    if kernel is None:
        kernel = found = find_blur(picture)
    notes = [] if found is not None else kernel_doubts(picture, kernel)
    values = kernel.kernel() if isinstance(kernel, PointSpread) else kernel
    noise = noise_under_blur(picture) if noise_std is None else noise_std
    result = deblur_picture(picture, values, noise, prior, settings, callback)
    return Deblurred(**{name: getattr(result, name) for name in Restored.__dataclass_fields__}, blur=found, notes=notes)


def kernel_doubts(picture: Picture, kernel: PointSpread | np.ndarray) -> list[str]:
    """Return a sentence if a photograph looks sharp, or if another kernel fits its spectrum better than the given one.

    The others are the given kernel's mirror image, which a wrong sense of an angle means, and the blur that is found.
    """
    if min(picture.size) < BLOCK:
        return []
    if looks_sharp(picture):
        return ["looks sharp: a kernel that did not blur it draws rings"]
    values = kernel.kernel() if isinstance(kernel, PointSpread) else kernel
    others = [("the kernel mirrored left to right", values[:, ::-1])]
    if isinstance(kernel, PointSpread):
        mirrored = replace(kernel, angle=-kernel.angle % 180)
        others = [(str(mirrored), mirrored.kernel())]
    with suppress(InputError):
        blur = find_blur(picture)
        others.append((str(blur), blur.kernel()))
    misfit, *misfits = blur_misfits(picture, [values, *(other for _, other in others)])
    best = int(np.argmin(misfits))
    if misfit - misfits[best] < _BETTER:
        return []
    return [f"was not blurred by this kernel, as its spectrum shows: {others[best][0]} fits better"]


@torch.no_grad()
def find_blur(picture: Picture, network: BlurNetwork | None = None) -> PointSpread:
    """What has blurred a photograph all over: a Gaussian, a disk (defocus) or a straight movement, and by how much.

    Args:
        network: that reads spectra; None: the bundled one.

    Raises InputError where the photograph is sharp, too small, or what blurred it cannot be told.
    """
    if min(picture.size) < BLOCK:
        raise InputError(f"what blurred it is told from {BLOCK}x{BLOCK} pixels on: name the blur")
    told = _reading(picture, network or load_blur())
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
    found = _refined(picture, PointSpread(kind, size, angle))
    misfit, without = blur_misfits(picture, [found.kernel(), np.ones((1, 1))])
    if misfit >= without:
        raise InputError("it looks blurred, but no kernel fits its spectrum: give the kernel")
    return found


def _refined(picture: Picture, blur: PointSpread) -> PointSpread:
    """The blur of the same kind, near the given one, that is most likely by the spectrum."""
    for turns, factors in zip(_ANGLES, _SIZES, strict=True):
        if blur.kind == "motion":
            blur = _likeliest(picture, [replace(blur, angle=round(blur.angle + turn) % 180) for turn in turns])
        blur = _likeliest(picture, [replace(blur, size=round(blur.size * factor, 2)) for factor in factors])
    return blur


def _likeliest(picture: Picture, blurs: list[PointSpread]) -> PointSpread:
    return blurs[int(np.argmin(blur_misfits(picture, [blur.kernel() for blur in blurs])))]


@torch.no_grad()
def looks_sharp(picture: Picture) -> bool:
    """Whether a photograph has no blur, as far as can be told: to take one away would draw rings."""
    return min(picture.size) >= BLOCK and float(_reading(picture, load_blur()).kinds[0].softmax(0)[0]) > _SHARP


def _reading(picture: Picture, network: BlurNetwork) -> Reading:
    return network(torch.from_numpy(polar_spectrum(picture, RADII, ANGLES))[None])
