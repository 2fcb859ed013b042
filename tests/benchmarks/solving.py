"""Which method of `solve` draws the best samples, for each kind of operator and noise: what its default is chosen by.

    python tests/benchmarks/solving.py FOLDER [--model cifar10] [--pictures 8] [--samples 2] [--observed third blur]
    python tests/benchmarks/solving.py PHOTOS --model denoiser --side 64

Pictures (centre crops, of `--side` pixels, of the folder's files, by name) are observed through each operator, with
noise that is not clipped, and restored by each method from the same observation. Columns as in `calibration.py`: a
method that varies too little gains in PSNR of one sample by it, not in CRPS. `mean` is the estimate of the posterior
mean at once, beside which an exact sample is 3 dB worse. "diverged" counts the pictures that a method had an error for.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from calibration import ranked_probability_score, standard_error
from models import load_fast
from PIL import Image

import scoreinv
from scoreinv import kernels
from scoreinv.errors import InputError, ScoreinvError
from scoreinv.operators import Blur, LinearOperator, downsampling, mask
from scoreinv.prior import ScorePrior

METHODS = ["diffpir", "ddrm", "mmps:12", "mmps", "mean"]


def observations(side: int) -> dict[str, tuple[LinearOperator, float]]:
    """Operators on pictures of a side, and the standard deviation of the noise."""
    generator = torch.Generator().manual_seed(0)
    third, half = (mask((torch.rand(1, 1, side, side, generator=generator) < p).float()) for p in (1 / 3, 1 / 2))
    blur, smaller = Blur(kernels.gaussian(1.0), side, side), downsampling(2, side, side, "area")
    return {
        "third, 0": (third, 0.0),
        "third, .05": (third, 0.05),
        "blur, .02": (blur, 0.02),
        "blur, .1": (blur, 0.1),
        "x2, 0": (smaller, 0.0),
        "x2, .05": (smaller, 0.05),
        "half of blur, .05": (half @ blur, 0.05),
    }


def pictures(folder: Path, count: int, side: int) -> list[np.ndarray]:
    """Centre crops HxWx3 in [0, 1]."""
    found = []
    for path in sorted(folder.glob("*.*"))[:count]:
        image = Image.open(path).convert("RGB")
        left, top = (image.width - side) // 2, (image.height - side) // 2
        found.append(np.asarray(image.crop((left, top, left + side, top + side)), np.float32) / 255)
    return found


def compare(
    name: str, seen: tuple[LinearOperator, float], asked: str, prior: ScorePrior, truths: list[np.ndarray], count: int
) -> None:
    """Print the row of a method."""
    operator, noise = seen
    method, _, steps = asked.partition(":")
    settings = {"method": method, "steps": int(steps) if steps else None, "samples": count}
    if method == "mean":
        settings = {"estimate": "mean"}
    rows, nfe, failed, start = [], 0, 0, time.process_time()
    for number, truth in enumerate(truths):
        y = operator(torch.from_numpy(truth).permute(2, 0, 1)[None])
        y = y + noise * torch.randn(y.shape, generator=torch.Generator().manual_seed(number))
        try:
            result = scoreinv.solve(operator, y, prior=prior, noise_std=noise, **settings)
        except InputError as error:
            print(f"{name:<18}{asked:<10} not for this: {error}", flush=True)
            return
        except ScoreinvError:
            failed += 1
            continue
        nfe = result.nfe
        samples = np.stack([sample[0].permute(1, 2, 0).numpy() for sample in result.samples]).astype(np.float64)
        one = -10 * np.log10(np.square(samples - truth).mean((1, 2, 3))).mean()
        score = 255 * ranked_probability_score(samples, truth) if len(samples) > 1 else np.nan
        spread = samples.var(0, ddof=1).mean() if len(samples) > 1 else np.nan
        # The mean of n exact samples errs by (1 + 1 / n) of the variance of each.
        rows.append((one, score, spread, np.square(samples.mean(0) - truth).mean() / (1 + 1 / len(samples))))
    seconds = (time.process_time() - start) / len(truths)
    if not rows:
        print(f"{name:<18}{asked:<10} diverged for all {failed}", flush=True)
        return
    one, score, variance, error = np.array(rows).T
    print(
        f"{name:<18}{asked:<10}{one.mean():>8.2f}{score.mean():>8.2f} ±{standard_error(score):.2f}"
        f"{np.sqrt(variance.mean() / error.mean()):>8.2f}{nfe:>6}{seconds:>8.2f}{failed:>9}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="cifar10")
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--samples", type=int, default=2)
    parser.add_argument("--observed", nargs="*", metavar="TEXT", default=[""], help="kinds whose name contains one")
    parser.add_argument("--methods", nargs="+", metavar="NAME[:STEPS]", default=METHODS)
    options = parser.parse_args()
    truths = pictures(options.folder, options.pictures, options.side)
    prior = load_fast(options.model)
    print(f"{len(truths)} pictures of {options.side} px, {options.samples} samples of each, model {options.model}")
    print(f"{'observed':<18}{'method':<10}{'one, dB':>8}{'CRPS':>14}{'spread':>8}{'NFE':>6}{'s':>8}{'diverged':>9}")
    for name, seen in observations(options.side).items():
        if any(text in name for text in options.observed):
            for asked in options.methods:
                compare(name, seen, asked, prior, truths, options.samples)


if __name__ == "__main__":
    main()
