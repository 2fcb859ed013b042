"""Scratches on JPEGs: what they smear over their blocks, and how much of it a fill is spared.

    python tests/benchmarks/jpeg_scratches.py FOLDER [--photos 10] [--side 128] [--sheet FILE.png]

The middle of each photograph gets scratches of one colour and is kept without a loss, and as a JPEG of several
qualities. Each is filled by `photo` with every known pixel as it is (`exact`), and as usual; the holes' PSNR is that to
the photograph. Errors of the rim follow: of the luma beside the holes, and of the chroma within 8 pixels. `clean` is
what a JPEG of the photograph itself gives, where nothing is smeared: no fill that goes by the JPEG's pixels can do
better. The sheet shows the photograph, the JPEG of the lowest quality, and its fill by both.
"""

from __future__ import annotations

import argparse
import io
import logging
from pathlib import Path

import numpy as np
from masks import scratches
from PIL import Image
from scipy import ndimage

import scoreinv
from scoreinv.files.read import read_picture
from scoreinv.imaging.picture import Picture
from scoreinv.models.loading import Models
from scoreinv.operators.luma import luma
from scoreinv.tasks.holes import inpaint_picture
from scoreinv.tasks.requests import InpaintRequest, Inputs

QUALITIES = (75, 85, 90, 95)


def psnr(pixels: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    """In dB, of the hole."""
    wrong = pixels[hole].astype(float) - truth[hole]
    return float(10 * np.log10(255**2 / np.mean(wrong**2)))


def of_rim(pixels: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> tuple[float, float]:
    """Rms errors in grey levels: of the luma of pixels that touch the hole, and of the chroma within 8 pixels of it."""
    error = pixels.astype(float) - truth
    of_luma = luma(error)
    touching, near = (ndimage.distance_transform_cdt(~hole) <= side for side in (1, 8))
    chroma = (error - of_luma[..., None])[near & ~hole]
    return float(np.sqrt(np.mean(of_luma[touching & ~hole] ** 2))), float(np.sqrt(np.mean(chroma**2)))


def as_jpeg(pixels: np.ndarray, quality: int) -> Picture:
    """Chroma at half the size, as cameras have it, but for the best quality."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=2 if quality < 95 else 0)
    return read_picture(file.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    logging.getLogger("scoreinv").setLevel(logging.ERROR)
    files = sorted(path for path in options.folder.iterdir() if path.suffix in (".jpg", ".png", ".webp"))
    models = Models(inpaint=scoreinv.load("photo"))
    columns = ["lossless", *(f"{quality} {kind}" for quality in QUALITIES for kind in ("exact", "usual", "clean"))]
    print("photograph".ljust(32), *(column.rjust(9) for column in columns))
    table, rims, sheet = [], [], []
    for number, path in enumerate(files[3 :: max(1, (len(files) - 3) // options.photos)][: options.photos]):
        rng = np.random.default_rng(number)
        photo = Image.open(path).convert("RGB")
        photo.thumbnail((4 * options.side,) * 2)
        left, top = (photo.width - options.side) // 2, (photo.height - options.side) // 2
        truth = np.asarray(photo.crop((left, top, left + options.side, top + options.side)))
        hole = scratches(*truth.shape[:2], rng)
        damaged = truth.copy()
        damaged[hole] = rng.choice([(250, 250, 245), rng.uniform(0, 255, 3), (20, 20, 20)])

        def filled(picture: Picture, hole: np.ndarray = hole, *, exact: bool = False) -> np.ndarray:
            return inpaint_picture(Inputs(picture, hole), InpaintRequest(exact=exact), models).image.pixels

        jpegs = {quality: as_jpeg(damaged, quality) for quality in QUALITIES}
        fills = []
        for quality, jpeg in jpegs.items():
            fills += [filled(jpeg, exact=True), filled(jpeg), filled(as_jpeg(truth, quality), exact=True)]
        row = [psnr(pixels, truth, hole) for pixels in (filled(Picture(damaged)), *fills)]
        table.append(row)
        rims.append([of_rim(pixels, truth, hole) for pixels in (damaged, *fills)])
        sheet.append(np.concatenate([truth, jpegs[QUALITIES[0]].pixels, *fills[:2]], axis=1))
        print(path.name[:31].ljust(32), *(f"{value:9.2f}" for value in row), flush=True)
    print("mean".ljust(32), *(f"{value:9.2f}" for value in np.mean(table, axis=0)))
    for name, errors in zip(("rim: luma", "rim: chroma"), np.mean(rims, axis=0).T, strict=True):
        print(name.ljust(32), *(f"{value:9.2f}" for value in errors))
    if options.sheet is not None:
        Image.fromarray(np.concatenate(sheet).repeat(2, 0).repeat(2, 1)).save(options.sheet)


if __name__ == "__main__":
    main()
