"""Inpainting against classical methods and deepinv: PSNR, SSIM, detail, chroma, outliers, evaluations by kind of hole.

    python tests/benchmarks/inpainting.py FOLDER [--photos 18] [--side 256] [--kinds scratch text] [--methods ...]

deepinv's DDRM, DiffPIR and DPS are driven by the same prior, where it is installed (`pip install 'scoreinv[bench]'`).

Centre crops of the folder's photographs (which no bundled model may have been trained on) are damaged, filled, and
compared with the truth inside the holes: means over the photographs. Gain is in PSNR over the classical method with the
best mean; eight in ten photographs have gains between the two numbers beside it. Detail is the rms Laplacian in the
hole over the truth's: 1 is natural grain, 0 a blur; beside it the factor by which it is off in a typical photograph,
since too rough and too smooth ones make a good mean. A posterior sample is by nature about 3 dB below the posterior
mean in PSNR: the rows say which they are. Chroma is the rms error of the chroma, and outliers the 99.9th percentile of
the luma's error over all photographs, both over the posterior mean's.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from masks import KINDS
from models import load_fast
from peers import deepinv_samplers
from photographs import middle, pictures_in
from scipy.ndimage import laplace
from skimage.metrics import structural_similarity

import scoreinv
from scoreinv.imaging.opencv import load_opencv
from scoreinv.operators.luma import luma
from scoreinv.prior import ScorePrior
from scoreinv.tasks.posterior import accepts_holes
from scoreinv.tasks.requests import ClassicalMethod

Method = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, int]]
NOISE = 0.01
"""Deviation of the observation's noise that deepinv's samplers are told: some cannot take none."""


def psnr(estimate: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    return -10 * np.log10(np.mean((estimate[hole] - truth[hole]) ** 2))


def similarity(estimate: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    """SSIM, the mean of its map over the hole."""
    _, ssim = structural_similarity(estimate, truth, channel_axis=-1, data_range=1.0, full=True)
    return ssim[hole].mean()


def detail(estimate: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> float:
    rms = [np.sqrt(np.mean(laplace(picture, axes=(0, 1))[hole] ** 2)) for picture in (estimate, truth)]
    return rms[0] / max(rms[1], 1e-6)


def errors(estimate: np.ndarray, truth: np.ndarray, hole: np.ndarray) -> tuple[float, np.ndarray]:
    """The rms error of the chroma in the hole, and the errors of the luma of its pixels."""
    error = (estimate - truth)[hole]
    of_luma = luma(error)
    return np.sqrt(np.mean((error - of_luma[:, None]) ** 2)), np.abs(of_luma)


def classical() -> dict[str, Method]:
    """What people have installed, on damaged pictures in [0, 1] and their holes."""

    def by(method: ClassicalMethod) -> Method:
        return lambda damaged, hole: (scoreinv.inpaint(damaged, hole, method=method).image, 0)

    def fsr(damaged: np.ndarray, hole: np.ndarray) -> np.ndarray:
        cv2 = load_opencv()
        levels = np.rint(255 * damaged).astype(np.uint8)
        filled = levels.copy()
        cv2.xphoto.inpaint(levels, 255 * (~hole).astype(np.uint8), filled, cv2.xphoto.INPAINT_FSR_FAST)
        return filled / np.float32(255)

    methods = {"Telea": by("telea"), "Navier-Stokes": by("navier-stokes"), "biharmonic": by("biharmonic")}
    if hasattr(load_opencv(), "xphoto"):  # opencv-contrib
        methods["FSR"] = lambda damaged, hole: (fsr(damaged, hole), 0)
    return methods


def guided(prior: ScorePrior, samples: int, pc_steps: int | None) -> dict[str, Method]:
    """scoreinv's own methods."""

    def by(**asked: object) -> Method:
        def run(damaged: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, int]:
            result = scoreinv.inpaint(damaged, hole, prior=prior, seed=0, **asked)
            return result.image, result.nfe

        return run

    methods = {}
    if accepts_holes(prior):
        methods["posterior mean"] = by(method="conditioned", estimate="mean")
        methods["detail"] = by(method="conditioned")
        methods["conditioned, sample"] = by(method="conditioned", estimate="sample")
        methods[f"conditioned, mean of {samples}"] = by(method="conditioned", estimate="mean", samples=samples)
    methods["pc, sample"] = by(method="pc", steps=pc_steps)
    methods[f"pc, mean of {samples}"] = by(method="pc", estimate="mean", samples=samples, steps=pc_steps)
    return methods


def theirs(prior: ScorePrior, steps: int) -> dict[str, Method]:
    """deepinv's, with known pixels as they are."""

    def by(sampler: Method) -> Method:
        def run(damaged: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, int]:
            estimate, nfe = sampler(damaged, ~hole)
            return np.where(hole[..., None], estimate.clip(0, 1), damaged), nfe

        return run

    return {f"{name}, sample": by(sampler) for name, sampler in deepinv_samplers(prior, NOISE, steps)[0].items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="photo")
    parser.add_argument("--photos", type=int, default=18)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--samples", type=int, default=8, help="of the mean of samples")
    parser.add_argument("--steps", type=int, default=100, help="of deepinv's samplers")
    parser.add_argument("--pc-steps", type=int, help="of pc; 1000 is the paper's, from pure noise")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--methods", nargs="*", metavar="TEXT", default=[""], help="those whose name contains one")
    options = parser.parse_args()
    reference = classical()
    prior = load_fast(options.model)
    others = guided(prior, options.samples, options.pc_steps) | theirs(prior, options.steps)
    chosen = {name: run for name, run in others.items() if any(text in name for text in options.methods)}
    photos = [middle(picture.rgb(), options.side) for picture in pictures_in(options.folder, options.photos)]
    print(f"{len(photos)} photographs of {options.side} px, {torch.get_num_threads()} threads, model {options.model}")
    print(
        f"{'hole':<10}{'method':<24}{'PSNR dB':>9}{'gain':>7}{'10 to 90 %':>16}{'SSIM':>7}{'detail':>8}{'off':>6}"
        f"{'chroma':>8}{'outliers':>9}{'NFE':>6}{'s/photo':>9}"
    )
    for kind in options.kinds:
        holes = [KINDS[kind](*photo.shape[:2], np.random.default_rng(i)) for i, photo in enumerate(photos)]
        best, mean = np.full(len(photos), -np.inf), None
        for name, method in (reference | chosen).items():
            scores, apart, nfe, start = [], [], 0, time.perf_counter()
            for photo, hole in zip(photos, holes, strict=True):
                damaged = np.where(hole[..., None], np.float32(1), photo)
                estimate, nfe = method(damaged, hole)
                scores.append([measure(estimate, photo, hole) for measure in (psnr, similarity, detail)])
                apart.append(errors(estimate, photo, hole))
            seconds = (time.perf_counter() - start) / len(photos)
            quality, ssim, grain = np.mean(scores, axis=0)
            off = np.exp(np.mean([abs(np.log(max(own, 1e-3))) for *_, own in scores]))
            each = np.array([own for own, *_ in scores])
            if name in reference and quality > best.mean():
                best = each
            low, high = np.quantile(each - best, (0.1, 0.9))
            gain = f"{'':>23}" if name in reference else f"{quality - best.mean():>+7.2f}{low:>+8.2f}{high:>+8.2f}"
            chroma, outliers = (
                np.mean([own for own, _ in apart]),
                np.quantile(np.concatenate([own for _, own in apart]), 0.999),
            )
            mean = (chroma, outliers) if name == "posterior mean" else mean
            over = f"{chroma / mean[0]:>8.2f}{outliers / mean[1]:>9.2f}" if mean else f"{'':>17}"
            print(
                f"{kind:<10}{name:<24}{quality:>9.2f}{gain}{ssim:>7.3f}{grain:>8.2f}{off:>6.2f}"
                f"{over}{nfe:>6}{seconds:>9.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
