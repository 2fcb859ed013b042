"""How often the samples of a restoration hold the truth, on photographs.

    python tests/benchmarks/calibration.py FOLDER [--photos 8] [--side 128] [--samples 32] [--tasks denoise upscale]
    python tests/benchmarks/calibration.py FOLDER --samples 4 --tasks deblur --methods diffpir pigdm:6

Centre crops of the folder's photographs (which no bundled model may have been trained on) are degraded, and restored
as `denoise`, `upscale` and `deblur` do with `--samples`. Held: the share of the values between the samples' 5 and 95 %
quantiles, with the standard error over the crops; of exact posterior samples it is what the first line says. Spread:
the samples' standard deviation over the root mean squared error of their mean, 1 where that is exact too. PSNR is that
of one sample and of the mean of all. CRPS: the continuous ranked probability score of each value in grey levels of 255,
which is least for exact samples: neither too narrow nor too wide ones gain by it. Of several methods it is followed by
the difference to the first one's, over the same crops. Seconds are of the processor.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from models import load_fast
from restoration import MARGIN, inner, photographs

from scoreinv import kernels
from scoreinv.errors import InputError
from scoreinv.imaging.picture import Picture
from scoreinv.operators import Blur, LinearOperator, downsampling
from scoreinv.prior import ScorePrior
from scoreinv.tasks.denoise import denoise_picture
from scoreinv.tasks.linear import deblur_picture, upscale_picture
from scoreinv.tasks.linear_settings import LinearSettings
from scoreinv.tasks.results import Restored

Draw = Callable[[np.ndarray, np.random.Generator, LinearSettings], Restored]
"""Samples for a photograph with its margin, degraded by random numbers of its own."""


def tasks(prior: ScorePrior, side: int) -> dict[str, Draw]:
    wide = side + 2 * MARGIN
    gaussian, motion = kernels.gaussian(2), kernels.motion(15, 30)
    found: dict[str, Draw] = {f"denoise-{level}": partial(denoised, prior, level / 255) for level in (15, 25, 50)}
    found |= {f"upscale-{factor}": partial(upscaled, prior, factor) for factor in (2, 4)}
    for name, kernel, noise in (("gaussian", gaussian, 0.05), ("motion", motion, 0.01)):
        blur = Blur(torch.from_numpy(kernel), wide, wide)
        found[f"deblur-{name}"] = partial(deblurred, prior, blur, noise)
    return found


def denoised(
    prior: ScorePrior, noise: float, photo: np.ndarray, random: np.random.Generator, sampling: LinearSettings
) -> Restored:
    return denoise_picture(Picture(_noisy(inner(photo), noise, random)), noise, prior, sampling)


def upscaled(
    prior: ScorePrior, factor: int, photo: np.ndarray, random: np.random.Generator, sampling: LinearSettings
) -> Restored:
    reduced = _seen(downsampling(factor, *inner(photo).shape[:2], "area"), inner(photo))
    return upscale_picture(Picture(reduced), factor, "area", 0.0, prior, sampling)


def deblurred(
    prior: ScorePrior,
    blur: Blur,
    noise: float,
    photo: np.ndarray,
    random: np.random.Generator,
    sampling: LinearSettings,
) -> Restored:
    observed = _noisy(inner(_seen(blur, photo)), noise, random)
    return deblur_picture(Picture(observed), blur.kernel.numpy(), noise, prior, sampling)


def _noisy(picture: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    return (picture + noise * random.standard_normal(picture.shape)).clip(0, 1).astype(np.float32)


def _seen(operator: LinearOperator, picture: np.ndarray) -> np.ndarray:
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous()
    return operator(x)[0].permute(1, 2, 0).clamp(0, 1).numpy()


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
    """Of the samples of each crop: the share held, their variance, the squared error of their mean, the PSNR of one and
    of the mean in dB, CRPS.
    """

    held: np.ndarray
    variance: np.ndarray
    error: np.ndarray
    one: np.ndarray
    mean: np.ndarray
    crps: np.ndarray
    nfe: int
    seconds: float

    def row(self, first: Scores) -> str:
        """What `main` prints of them, with the difference to other scores of the same crops."""
        held = f"{100 * self.held.mean():>7.1f} ±{100 * standard_error(self.held):.1f} %"
        spread = np.sqrt(self.variance.mean() / self.error.mean())
        gaps = self.crps - first.crps
        gap = f"{gaps.mean():+.2f} ±{standard_error(gaps):.2f}" if gaps.any() else ""
        return (
            f"{held}{spread:>8.2f}{self.one.mean():>10.2f}{self.mean.mean():>10.2f}{self.crps.mean():>7.2f}{gap:>14}"
            f"{self.nfe:>6}{self.seconds:>8.2f}"
        )


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan


def measured(draw: Draw, crops: Sequence[np.ndarray], sampling: LinearSettings) -> Scores:
    rows, nfe, start = [], 0, time.process_time()
    for number, crop in enumerate(crops):
        result = draw(crop, np.random.default_rng(number), sampling)
        nfe, truth = result.nfe, inner(crop)
        samples = np.stack([sample.pixels for sample in result.samples]).astype(np.float64)
        low, high = np.quantile(samples, (0.05, 0.95), axis=0)
        error = np.square(samples.mean(0) - truth).mean()
        one = np.log10(np.square(samples - truth).mean((1, 2, 3))).mean()
        score = 255 * ranked_probability_score(samples, truth)
        rows.append(
            (
                ((truth >= low) & (truth <= high)).mean(),
                samples.var(0, ddof=1).mean(),
                error,
                -10 * one,
                -10 * np.log10(error),
                score,
            )
        )
    return Scores(*np.array(rows).T, nfe, (time.process_time() - start) / len(crops))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="denoiser")
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--methods", nargs="+", metavar="NAME[:STEPS]", default=[""], help="of upscale and deblur")
    parser.add_argument("--tasks", nargs="*", metavar="TEXT", default=[""], help="those whose name contains one")
    options = parser.parse_args()
    count = options.samples
    exact = 1 - 2 * (1 + 0.05 * (count - 1)) / (count + 1)
    crops = list(photographs(options.folder, options.photos, options.side))
    print(f"{len(crops)} crops of {options.side} px, {count} samples of each: exact ones hold {exact:.1%}")
    print(
        f"{'task':<16}{'method':<12}{'held':>15}{'spread':>8}{'one, dB':>10}{'mean, dB':>10}{'CRPS':>7}"
        f"{'difference':>14}{'NFE':>6}{'s/crop':>8}",
        flush=True,
    )
    for name, draw in tasks(load_fast(options.model), options.side).items():
        if not any(text in name for text in options.tasks):
            continue
        first: Scores | None = None
        for asked in [""] if name.startswith("denoise") else options.methods:
            method, _, steps = asked.partition(":")
            sampling = LinearSettings(method or None, int(steps) if steps else None, samples=count, estimate="sample")
            try:
                scores = measured(draw, crops, sampling)
            except InputError as error:
                print(f"{name:<16}{asked:<12}not for this: {error}")
                continue
            first = first or scores
            print(f"{name:<16}{asked or 'default':<12}{scores.row(first)}", flush=True)


if __name__ == "__main__":
    main()
