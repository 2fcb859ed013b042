"""Deep holes in photographs: our fills against those of G'MIC's PatchMatch and of the classical methods.

    python tests/benchmarks/deep_holes.py FOLDER [--sizes 64 96 160 240] [--kinds square blob] [--photos 24]
        [--methods inpaint gmic telea navier-stokes] [--sheet FILE.png]

Photographs (which no bundled model may have been trained on) are reduced to a shorter side of 512 pixels, and each has
one hole of a size and kind, at a place that the photograph's number decides. Of each fill a square of twice the hole's
size is compared with the truth:

- distance: perceptual, in an independent ImageNet network (`eye.py`), over the truth, paired;
- Fréchet: of the squares of all fills to those of all truths, in the same network's features; so few make it large;
- detail: rms Laplacian in the hole over the truth's, median;
- lattice: highest peak of the autocorrelation of the hole's high-passed luma, beyond 6 pixels, less that of the
  neighbouring squares of the same size, mean;
- processor seconds of the fill itself, over all cores, median.

G'MIC (`pip install gmic`) is measured where it is among the methods. `--sheet` writes the fills side by side: hole,
truth, methods.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from eye import Eye
from models import load_fast
from photographs import pictures_in, reduced
from PIL import Image
from scipy import ndimage

import scoreinv
from scoreinv.operators.luma import luma
from scoreinv.tasks.evaluate import frechet_distance

SHORTER = 512
LATTICE_FROM = 6
Fill = Callable[..., np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 160, 240])
    parser.add_argument("--kinds", nargs="+", default=["square", "blob"], choices=["square", "blob"])
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--methods", nargs="+", default=["inpaint", "gmic", "telea", "navier-stokes"])
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    photos = [reduced(picture, SHORTER) for picture in pictures_in(options.folder, options.photos)]
    fills = {name: method(name) for name in options.methods}
    eye, rows = Eye(), []
    print("| hole | method | distance | Fréchet | detail | lattice | seconds |\n|---|---|---|---|---|---|---|")
    for kind in options.kinds:
        for size in options.sizes:
            rows += compare(photos, kind, size, fills, eye)
    if options.sheet is not None:
        width = max(row.shape[1] for row in rows)
        padded = [np.pad(row, ((2, 2), (0, width - row.shape[1]), (0, 0))) for row in rows]
        Image.fromarray((np.concatenate(padded).clip(0, 1) * 255).astype(np.uint8)).save(options.sheet)


def compare(photos: list[np.ndarray], kind: str, size: int, fills: dict[str, Fill], eye: Eye) -> list[np.ndarray]:
    """Print a line for each method; returns a row of pictures for each photograph."""
    truths, shown, measured = [], [], {name: [] for name in fills}
    crops: dict[str, list[np.ndarray]] = {name: [] for name in fills}
    for number, photo in enumerate(photos):
        hole = draw_hole(photo.shape[:2], kind, size, np.random.default_rng(number))
        around = square_around(hole, 2 * size)
        truths.append(photo[around])
        marked = np.where(hole[..., None], [1.0, 0.0, 1.0], photo)
        shown.append([marked[around], photo[around]])
        for name, fill in fills.items():
            start = time.process_time()
            filled = fill(np.where(hole[..., None], 0.5, photo).astype(np.float32), hole)
            seconds = time.process_time() - start
            filled = np.where(hole[..., None], filled, photo)
            crops[name].append(filled[around])
            shown[-1].append(filled[around])
            measured[name].append(
                [
                    eye.distance(filled[around], photo[around]),
                    detail(filled, hole) / detail(photo, hole),
                    lattice(filled, hole),
                    seconds,
                ]
            )
    seen = np.stack([eye.features(truth) for truth in truths])
    for name in fills:
        distance, details, peaks, seconds = np.array(measured[name]).T
        far = frechet_distance(np.stack([eye.features(crop) for crop in crops[name]]), seen)
        print(
            f"| {kind} {size} | {name} | {distance.mean():.4f} | {far:.2f} | {np.median(details):.2f} | "
            f"{np.nanmean(peaks):+.3f} | {np.median(seconds):.2f} |",
            flush=True,
        )
    return [np.concatenate(row, axis=1) for row in shown]


def draw_hole(size: tuple[int, int], kind: str, side: int, rng: np.random.Generator) -> np.ndarray:
    """HxW bool: a square, or a smooth blob of its area, at least a quarter of its side from the picture's border."""
    margin = side // 4
    top, left = (int(rng.integers(margin, extent - side - margin + 1)) for extent in size)
    hole = np.zeros(size, dtype=bool)
    if kind == "square":
        hole[top : top + side, left : left + side] = True
        return hole
    radii = ndimage.gaussian_filter1d(rng.normal(size=360), 25, mode="wrap")
    radii = 1 + 0.25 * radii / radii.std()
    down, across = np.indices(size)
    angle = np.degrees(np.arctan2(down - top - side / 2, across - left - side / 2)).astype(int) % 360
    away = np.hypot(down - top - side / 2, across - left - side / 2) / radii[angle]
    radius = np.sort(away.ravel())[min(side * side, away.size - 1)]
    hole[away < radius] = True
    hole[:margin] = hole[-margin:] = hole[:, :margin] = hole[:, -margin:] = False
    return hole


def square_around(hole: np.ndarray, side: int) -> tuple[slice, slice]:
    """The square of this side (or what the picture has of it) around a hole's middle."""
    middle = [int(np.mean(np.flatnonzero(hole.any(axis)))) for axis in (1, 0)]
    firsts = [max(0, min(m - side // 2, extent - side)) for m, extent in zip(middle, hole.shape, strict=True)]
    return slice(firsts[0], firsts[0] + side), slice(firsts[1], firsts[1] + side)


def detail(rgb: np.ndarray, hole: np.ndarray) -> float:
    """Rms Laplacian of the luma in a hole."""
    return float(np.sqrt((ndimage.laplace(luma(rgb))[ndimage.binary_erosion(hole)] ** 2).mean()) + 1e-4)


def lattice(rgb: np.ndarray, hole: np.ndarray) -> float:
    """Peak of the autocorrelation in a hole's inner square, less the mean of that of the squares beside it."""
    gray = luma(rgb)
    fine = gray - ndimage.gaussian_filter(gray, 4)
    side = int(0.7 * np.sqrt(hole.sum()))
    inner = square_around(hole, side)
    beside = []
    for down, across in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        step = int(1.5 * side)
        rows = slice(inner[0].start + down * step, inner[0].stop + down * step)
        columns = slice(inner[1].start + across * step, inner[1].stop + across * step)
        if min(rows.start, columns.start) < 0 or rows.stop > gray.shape[0] or columns.stop > gray.shape[1]:
            continue
        if not hole[rows, columns].any():
            beside.append(_peak(fine[rows, columns]))
    return _peak(fine[inner]) - float(np.mean(beside)) if beside else np.nan


def _peak(values: np.ndarray) -> float:
    """Largest normalised autocorrelation of a square at shifts of 6 pixels to half its side."""
    values = values - values.mean()
    spectrum = np.abs(np.fft.fft2(values, [2 * n for n in values.shape])) ** 2
    found = np.fft.fftshift(np.fft.ifft2(spectrum).real)
    down, across = np.indices(found.shape) - np.array(values.shape)[:, None, None]
    overlap = (values.shape[0] - np.abs(down)) * (values.shape[1] - np.abs(across)) / values.size
    away = np.hypot(down, across)
    wanted = (away >= LATTICE_FROM) & (away <= values.shape[0] / 2)
    return float((found[wanted] / np.maximum(overlap[wanted], 0.25)).max() / max(found.max(), 1e-9))


def method(name: str) -> Fill:
    """A fill by its name."""
    if name == "inpaint":
        prior = load_fast("photo")
        return lambda rgb, hole, **options: scoreinv.inpaint(rgb, hole, prior=prior, **options).image
    if name == "gmic":
        return by_gmic()
    return lambda rgb, hole: scoreinv.inpaint(rgb, hole, method=name).image


def by_gmic() -> Fill:
    """G'MIC's PatchMatch with its defaults."""
    import gmic

    def fill(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
        given = [rgb * 255, hole[..., None] * 255.0]
        images = gmic.ImageList([gmic.Image.from_yxc(np.ascontiguousarray(plane, np.float32)) for plane in given])
        return np.array(gmic.run("inpaint_matchpatch[0] [1]", images)[0].yxc) / 255

    return fill


if __name__ == "__main__":
    main()
