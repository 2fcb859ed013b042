"""Photographs degraded in known ways, and what undoes it: the tasks of `restoration.py`.

- denoise-15, -25, -50: white noise of that many grey levels, not clipped.
- denoise-stored-15, -25, -50: the same, clipped to black and white as files are.
- sr-2, -3, -4: reduced by bicubic with antialiasing, and rounded to 8 bits.
- sr-area-2, -3, -4: the same by the means of blocks.
- sr-jpeg-2, -3, -4: the same, stored as JPEG of quality 80.
- deblur-gaussian, deblur-motion: a Gaussian of sigma 2 and noise of .05, a movement of 15 pixels at 30 degrees and
  noise of .01; the scene goes on beyond the crop, and what is observed is clipped.
- solve-KIND-NOISE: what `solve` is given, not clipped: 70 % (most) or a third of the pixels, a Gaussian blur of 1 pixel
  with periodic boundary, means of 2x2 pixels, or half of the pixels of the blur.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from classical import Variants, deblurrers, denoisers, enlargers
from peers import Peer, deepinv_samplers, span
from photographs import middle, pictures_in
from PIL import Image

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.operators import Blur, LinearOperator, downsampling, kernels, mask
from scoreinv.prior import ScorePrior
from scoreinv.tasks.deblur import remove_blur
from scoreinv.tasks.denoise import remove_noise
from scoreinv.tasks.outcome import Outcome
from scoreinv.tasks.requests import Downsampling, Inputs, SolveRequest, UpscaleRequest
from scoreinv.tasks.upscale import upscale_picture

QUALITY = 80
"""Of enlarged JPEGs."""
MARGIN = 16
"""Of the scene around the crops of blurred pictures."""
Samples = tuple[list[np.ndarray], int]
"""Restored pictures HxWx3 in [0, 1], and the evaluations that each took."""


@dataclass(frozen=True)
class Task:
    """What is done to the middle of photographs HxWx3, and what undoes it.

    Attributes:
        side: of the middle.
        observe: the observation of a photograph with its margin, by random numbers of its own.
        restore: ours, in the way that is asked for.
        classical: variants of each classical method.
        peers: what else works by a network.
        missing: peers that are not installed.
    """

    side: int
    observe: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    restore: Callable[[np.ndarray, SolveRequest], Samples]
    classical: Variants = field(default_factory=dict)
    peers: dict[str, Peer] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def tasks(prior: ScorePrior, side: int, steps: int = 100) -> dict[str, Callable[[], Task]]:
    """By name; made when they are done. steps: of deepinv's samplers."""
    blur, everything = Blur(kernels.gaussian(1.0), side, side), mask(torch.ones(1, 1, side, side))
    most, third, half = (mask(_drawn(share, side)) for share in (0.7, 1 / 3, 0.5))
    found: dict[str, Callable[[], Task]] = {}
    for level in (15, 25, 50):
        found[f"denoise-{level}"] = partial(denoising, prior, everything, level / 255, side)
        found[f"denoise-stored-{level}"] = partial(denoising_stored, prior, everything, level / 255, side)
    for factor in (2, 3, 4):
        found[f"sr-{factor}"] = partial(enlarging, prior, factor, "bicubic", side)
        found[f"sr-area-{factor}"] = partial(enlarging, prior, factor, "area", side)
        found[f"sr-jpeg-{factor}"] = partial(enlarging, prior, factor, "area", side, QUALITY)
    found["deblur-gaussian"] = partial(deblurring, prior, kernels.gaussian(2), 0.05, side)
    found["deblur-motion"] = partial(deblurring, prior, kernels.motion(15, 30), 0.01, side)
    found["solve-most-.01"] = partial(inpainting, prior, most, 0.01, side, steps)
    smaller = downsampling(2, side, side, "area") if side % 2 == 0 else None
    for name, operator, noises in (
        ("third", third, (0.0, 0.05)),
        ("blur", blur, (0.02, 0.1)),
        ("x2", smaller, (0.0, 0.05)),
        ("half of blur", half @ blur, (0.05,)),
    ):
        if operator is not None:
            found |= {f"solve-{name}-{noise:g}": partial(solving, prior, operator, noise, side) for noise in noises}
    return found


def solving(prior: ScorePrior, operator: LinearOperator, noise: float, side: int) -> Task:
    def observe(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return _noisy(_seen(operator, middle(photo, side)), noise, random)

    def restore(y: np.ndarray, request: SolveRequest) -> Samples:
        return _samples(scoreinv.solve(operator, y, prior=prior, noise_std=noise, **vars(request)))

    return Task(side, observe, restore)


def denoising(prior: ScorePrior, everything: LinearOperator, noise: float, side: int) -> Task:
    task, (peers, missing) = solving(prior, everything, noise, side), denoisers(noise)
    return Task(side, task.observe, task.restore, peers, missing=missing)


def denoising_stored(prior: ScorePrior, everything: LinearOperator, noise: float, side: int) -> Task:
    def observe(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return _noisy(middle(photo, side), noise, random).clip(0, 1)

    def restore(y: np.ndarray, request: SolveRequest) -> Samples:
        return _samples(remove_noise(Picture(y), noise, prior, request))

    def taken_as_they_are(y: np.ndarray) -> tuple[np.ndarray, int]:
        result = scoreinv.solve(everything, y, prior=prior, noise_std=noise, estimate="mean")
        return result.image, result.nfe

    peers, missing = denoisers(noise)
    return Task(side, observe, restore, peers, {"mean, values as they are": taken_as_they_are}, missing)


def inpainting(prior: ScorePrior, known: LinearOperator, noise: float, side: int, steps: int) -> Task:
    task, (peers, missing) = solving(prior, known, noise, side), deepinv_samplers(prior, noise, steps)
    seen = known(torch.ones(1, 1, side, side))[0, 0].numpy() > 0
    peers = {name: partial(run, known=seen) for name, run in peers.items()}
    return Task(side, task.observe, task.restore, peers=peers, missing=missing)


def enlarging(prior: ScorePrior, factor: int, kind: Downsampling, side: int, quality: int | None = None) -> Task:
    side -= side % factor

    def observe(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
        small = _seen(downsampling(factor, side, side, kind), middle(photo, side))
        levels = np.rint(255 * small.clip(0, 1)).astype(np.uint8)
        if quality is not None:
            file = io.BytesIO()
            Image.fromarray(levels).save(file, "JPEG", quality=quality)
            levels = np.asarray(Image.open(file))
        return levels / np.float32(255)

    def restore(y: np.ndarray, request: SolveRequest) -> Samples:
        upscaling = UpscaleRequest(**vars(request), factor=factor, downsampling=kind)
        return _samples(upscale_picture(Inputs(Picture(y)), upscaling, Models(denoise=prior)))

    peers, missing = span(factor)
    return Task(side, observe, restore, enlargers(factor), peers, missing)


def deblurring(prior: ScorePrior, kernel: np.ndarray, noise: float, side: int) -> Task:
    def observe(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
        blurred = _seen(Blur(kernel, *photo.shape[:2]), photo)
        return _noisy(middle(blurred, side), noise, random).clip(0, 1)

    def restore(y: np.ndarray, request: SolveRequest) -> Samples:
        return _samples(remove_blur(Picture(y), kernel, noise, prior, request))

    return Task(side, observe, restore, deblurrers(kernel))


def photographs(folder: Path, count: int, side: int) -> list[np.ndarray]:
    """Middles with their margin, as far as there is one, HxWx3 float in [0, 1]; smaller photographs are left out."""
    pictures = (picture for picture in pictures_in(folder, 10**9) if min(picture.size) >= side)
    return [middle(picture.rgb(), side + 2 * MARGIN) for _, picture in zip(range(count), pictures, strict=False)]


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def _drawn(share: float, side: int) -> torch.Tensor:
    """What is seen, (1, 1, H, W)."""
    return (torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(0)) < share).float()


def _noisy(picture: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    return (picture + noise * random.standard_normal(picture.shape)).astype(np.float32)


def _seen(operator: LinearOperator, picture: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous()
    return operator(x)[0].permute(1, 2, 0).numpy()


def _samples(result: Outcome[Any]) -> Samples:
    pixels = [sample if isinstance(sample, np.ndarray) else sample.pixels for sample in result.samples]
    return pixels, result.nfe
