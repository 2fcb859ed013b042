"""Denoising, super-resolution, deblurring and other linear problems against classical methods and deepinv's samplers.

    python tests/benchmarks/restoration.py FOLDER [--photos 4] [--side 256] [--tasks denoise sr-2] [--methods ...]

The middles of the folder's photographs (which no bundled model may have been trained on) are degraded and restored,
the same ones by every method (`degraded.py` names the tasks). Classical methods have the strength that is best for
these very crops. `mean` is scoreinv's estimate of the posterior mean, with one evaluation or as `upscale` and `deblur`
have it; the others are samples, which by nature are up to 3 dB below a mean. deepinv's samplers have the same prior.
"gain" is the mean difference to the best classical method's PSNR (or to `--against`), over the same crops, with its
standard error. "eye" is 100 times the distance in `eye.py`, where its packages are installed. Peers that are not
installed are named and left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from degraded import Task, photographs, standard_error, tasks
from eye import Eye, independent_eye
from models import load_fast
from photographs import middle
from skimage.metrics import structural_similarity

from scoreinv.errors import InputError
from scoreinv.tasks.linear_settings import LinearSettings, RestorationMethod

Estimate = tuple[np.ndarray, int]
"""A restored picture HxWx3 in [0, 1], and the evaluations that it took."""
Run = Callable[[np.ndarray], Estimate]
OURS = {"mean": LinearSettings(estimate="mean"), "sample": LinearSettings(estimate="sample")}
OURS |= {"mean, 8 orientations": LinearSettings(estimate="mean", orientations=8)}
OURS |= {name: LinearSettings(name) for name in get_args(RestorationMethod) if name != "dpir"}


def methods(task: Task) -> dict[str, Sequence[Run]]:
    """All of them by name, the classical ones first, each in the strengths of which the best counts."""

    def first(y: np.ndarray, settings: LinearSettings) -> Estimate:
        samples, nfe = task.restore(y, settings)
        return samples[0], nfe

    theirs = {name: [lambda y, run=run: (run(y), 0) for run in task.classical[name]] for name in task.classical}
    ours = {name: [partial(first, settings=settings)] for name, settings in OURS.items()}
    return theirs | ours | {name: [run] for name, run in task.peers.items()}


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
    prior, eye = load_fast(options.model), independent_eye()
    crops = photographs(options.folder, options.photos, options.side)
    print(f"{len(crops)} crops of {options.side} px, {torch.get_num_threads()} threads, model {options.model}")
    print(
        f"{'task':<20}{'method':<24}{'PSNR dB':>8}{'gain':>14}{'SSIM':>7}{'eye':>7}{'NFE':>6}{'s/crop':>8}", flush=True
    )
    for name, build in tasks(prior, options.side, options.steps).items():
        if any(text in name for text in options.tasks):
            compare(name, build(), crops, options.methods, options.against, eye)


def compare(
    name: str, task: Task, crops: list[np.ndarray], wanted: list[str], against: str | None, eye: Eye | None
) -> None:
    """Print a row for each method that is wanted, or that gains are over."""
    for peer in task.missing:
        print(f"{name:<20}not installed, left out: {peer}")
    observations = [task.observe(crop, np.random.default_rng(i)) for i, crop in enumerate(crops)]
    truths = [middle(crop, task.side) for crop in crops]
    reference: Scores | None = None
    for method, variants in methods(task).items():
        if method != against and not any(text in method for text in wanted):
            continue
        try:
            found = [judged(run, observations, truths, eye) for run in variants]
        except InputError as error:
            print(f"{name:<20}{method:<24}not for this: {error}")
            continue
        scores = max(found, key=lambda each: each.psnr.mean())
        may_be_best = method in task.classical if against is None else method == against
        told = ""
        if not may_be_best and reference is not None:
            gaps = scores.psnr - reference.psnr
            told = f"{gaps.mean():+.2f} ±{standard_error(gaps):.2f}"
        if may_be_best and (reference is None or scores.psnr.mean() > reference.psnr.mean()):
            reference = scores
        print(
            f"{name:<20}{method:<24}{scores.psnr.mean():>8.2f}{told:>14}{scores.ssim.mean():>7.3f}"
            f"{scores.eye.mean():>7.2f}{scores.nfe:>6}{scores.seconds:>8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
