"""How well damage is found, and what `inpaint --mask auto` makes of it, on photographs with synthetic damage.

    python tests/benchmarks/damage.py PHOTOS [PHOTOS ...] [--side 640] [--sensitivity 0.5] [--fill 40] [--method telea]
        [--draws 1]

Each photograph is reduced to `--side` pixels and made a scan (`training.data.synthetic_damage`) by a seed of its
own, with
damage. Of 40 scans, one with a large blot moves the recall by two hundredths: `--draws` makes several of each. Told are

- recall: the share of the damaged pixels that is marked;
- precision: the share of the marked pixels that is at most a pixel from a damaged one;
- healthy: the share of the healthy pixels, more than a pixel from any damage, that is marked; and of the same scan
  without damage the share of all pixels;
- before and after: PSNR to the scan without damage, of the scan and of what `--mask auto` makes of it by `photo` or a
  classical `--method` (the first `--fill` photographs).

Where damage is too faint to be seen (`HEALTHY` to `VISIBLE`) a pixel counts as neither.
"""

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import get_args

import numpy as np
from models import load_fast
from scipy import ndimage

import scoreinv
from scoreinv.files.read import read_picture
from scoreinv.inputs.masks import dilate
from scoreinv.models.catalogue import load_damage_detector
from scoreinv.system.options import FOUND_GROW
from scoreinv.tasks.requests import ClassicalMethod
from scoreinv.training.data.synthetic_damage import DamageDrawing, Scan, draw_scan

SUFFIXES = {".jpg", ".jpeg", ".png"}
SEED = 2025
DAMAGE = DamageDrawing(undamaged=0.0, often=(("film", 0.0), ("specks", 0.0)))
"""The kinds that there were when the first figures were taken; `scan_marks.py` has the others."""
LEAST_DAMAGE = 0.003
"""Share of a scan's pixels."""


@dataclass(frozen=True)
class Counts:
    """Pixels of one scan."""

    damaged: int
    found: int
    marked: int
    rightly: int
    healthy: int
    wrongly: int
    undamaged: float

    @property
    def recall(self) -> float:
        return self.found / self.damaged

    @property
    def precision(self) -> float:
        return self.rightly / max(1, self.marked)

    @property
    def healthy_marked(self) -> float:
        return self.wrongly / self.healthy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path, help="folders or files")
    parser.add_argument("--model", default="damage")
    parser.add_argument("--sensitivity", type=float, default=0.5)
    parser.add_argument("--side", type=int, default=640, help="longer side of the scans, in pixels")
    parser.add_argument("--fill", type=int, default=0, help="photographs that are filled too, by photo")
    parser.add_argument("--method", choices=get_args(ClassicalMethod), help="fill by it, not by photo")
    parser.add_argument("--draws", type=int, default=1, help="scans of each photograph")
    options = parser.parse_args()
    detector = load_damage_detector(options.model)
    prior = load_fast("photo") if options.fill and options.method is None else None
    counts, gains = [], []
    paths = files_of(options.photos)
    for number, (draw, path) in enumerate(product(range(options.draws), paths)):
        scan = scan_of(path, number % len(paths), options.side, draw)
        found = scoreinv.find_damage(scan.damaged, sensitivity=options.sensitivity, grow=0, model=detector)
        healthy = scoreinv.find_damage(scan.undamaged(), sensitivity=options.sensitivity, grow=0, model=detector)
        counts.append(count(scan, found, float(healthy.mean())))
        line = row(path.stem, [counts[-1]])
        if number < options.fill:
            filled = scan.damaged
            if found.any():
                hole = dilate(found, FOUND_GROW)
                filled = scoreinv.inpaint(scan.damaged, hole, prior=prior, method=options.method).image
            before, after = (_psnr(picture, scan.undamaged()) for picture in (scan.damaged, filled))
            gains.append(after - before)
            line += f" {before:7.2f} {after:7.2f}"
        print(line, flush=True)
    print(row("all pixels", counts))
    means = [np.mean([getattr(each, name) for each in counts]) for name in ("recall", "precision", "healthy_marked")]
    print(f"mean of the photographs: recall {means[0]:.3f}, precision {means[1]:.3f}, healthy {100 * means[2]:.3f} %")
    if gains:
        print(f"nearer to the truth: {sum(gain > 0 for gain in gains)} of {len(gains)}, by {np.mean(gains):.2f} dB")


def scan_of(path: Path, number: int, side: int, draw: int = 0) -> Scan:
    """A scan of a photograph: the first of its seed that has some damage, and is not all of it."""
    picture = read_picture(path)
    scale = min(1.0, side / max(picture.size))
    rgb = picture.resized_rgb(round(scale * picture.height), round(scale * picture.width))
    generator = np.random.default_rng([SEED, number, draw] if draw else [SEED, number])
    while True:
        scan = draw_scan(rgb, DAMAGE, generator)
        if LEAST_DAMAGE < scan.mask.mean() < 0.5:
            return scan


def count(scan: Scan, found: np.ndarray, undamaged: float) -> Counts:
    """The pixels of a scan by what they are and what was found."""
    near = ndimage.binary_dilation(scan.mask, np.ones((3, 3)))
    judged = near | ~scan.faint
    healthy = ~ndimage.binary_dilation(scan.mask | scan.faint, np.ones((3, 3)))
    return Counts(
        damaged=int(scan.mask.sum()),
        found=int((scan.mask & found).sum()),
        marked=int((found & judged).sum()),
        rightly=int((found & near).sum()),
        healthy=int(healthy.sum()),
        wrongly=int((found & healthy).sum()),
        undamaged=undamaged,
    )


def row(name: str, counts: list[Counts]) -> str:
    """Name, damaged pixels, recall, precision, healthy ones marked, and of the undamaged scan."""
    total = {field: sum(getattr(each, field) for each in counts) for field in vars(counts[0])}
    whole = Counts(**total)
    undamaged = 100 * total["undamaged"] / len(counts)
    figures = f"{whole.damaged:8} {whole.recall:6.3f} {whole.precision:6.3f}"
    return f"{name[:36]:36} {figures} {100 * whole.healthy_marked:6.3f} % {undamaged:6.3f} %"


def files_of(given: list[Path]) -> list[Path]:
    files = [file for path in given for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    return [file for file in files if file.suffix.lower() in SUFFIXES]


def _psnr(picture: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(picture.astype(np.float64) - truth).mean()))


if __name__ == "__main__":
    main()
