"""Denoising, super-resolution, deblurring and other linear problems: how near to the truth, and how sure of it.

    python tests/benchmarks/restoration.py FOLDER [--photos 4] [--side 256] [--tasks denoise sr-2] [--methods ...]
    python tests/benchmarks/restoration.py FOLDER --samples 4 --tasks deblur --methods diffpir pigdm:6

The middles of the folder's photographs (which no bundled model may have been trained on) are degraded and restored,
the same ones by every method (`degraded.py` names the tasks). Classical methods have the strength that is best for
these very crops. `mean` is scoreinv's estimate of the posterior mean, with one evaluation or as `upscale` and `deblur`
have it; the others are samples, which by nature are up to 3 dB below a mean. deepinv's samplers have the same prior.
"gain" is the mean difference to the best classical method's PSNR (or to `--against`), over the same crops, with its
standard error. "eye" is 100 times the distance in `eye.py`, where its packages are installed. Peers that are not
installed are named and left out. Seconds are of the processor.

With several `--samples` each is told besides
- held: the share of the values between the samples' 5 and 95 % quantiles; of exact posterior samples it is what the
  first line says;
- spread: the samples' standard deviation over the root mean squared error of their mean, 1 where that is exact too;
- the PSNR of the mean of all;
- CRPS: the continuous ranked probability score of each value in grey levels of 255, which is least for exact samples:
  neither too narrow nor too wide ones gain by it. It is followed by the difference to the first method's.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from degraded import Samples, Task, photographs, standard_error, tasks
from eye import Eye, independent_eye
from models import load_fast
from peers import Peer
from photographs import middle
from skimage.metrics import structural_similarity

from scoreinv.system.errors import ScoreinvError
from scoreinv.tasks.requests import RestorationMethod, SolveRequest

Run = Callable[[np.ndarray], Samples]
OURS = {"mean": SolveRequest(estimate="mean"), "sample": SolveRequest(estimate="sample")}
OURS |= {"mean, 8 orientations": SolveRequest(estimate="mean", orientations=8)}
OURS |= {name: SolveRequest(name, estimate="sample") for name in get_args(RestorationMethod) if name != "dpir"}


def methods(task: Task, wanted: list[str], samples: int) -> dict[str, Sequence[Run]]:
    """Those wanted by name, the classical ones first, each in the strengths of which the best counts."""
    found: dict[str, Sequence[Run]] = {}
    for name, variants in task.classical.items():
        if any(text in name for text in wanted):
            found[name] = [partial(_single, lambda y, run=run: (run(y), 0)) for run in variants]
    for text in wanted:
        part, _, steps = text.partition(":")
        for name, request in OURS.items():
            if part in name:
                drawn = samples if request.estimate == "sample" else 1
                asked = replace(request, steps=int(steps) if steps else None, samples=drawn)
                found[f"{name}:{steps}" if steps else name] = [partial(task.restore, request=asked)]
    for name, run in task.peers.items():
        if any(text in name for text in wanted):
            found[name] = [partial(_single, run)]
    return found


def _single(run: Peer, y: np.ndarray) -> Samples:
    picture, nfe = run(y)
    return [picture], nfe


def ranked_probability_score(samples: np.ndarray, truth: np.ndarray) -> float:
    """E|X - truth| - E|X - X'| / 2 of samples (n, ...), X and X' two of them, on average over the values.

    The fair form (Ferro 2014), which does not depend on how many samples there are.
    """
    count = len(samples)
    ranks = np.arange(1 - count, count, 2).reshape(-1, *[1] * truth.ndim)
    pairs = (ranks * np.sort(samples, axis=0)).sum(0)  # of |X - X'| over all pairs
    return float((np.abs(samples - truth).mean(0) - pairs / (count * (count - 1))).mean())


@dataclass(frozen=True)
class Scores:
    """Of a method on each crop: PSNR of a sample in dB, SSIM and distance of the eye of the first, and of all the share
    held, their variance, the squared error of their mean, and CRPS; the last ones NaN for a single sample.
    """

    psnr: np.ndarray
    ssim: np.ndarray
    eye: np.ndarray
    held: np.ndarray
    variance: np.ndarray
    error: np.ndarray
    crps: np.ndarray
    nfe: int
    seconds: float


def judged(run: Run, observations: list[np.ndarray], truths: list[np.ndarray], eye: Eye | None) -> Scores:
    rows, nfe, seconds = [], 0, 0.0
    for y, truth in zip(observations, truths, strict=True):
        start = time.process_time()
        drawn, nfe = run(y)
        seconds += time.process_time() - start
        samples, first = np.stack(drawn).clip(0, 1).astype(np.float64), drawn[0].clip(0, 1).astype(np.float32)
        psnr = -10 * np.log10(np.square(samples - truth).mean((1, 2, 3))).mean()
        ssim = structural_similarity(first, truth, channel_axis=-1, data_range=1.0)
        distance = np.nan if eye is None else 100 * eye.distance(first, truth)
        held, variance, score = np.nan, np.nan, np.nan
        if len(samples) > 1:
            low, high = np.quantile(samples, (0.05, 0.95), axis=0)
            held, variance = ((truth >= low) & (truth <= high)).mean(), samples.var(0, ddof=1).mean()
            score = 255 * ranked_probability_score(samples, truth)
        rows.append((psnr, ssim, distance, held, variance, np.square(samples.mean(0) - truth).mean(), score))
    return Scores(*np.array(rows).T, nfe, seconds / len(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="denoiser")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--side", type=int, default=256, help="of the crops; for sr-3 the next multiple of 3 below")
    parser.add_argument("--samples", type=int, default=1, help="of each method that draws them")
    parser.add_argument("--steps", type=int, default=100, help="of deepinv's samplers")
    parser.add_argument("--tasks", nargs="*", metavar="TEXT", default=[""], help="those whose name contains one")
    parser.add_argument(
        "--methods", nargs="*", metavar="TEXT[:STEPS]", default=[""], help="likewise; of ours steps too"
    )
    parser.add_argument("--against", help="the method that gains are over (default: the best classical)")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    prior, eye, count = load_fast(options.model), independent_eye(), options.samples
    crops = photographs(options.folder, options.photos, options.side)
    exact = f", exact samples hold {1 - 2 * (1 + 0.05 * (count - 1)) / (count + 1):.1%}" if count > 1 else ""
    print(f"{len(crops)} crops of {options.side} px, {torch.get_num_threads()} threads, model {options.model}{exact}")
    more = f"{'held':>15}{'spread':>8}{'mean, dB':>10}{'CRPS':>7}{'difference':>14}" if count > 1 else ""
    print(f"{'task':<20}{'method':<24}{'PSNR dB':>8}{'gain':>14}{'SSIM':>7}{'eye':>7}{'NFE':>6}{'s/crop':>8}{more}")
    wanted = [*options.methods, *([options.against] if options.against else [])]
    for name, build in tasks(prior, options.side, options.steps).items():
        if any(text in name for text in options.tasks):
            task = build()
            compare(name, task, methods(task, wanted, count), crops, options.against, eye)


def compare(
    name: str,
    task: Task,
    chosen: dict[str, Sequence[Run]],
    crops: list[np.ndarray],
    against: str | None,
    eye: Eye | None,
) -> None:
    """Print a row for each method."""
    for peer in task.missing:
        print(f"{name:<20}not installed, left out: {peer}")
    observations = [task.observe(crop, np.random.default_rng(i)) for i, crop in enumerate(crops)]
    truths = [middle(crop, task.side) for crop in crops]
    reference: Scores | None = None
    first: Scores | None = None
    for method, variants in chosen.items():
        try:
            found = [judged(run, observations, truths, eye) for run in variants]
        except ScoreinvError as error:
            print(f"{name:<20}{method:<24}not for this: {error}")
            continue
        scores = max(found, key=lambda each: each.psnr.mean())
        may_be_best = method in task.classical if against is None else method == against
        told = ""
        if not may_be_best and reference is not None:
            told = _with_error(scores.psnr - reference.psnr, "+.2f")
        if may_be_best and (reference is None or scores.psnr.mean() > reference.psnr.mean()):
            reference = scores
        line = f"{name:<20}{method:<24}{scores.psnr.mean():>8.2f}{told:>14}{scores.ssim.mean():>7.3f}"
        line += f"{scores.eye.mean():>7.2f}{scores.nfe:>6}{scores.seconds:>8.2f}"
        if not np.isnan(scores.held).any():
            first = first or scores
            spread, mean = np.sqrt(scores.variance.mean() / scores.error.mean()), -10 * np.log10(scores.error)
            gap = "" if first is scores else _with_error(scores.crps - first.crps, "+.2f")
            line += f"{_with_error(100 * scores.held, '.1f') + ' %':>15}{spread:>8.2f}{mean.mean():>10.2f}"
            line += f"{scores.crps.mean():>7.2f}{gap:>14}"
        print(line, flush=True)


def _with_error(values: np.ndarray, form: str) -> str:
    return f"{values.mean():{form}} ±{standard_error(values):.{form[-2]}f}"


if __name__ == "__main__":
    main()
