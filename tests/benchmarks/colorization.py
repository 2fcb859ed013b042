"""Colorization against the truth: RGB PSNR and CIEDE2000 against the grey picture's own, colourfulness, seconds.

    python tests/benchmarks/colorization.py FOLDER [--photos 18] [--samples 8] [--method conditioned]

Photographs (which no bundled model may have been trained on) are made grey by their Rec. 601 luma and coloured again
at full size, or with `--side 256` reduced to a shorter side of so many pixels and cut to its square, as papers on
colour measure. Gains are paired differences, means over the photographs with their standard error; CIEDE2000 is the
mean over pixels and photographs, with its change against the grey pictures'. Colourfulness is that of Hasler and
Suesstrunk (2003), as the mean of each photograph's over its truth's, and as the mean over the photographs, which is the
papers'. "One sample" is the mean over all samples of a photograph, each measured alone.

The distances are those between the estimates (one a photograph) and the true pictures in the features of an independent
ImageNet network (`eye.py`), where its packages are installed. Of fewer photographs than features (1,280) the Fréchet
distance is hardly more than the mean squared distance of each estimate from its own photograph, and says little of the
set: comparable for the same photographs only. The kernel distance, in thousandths, has no such bias (Binkowski et al.
2018); some hundred photographs leave it a few thousandths of noise. Photographs without colours (colourfulness below
2) are left out.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from eye import independent_eye
from models import load_fast
from photographs import pictures_in
from skimage.color import deltaE_ciede2000, rgb2lab

import scoreinv
from scoreinv.imaging.picture import Picture
from scoreinv.operators.luma import luma
from scoreinv.tasks.evaluate import frechet_distance, kernel_distance

GRAY = 2.0
"""Colourfulness of what is shown without colours; JPEGs of grey pictures have some."""


def photographs(folder: Path, count: int, side: int | None) -> list[np.ndarray]:
    """HxWx3 float in [0, 1], those with colours; with a side the middle square of each, reduced to it."""
    shown = [picture.rgb() if side is None else middle(picture, side) for picture in pictures_in(folder, count)]
    return [picture for picture in shown if colourfulness(picture) >= GRAY]


def middle(picture: Picture, side: int) -> np.ndarray:
    """The middle square at side x side pixels, HxWx3 in [0, 1]."""
    scale = side / min(picture.size)
    height, width = (max(side, round(scale * extent)) for extent in picture.size)
    top, left = (height - side) // 2, (width - side) // 2
    return picture.resized_rgb(height, width)[top : top + side, left : left + side]


def psnr(estimate: np.ndarray, truth: np.ndarray) -> float:
    return -10 * np.log10(np.mean((estimate - truth) ** 2))


def difference(estimate: np.ndarray, truth: np.ndarray) -> float:
    """CIEDE2000, mean over the pixels."""
    return deltaE_ciede2000(rgb2lab(truth), rgb2lab(estimate)).mean()


def colourfulness(rgb: np.ndarray) -> float:
    """Hasler and Suesstrunk 2003, eq. for M: of a picture in [0, 1], in units of 8-bit levels."""
    red, green, blue = np.moveaxis(255 * rgb.astype(np.float64), -1, 0)
    across, along = red - green, 0.5 * (red + green) - blue
    return np.hypot(across.std(), along.std()) + 0.3 * np.hypot(across.mean(), along.mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="scene")
    parser.add_argument("--method", choices=["conditioned", "pc"])
    parser.add_argument("--photos", type=int, default=18)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--side", type=int)
    options = parser.parse_args()
    prior, eye = load_fast(options.model), independent_eye()
    seen: dict[str, list[np.ndarray]] = {}
    rows: dict[str, list[np.ndarray]] = {}
    grays, seconds, nfe = [], 0.0, 0
    photos = photographs(options.folder, options.photos, options.side)
    if not photos:
        parser.error(f"{options.folder} holds no photographs in colour")
    for truth in photos:
        gray = luma(truth)
        flat = np.repeat(gray[..., None], 3, 2)
        base = psnr(flat, truth)
        grays.append((base, difference(flat, truth)))
        start = time.perf_counter()
        asked = {"method": options.method, "samples": options.samples, "estimate": "sample"}
        result = scoreinv.colorize(gray, prior=prior, **asked)
        seconds += time.perf_counter() - start
        nfe = result.nfe
        pictures = {
            "one sample": result.samples,
            f"mean of {options.samples}": [np.mean(result.samples, axis=0)],
            f"best of {options.samples}": [max(result.samples, key=lambda picture: psnr(picture, truth))],
        }
        if result.method == "conditioned":
            for name, saturation in (("posterior mean", 1.0), ("one result", None)):
                mean = scoreinv.colorize(gray, prior=prior, method="conditioned", saturation=saturation)
                pictures[name] = [mean.image]
        for name, same in pictures.items():
            measured = [(psnr(p, truth) - base, difference(p, truth), colourfulness(p)) for p in same]
            gain, error, colours = np.mean(measured, axis=0)
            rows.setdefault(name, []).append(np.array([gain, error, colours, colours / colourfulness(truth)]))
        if eye is not None:
            for name, shown in {
                "truth": truth,
                "grey": flat,
                **{name: same[0] for name, same in pictures.items()},
            }.items():
                seen.setdefault(name, []).append(eye.features(shown))
    base, base_difference = np.mean(grays, axis=0)
    print(f"{len(photos)} photographs, model {options.model}, {torch.get_num_threads()} threads")
    print(
        f"grey: {base:.2f} dB, CIEDE2000 {base_difference:.2f}; colourfulness of the truth "
        f"{np.mean([colourfulness(truth) for truth in photos]):.1f}; "
        f"{options.samples} samples of {nfe} evaluations: {seconds / len(photos):.1f} s a photo"
    )
    print(
        f"{'estimate':<18}{'gain dB':>9}{'+-':>6}{'CIEDE2000':>11}{'change':>8}{'colourfulness':>15}{'of truth':>10}"
        f"{'Fréchet':>9}{'kernel':>8}"
    )
    distances = {name: distances_of(np.array(some), np.array(seen["truth"])) for name, some in seen.items()}
    if distances:
        print(f"{'grey':<18}{'':>59}{distances['grey']}")
    for name, values in rows.items():
        gains, differences, colours, shares = np.array(values).T
        error = gains.std(ddof=1) / len(gains) ** 0.5
        change = differences.mean() / base_difference - 1
        distance = distances.get(name, "")
        print(
            f"{name:<18}{gains.mean():>9.2f}{error:>6.2f}{differences.mean():>11.2f}{change:>8.1%}{colours.mean():>15.1f}"
            f"{shares.mean():>10.2f}{distance}"
        )


def distances_of(features: np.ndarray, truth: np.ndarray) -> str:
    """What `main` prints of the features of estimates, (N, D), and of the photographs."""
    return f"{frechet_distance(features, truth):>9.2f}{1000 * kernel_distance(features, truth):>8.2f}"


if __name__ == "__main__":
    main()
