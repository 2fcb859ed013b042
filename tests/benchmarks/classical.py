"""Restoration without a network, each method at the strength that suits it best, for the benchmarks.

A method is given as variants of several strengths, of which a benchmark counts the best on its pictures: they are
judged at their best. Pictures are HxWx3 in [0, 1], noisy ones beyond it.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from PIL import Image

Restore = Callable[[np.ndarray], np.ndarray]
Variants = dict[str, Sequence[Restore]]


def denoisers(noise: float) -> tuple[Variants, list[str]]:
    """Of white noise of this standard deviation; and the names of those that are not installed."""
    try:
        from bm3d import bm3d_rgb
    except ImportError:
        return {}, ["BM3D (bm3d)"]
    return {"BM3D": [lambda y: np.asarray(bm3d_rgb(y, noise))]}, []


def enlargers(factor: int) -> Variants:
    """By interpolation, of pictures of 8-bit values."""

    def resized(y: np.ndarray, kind: Image.Resampling) -> np.ndarray:
        small = Image.fromarray(np.rint(255 * y).astype(np.uint8))
        return np.asarray(small.resize((small.width * factor, small.height * factor), kind), np.float32) / 255

    kinds = {"bicubic": Image.Resampling.BICUBIC, "Lanczos": Image.Resampling.LANCZOS}
    return {name: [partial(resized, kind=kind)] for name, kind in kinds.items()}


def deblurrers(kernel: np.ndarray) -> Variants:
    """Of a known blur, of pictures whose surroundings are not known: they are continued by their mirror image."""
    return {"total variation": [partial(_total_variation, kernel=kernel, weight=w) for w in (5e-4, 2e-3, 8e-3, 2e-2)]}


def _total_variation(y: np.ndarray, kernel: np.ndarray, weight: float, iterations: int = 40) -> np.ndarray:
    """min |A x - y|^2 / 2 + weight TV(x) by ADMM in Fourier space (Wang et al. 2008, FTVd), colours together."""

    def run(z: np.ndarray) -> np.ndarray:
        height, width = z.shape[:2]
        placed = np.zeros((height, width))
        placed[: kernel.shape[0], : kernel.shape[1]] = kernel
        placed = np.roll(placed, (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), (0, 1))
        blur = np.fft.rfft2(placed)[..., None]
        down = np.exp(2j * np.pi * np.fft.fftfreq(height))[:, None, None] - 1
        across = np.exp(2j * np.pi * np.fft.rfftfreq(width))[None, :, None] - 1
        penalty = 20 * weight
        observed = blur.conj() * np.fft.rfft2(z, axes=(0, 1))
        total = abs(blur) ** 2 + penalty * (abs(down) ** 2 + abs(across) ** 2)
        split = dual = np.zeros((2, *z.shape))
        for _ in range(iterations):
            d, a = np.fft.rfft2(split - dual, axes=(1, 2))
            spectrum = (observed + penalty * (down.conj() * d + across.conj() * a)) / total
            x = np.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
            slope = np.stack([np.roll(x, -1, 0) - x, np.roll(x, -1, 1) - x]) + dual
            norm = np.sqrt((slope**2).sum((0, 3), keepdims=True))
            split = slope * np.maximum(1 - weight / penalty / np.maximum(norm, 1e-12), 0)
            dual = slope - split
        return x

    return _extended(run, y)


def _extended(run: Restore, y: np.ndarray) -> np.ndarray:
    """Run on the picture and half of its mirror image around, which makes it periodic."""
    around = [(side // 2, side - side // 2) for side in y.shape[:2]]
    (down, _), (across, _) = around
    return run(np.pad(y, (*around, (0, 0)), mode="symmetric"))[down : down + y.shape[0], across : across + y.shape[1]]
