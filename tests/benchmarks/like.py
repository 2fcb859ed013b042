"""Colours from a photograph that one has: the right halves of photographs, coloured with their left halves.

    python tests/benchmarks/like.py FOLDER [--photos 40] [--side 256] [--samples 2]

The middle of each photograph (which no bundled model may have been trained on), twice as wide as high, is reduced to
two squares. The right one is coloured from its luma without a reference, with the left one as the reference, and with
the left one of the next photograph, which shows something else. RGB PSNR is that of the right square in the gain over
without, mean of the paired differences with its standard error; CIEDE2000 the mean over pixels and photographs, with
its change against without. Photographs without colours are left out. Seconds are those of the processor.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from colorization import GRAY, colourfulness, difference, psnr
from models import load_fast

import scoreinv
from scoreinv.files.read import SUFFIXES, read_picture
from scoreinv.imaging.picture import Picture
from scoreinv.operators.colour_space import luma


def halves(picture: Picture, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The left and the right square of side x side pixels of the middle of a picture, in [0, 1]."""
    scale = max(side / picture.height, 2 * side / picture.width)
    height, width = (
        max(least, round(scale * extent)) for least, extent in zip((side, 2 * side), picture.size, strict=True)
    )
    top, left = (height - side) // 2, (width - 2 * side) // 2
    middle = picture.resized_rgb(height, width)[top : top + side, left : left + 2 * side]
    return middle[:, :side], middle[:, side:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--samples", type=int, default=2)
    options = parser.parse_args()
    prior = load_fast("scene")
    paths = [path for path in sorted(options.folder.iterdir()) if path.suffix.lower() in SUFFIXES][: options.photos]
    pairs = [halves(read_picture(path), options.side) for path in paths]
    pairs = [pair for pair in pairs if min(map(colourfulness, pair)) >= GRAY]
    rows: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for number, (own, truth) in enumerate(pairs):
        references = {"without": None, "its own half": own, "another's half": pairs[(number + 1) % len(pairs)][0]}
        for given, reference in references.items():
            for estimate in ("mean", "sample"):
                samples = 1 if estimate == "mean" else options.samples
                start = time.process_time()
                result = scoreinv.colorize(luma(truth), prior=prior, like=reference, estimate=estimate, samples=samples)
                seconds = time.process_time() - start
                measured = [(psnr(one, truth), difference(one, truth), seconds) for one in result.samples]
                rows.setdefault((estimate, given), []).append(tuple(np.mean(measured, axis=0)))
    print(f"{len(pairs)} photographs of {options.side} pixels")
    print(
        f"{'estimate':<10}{'reference':<16}{'dB':>7}{'gain':>7}{'+-':>6}{'worst':>7}{'CIEDE2000':>11}{'change':>8}{'s':>6}"
    )
    for (estimate, given), values in rows.items():
        got, before = np.array(values), np.array(rows[estimate, "without"])
        gains = got[:, 0] - before[:, 0]
        mean, change = got.mean(0), got[:, 1].mean() / before[:, 1].mean() - 1
        print(
            f"{estimate:<10}{given:<16}{mean[0]:>7.2f}{gains.mean():>7.2f}{gains.std(ddof=1) / len(gains) ** 0.5:>6.2f}"
            f"{gains.min():>7.2f}{mean[1]:>11.2f}{change:>8.1%}{mean[2]:>6.1f}"
        )


if __name__ == "__main__":
    main()
