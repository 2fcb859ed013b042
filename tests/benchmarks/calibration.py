"""How often the samples of a restoration hold the truth, on photographs.

    python tests/benchmarks/calibration.py FOLDER [--photos 8] [--side 128] [--samples 32] [--tasks denoise upscale]

Centre crops of the folder's photographs (which no bundled model may have been trained on) are degraded, and restored
as `denoise`, `upscale` and `deblur` do with `--samples`. Held: the share of the values between the samples' 5 and 95 %
quantiles, with the standard error over the crops; of exact posterior samples it is what the first line says. Spread:
the samples' standard deviation over the root mean squared error of their mean, 1 where that is exact too. CRPS: the
continuous ranked probability score of each value in grey levels of 255, which is least for exact samples: neither too
narrow nor too wide ones gain by it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from models import load_fast
from restoration import MARGIN, inner, photographs

from scoreinv import kernels
from scoreinv.imaging.picture import Picture
from scoreinv.operators import Blur, LinearOperator, downsampling
from scoreinv.prior import ScorePrior
from scoreinv.tasks.restoration import deblur_picture, denoise_picture, upscale_picture
from scoreinv.tasks.restoration_settings import RestorationSampling
from scoreinv.tasks.results import Restored

Draw = Callable[[np.ndarray, np.random.Generator, RestorationSampling], Restored]
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
    prior: ScorePrior, noise: float, photo: np.ndarray, random: np.random.Generator, sampling: RestorationSampling
) -> Restored:
    return denoise_picture(Picture(_noisy(inner(photo), noise, random)), noise, prior, sampling)


def upscaled(
    prior: ScorePrior, factor: int, photo: np.ndarray, random: np.random.Generator, sampling: RestorationSampling
) -> Restored:
    reduced = _seen(downsampling(factor, *inner(photo).shape[:2], "area"), inner(photo))
    return upscale_picture(Picture(reduced), factor, "area", 0.0, prior, sampling)


def deblurred(
    prior: ScorePrior,
    blur: Blur,
    noise: float,
    photo: np.ndarray,
    random: np.random.Generator,
    sampling: RestorationSampling,
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="denoiser")
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--method", help="of upscale and deblur (default: theirs)")
    parser.add_argument("--steps", type=int, help="of upscale and deblur (default: the method's)")
    parser.add_argument("--tasks", nargs="*", metavar="TEXT", default=[""], help="those whose name contains one")
    options = parser.parse_args()
    count = options.samples
    exact = 1 - 2 * (1 + 0.05 * (count - 1)) / (count + 1)
    crops = list(photographs(options.folder, options.photos, options.side))
    print(f"{len(crops)} crops of {options.side} px, {count} samples of each: exact ones hold {exact:.1%}")
    print(
        f"{'task':<16}{'held':>14}{'spread':>8}{'PSNR of the mean':>18}{'CRPS':>7}{'NFE':>6}{'s/crop':>8}", flush=True
    )
    for name, draw in tasks(load_fast(options.model), options.side).items():
        if not any(text in name for text in options.tasks):
            continue
        asked = (None, None) if name.startswith("denoise") else (options.method, options.steps)
        rows, start = [], time.perf_counter()
        for number, crop in enumerate(crops):
            result = draw(crop, np.random.default_rng(number), RestorationSampling(*asked, samples=count))
            samples = np.stack([sample.pixels for sample in result.samples]).astype(np.float64)
            low, high = np.quantile(samples, (0.05, 0.95), axis=0)
            truth, error = inner(crop), np.square(samples.mean(0) - inner(crop)).mean()
            score = 255 * ranked_probability_score(samples, truth)
            rows.append((((truth >= low) & (truth <= high)).mean(), samples.var(0, ddof=1).mean(), error, score))
        held, variance, error, score = np.array(rows).T
        uncertainty = held.std(ddof=1) / np.sqrt(len(held)) if len(held) > 1 else np.nan
        print(
            f"{name:<16}{100 * held.mean():>6.1f} ±{100 * uncertainty:.1f} %"
            f"{np.sqrt(variance.mean() / error.mean()):>8.2f}{-10 * np.log10(error).mean():>18.2f}{score.mean():>7.2f}"
            f"{result.nfe:>6}{(time.perf_counter() - start) / len(crops):>8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
