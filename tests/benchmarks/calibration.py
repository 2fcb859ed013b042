"""How often the samples of a restoration hold the truth, on photographs, and how near they are.

    python tests/benchmarks/calibration.py FOLDER [--photos 8] [--side 128] [--samples 32] [--tasks denoise-stored]
    python tests/benchmarks/calibration.py FOLDER --samples 4 --tasks deblur --methods diffpir pigdm:6
    python tests/benchmarks/calibration.py FOLDER --model cifar10 --side 32 --samples 2 --tasks solve --methods mmps

The middles of the folder's photographs (which no bundled model may have been trained on) are degraded (`degraded.py`
names the tasks), and restored as the commands do with `--samples`, or by methods that are named. Held: the share of the
values between the samples' 5 and 95 % quantiles, with the standard error over the crops; of exact posterior samples it
is what the first line says. Spread: the samples' standard deviation over the root mean squared error of their mean, 1
where that is exact too. PSNR is that of one sample and of the mean of all. CRPS: the continuous ranked probability
score of each value in grey levels of 255, which is least for exact samples: neither too narrow nor too wide ones gain
by it. Of several methods it is followed by the difference to the first one's, over the same crops. `dpir` is the mean
at once, beside which an exact sample is 3 dB worse. Seconds are of the processor.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from degraded import Task, photographs, standard_error, tasks
from models import load_fast
from photographs import middle

from scoreinv.errors import ScoreinvError
from scoreinv.tasks.linear_settings import LinearSettings


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


def measured(task: Task, crops: Sequence[np.ndarray], settings: LinearSettings) -> Scores:
    rows, nfe, start = [], 0, time.process_time()
    for number, crop in enumerate(crops):
        drawn, nfe = task.restore(task.observe(crop, np.random.default_rng(number)), settings)
        truth, samples = middle(crop, task.side), np.stack(drawn).astype(np.float64)
        low, high = np.quantile(samples, (0.05, 0.95), axis=0)
        error = np.square(samples.mean(0) - truth).mean()
        one = -10 * np.log10(np.square(samples - truth).mean((1, 2, 3))).mean()
        held, variance, score = np.nan, np.nan, np.nan
        if len(samples) > 1:
            held, variance = ((truth >= low) & (truth <= high)).mean(), samples.var(0, ddof=1).mean()
            score = 255 * ranked_probability_score(samples, truth)
        rows.append((held, variance, error, one, -10 * np.log10(error), score))
    return Scores(*np.array(rows).T, nfe, (time.process_time() - start) / len(crops))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="denoiser")
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--methods", nargs="+", metavar="NAME[:STEPS]", default=[""])
    parser.add_argument("--tasks", nargs="*", metavar="TEXT", default=[""], help="those whose name contains one")
    options = parser.parse_args()
    count = options.samples
    exact = 1 - 2 * (1 + 0.05 * (count - 1)) / (count + 1)
    crops = photographs(options.folder, options.photos, options.side)
    print(f"{len(crops)} crops of {options.side} px, {count} samples of each: exact ones hold {exact:.1%}")
    print(
        f"{'task':<22}{'method':<12}{'held':>15}{'spread':>8}{'one, dB':>10}{'mean, dB':>10}{'CRPS':>7}"
        f"{'difference':>14}{'NFE':>6}{'s/crop':>8}",
        flush=True,
    )
    for name, build in tasks(load_fast(options.model), options.side).items():
        if not any(text in name for text in options.tasks):
            continue
        first: Scores | None = None
        for asked in options.methods:
            method, _, steps = asked.partition(":")
            drawn = (1, "mean") if method == "dpir" else (count, "sample")
            settings = LinearSettings(method or None, int(steps) if steps else None, drawn[0], estimate=drawn[1])
            try:
                scores = measured(build(), crops, settings)
            except ScoreinvError as error:
                print(f"{name:<22}{asked:<12}not for this: {error}")
                continue
            first = first or scores
            print(f"{name:<22}{asked or 'default':<12}{scores.row(first)}", flush=True)


if __name__ == "__main__":
    main()
