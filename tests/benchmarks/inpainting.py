"""Inpainting against classical methods: hole PSNR, detail, seconds and evaluations for each kind of hole.

    python tests/benchmarks/inpainting.py FOLDER [--photos 8] [--steps 32] [--kinds scratch text]

Centre crops of the folder's photographs (which no bundled model may have been trained on) are damaged, filled, and
compared with the truth inside the holes. Detail is the rms Laplacian in the hole over the truth's: 1 is natural grain,
0 a blur. A posterior sample is by nature about 3 dB below the posterior mean in PSNR: the rows say which they are.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from masks import KINDS
from scipy.ndimage import laplace

import scoreinv
from scoreinv.imaging.files import read_picture
from scoreinv.imaging.fill import push_pull
from scoreinv.imaging.opencv import telea

Method = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, int]]


def photographs(folder: Path, count: int, side: int) -> list[np.ndarray]:
    """Centre crops, HxWx3 float in [0, 1]."""
    crops = []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in {".jpg", ".png", ".webp", ".tif"} or len(crops) == count:
            continue
        picture = read_picture(path)
        height, width = min(side, picture.height), min(side, picture.width)
        crops.append(picture.rgb(((picture.height - height) // 2, (picture.width - width) // 2, height, width)))
    return crops


def psnr(estimate: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    return -10 * np.log10(np.mean((estimate[hole] - truth[hole]) ** 2))


def detail(estimate: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    rms = [np.sqrt(np.mean(laplace(picture, axes=(0, 1))[hole] ** 2)) for picture in (estimate, truth)]
    return rms[0] / max(rms[1], 1e-6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="photo")
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, nargs="*", default=[])
    parser.add_argument("--samples", type=int, default=4, help="of the mean")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    prior = scoreinv.load(options.model).to(torch.bfloat16)
    settings = [{"steps": steps} for steps in options.steps] or [{}]

    def filled(**asked: object) -> Method:
        def run(damaged: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, int]:
            result = scoreinv.inpaint(damaged, hole, prior=prior, seed=0, **asked)
            return result.image, result.nfe

        return run

    methods: dict[str, Method] = {
        "Telea": lambda damaged, hole: (telea(np.rint(255 * damaged).astype(np.uint8), hole) / np.float32(255), 0),
        "push-pull": lambda damaged, hole: (push_pull(damaged, hole), 0),
    }
    for asked in settings:
        label = f"pc {asked.get('steps', '')}".strip()
        methods[f"{label}, sample"] = filled(**asked)
        methods[f"{label}, mean of {options.samples}"] = filled(samples=options.samples, estimate="mean", **asked)
    photos = photographs(options.folder, options.photos, options.side)
    print(f"{len(photos)} photographs of {options.side} px, {torch.get_num_threads()} threads")
    print(f"{'hole':<10}{'method':<22}{'PSNR dB':>9}{'detail':>8}{'NFE':>6}{'s/photo':>9}")
    for kind in options.kinds:
        holes = [KINDS[kind](*photo.shape[:2], np.random.default_rng(i)) for i, photo in enumerate(photos)]
        for name, method in methods.items():
            scores, nfe, start = [], 0, time.perf_counter()
            for photo, hole in zip(photos, holes, strict=True):
                damaged = np.where(hole[..., None], np.float32(1), photo)
                estimate, nfe = method(damaged, hole)
                scores.append((psnr(estimate, photo, hole), detail(estimate, photo, hole)))
            seconds = (time.perf_counter() - start) / len(photos)
            values = np.mean(scores, axis=0)
            print(f"{kind:<10}{name:<22}{values[0]:>9.2f}{values[1]:>8.2f}{nfe:>6}{seconds:>9.2f}", flush=True)


if __name__ == "__main__":
    main()
