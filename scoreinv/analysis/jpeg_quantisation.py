"""Estimate how a JPEG quantised a picture, from its pixels.

A JPEG rounds the cosine coefficients c of each 8x8 block to multiples of a step q per frequency. In the decoded pixels
each c is such a multiple, with an error e ~ N(0, `_ERROR`^2) from the rounding of the pixels. The log-likelihood ratio
of a step q against a density that varies slowly over q is

    L(q) = sum over |c| > q / 2 of log((1 - outliers) q N(c - q round(c / q); 0, `_ERROR`^2) + outliers).

Smaller coefficients give no evidence, because any smooth picture has many. Without quantisation L is negative on
average, on each of the 64 grids. After it, one grid has periodic coefficients, in a file, array or crop alike.
Compare Fan and de Queiroz, Identification of bitmap compression history, IEEE Trans. Image Process. 12 (2003).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from scoreinv.imaging.picture import Picture

TO_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""RGB to luma and chroma, in levels of 255 (JFIF)."""
FROM_YCC = np.linalg.inv(TO_YCC)
COSINES = (np.cos(np.pi / 16 * np.outer(np.arange(8), np.arange(1, 16, 2))) / 2).astype(np.float32)
COSINES[0] /= math.sqrt(2)
"""The orthonormal cosine transform C of a line of a block, 8x8; of blocks it is C x C^T."""

_ERROR = 0.35
"""Standard deviation of a coefficient's error, in levels: Y is rounded (0.29), and then red, green and blue (0.19)."""
_OUTLIERS = 0.02
"""Probability of any other value, for example due to clipping at black or white."""
_BINS, _WIDTH = 1024, 0.125
"""Number of bins of |c|, and their width in levels."""
_LARGEST = 120
"""Largest step: larger ones leave too few coefficients above q / 2 within the bins."""
_EVIDENCE = 30.0
"""Minimum lead of a grid's log-likelihood over all others. Of 138 photographs at half size one reaches 20, the others
less than 9; 23 of 25 small blurred ones at quality 97 have more."""
_SIDE = 24
"""Side of the area that determines the grid, in blocks."""
_ZERO = 0.5
"""Levels below which a coefficient counts as zero. In 147 of 147 JPEGs of quality 30 to 98 the grid has most zeros."""
_COMPARED = 8
"""Number of grids with most zeros whose evidence is compared."""
_MOST_SIDE = 64
"""Side of the area that determines the steps, in blocks."""
_MULTIPLES = 16
"""Multiples of q from which on all count as one: they hardly change the error."""
_POINTS = 64
"""Number of values, within an interval, that its error is computed from; even."""
_SCALES, _EXPONENTS = np.geomspace(0.001, 200, 61), np.array([1, 1.5, 2, 3, 5, 10])
"""Values of s / q and a among which the likeliest are chosen."""
_PROJECTIONS = 8
"""Alternating projections of a block with clipped pixels onto the quantised ones."""
_POLE = 2 * math.sqrt(2) - 3
_SHARPENING = math.sqrt(2) * _POLE ** abs(np.arange(-7, 8, dtype=np.float32))
"""The inverse of the filter [1 6 1] / 8; the next value is 1e-6."""
_LUMA_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_CHROMA_TABLE = np.full((8, 8), 99)
_CHROMA_TABLE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]
"""The example tables of the standard (ITU-T T.81, K.1 and K.2), which encoders scale."""


@dataclass(frozen=True, eq=False)
class Coding:
    """Quantisation of a picture by JPEG.

    Attributes:
        luma, chroma: quantisation steps of a block, 8x8, in levels of 255.
        cell: height and width in pixels of a sample of chroma.
        origin: row and column, at least 0, of the first whole unit of blocks.
        noise_std, rgb_noise_std: standard deviation of the quantisation error, in [0, 1], of luma, and of red, green
            and blue; see `quantisation_error`. The latter excludes what subsampling lost.
    """

    luma: np.ndarray
    chroma: np.ndarray
    cell: tuple[int, int]
    origin: tuple[int, int]
    noise_std: float
    rgb_noise_std: float


def quantisation_error(plane: np.ndarray, steps: np.ndarray) -> float:
    """Estimate the standard deviation of the quantisation error of a decoded plane, in [0, 1].

    Before rounding, the size of a frequency's coefficients in a block has an exponential distribution, whose rate has a
    gamma distribution over the blocks. So P(|c| > x) = (1 + x / s)^-a. The scale s of each frequency, and the exponent
    a of all of them, have the maximum likelihood of the decoded multiples of q. The error of a coefficient has the
    variance of this distribution within its interval.

    Args:
        plane: luma or samples of chroma, HxW, in levels of 255; blocks begin at the first pixel.
        steps: q, 8x8, in levels.
    """
    multiples = np.rint(_sizes(blocks_of(plane)).reshape(-1, 64) / steps.ravel()).clip(0, _MULTIPLES).astype(int)
    counts = np.stack([np.bincount(each, minlength=_MULTIPLES + 1) for each in multiples.T])
    logs, errors = _intervals()
    likelihoods = np.tensordot(counts, logs, (1, 2))  # (64, scales, exponents)
    likeliest = int(likelihoods.max(1).sum(0).argmax())
    scales = likelihoods[..., likeliest].argmax(1)
    variance = (counts * errors[scales, likeliest]).sum(1) @ np.square(steps.ravel()) / multiples.size
    return math.sqrt(variance + _ERROR**2) / 255


def coding_of(picture: Picture) -> Coding | None:
    """Estimate the quantisation of a picture that was once a JPEG; None if there is no evidence of one.

    The grid with most zeros must have the most evidence. A frequency without evidence, such as one with only zeros,
    gets the standard's step, scaled like the others.
    """
    if min(picture.size) < 16:
        return None
    ycc, clipped, (top, left) = _middle(picture, _SIDE)
    sizes, lost = _sizes(sliding_window_view(ycc[0], (8, 8))), _any_of_blocks(clipped)
    zeros = (sizes < _ZERO).mean(-1)
    grids = sorted(product(range(8), repeat=2), key=lambda grid: -zeros[grid[0] :: 8, grid[1] :: 8].mean())
    likely = [np.s_[down::8, across::8] for down, across in grids[:_COMPARED]]
    gains = _gains(_luma_ratios([(_bins(sizes[grid]), lost[grid]) for grid in likely]))
    first, *others = gains.sum(1) - gains.max(1)  # a pattern may make one frequency periodic; a JPEG affects many
    if first - max(others) < _EVIDENCE:
        return None
    first_block = (top + grids[0][0]) % 8, (left + grids[0][1]) % 8
    ycc, clipped, (top, left) = _middle(picture, _MOST_SIDE)
    starts = [(begin - offset) % 8 for begin, offset in zip(first_block, (top, left), strict=True)]
    ycc, clipped = (each[..., starts[0] :, starts[1] :] for each in (ycc, clipped))
    blocks = _bins(_sizes(blocks_of(ycc[0]))), np.any(blocks_of(clipped), axis=(2, 3))
    luma_steps, scale = _steps(_luma_ratios([blocks])[0], _LUMA_TABLE, None)
    best = -math.inf
    for cell in ((1, 1), (1, 2), (2, 1), (2, 2)):
        whole = chroma_samples(ycc[1:], cell)
        for unit in product(*(range(0, 4 * size, 4) for size in cell)):
            samples = whole[:, unit[0] :, unit[1] :]
            if min(samples.shape[1:]) < 8:
                continue
            ratios = _sums(_counts(_bins(_sizes(blocks_of(samples))).reshape(-1, 64)))
            if (score := float(_gains(ratios).sum())) > best:
                best, found, chroma_steps = score, cell, _steps(ratios, _CHROMA_TABLE, scale)[0]
                best_samples = samples
                begin = [start + size * more for start, size, more in zip(starts, cell, unit, strict=True)]
                origin = (top + begin[0]) % (8 * cell[0]), (left + begin[1]) % (8 * cell[1])
    if best == -math.inf:
        return None
    noise_std = quantisation_error(ycc[0], luma_steps)
    errors = np.array([noise_std, *(quantisation_error(plane, chroma_steps) for plane in best_samples)])
    rgb_noise_std = float(np.sqrt((np.square(FROM_YCC) @ np.square(errors)).mean()))
    return Coding(luma_steps, chroma_steps, found, origin, noise_std, rgb_noise_std)


def chroma_samples(planes: np.ndarray, cell: tuple[int, int]) -> np.ndarray:
    """Recover the samples that a decoder upsampled to planes NxHxW, for cells of 1 or 2 pixels a side.

    Decoders upsample by [1 3 3 1] / 4. The means of cells are then the samples filtered by [1 6 1] / 8; this inverts
    the filter.
    """
    for axis, size in enumerate(cell, start=1):
        if size == 2:
            lines = np.moveaxis(planes, axis, -1)
            means = (lines[..., : lines.shape[-1] // 2 * 2 : 2] + lines[..., 1::2]) / 2
            padded = np.pad(means, [(0, 0), (0, 0), (7, 7)], mode="symmetric")
            planes = np.moveaxis(sliding_window_view(padded, len(_SHARPENING), axis=-1) @ _SHARPENING, -1, axis)
    return planes


def _middle(picture: Picture, blocks: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Return a picture's centre: luma and chroma 3xHxW in levels, clipped pixels, and the place of the first pixel."""
    height, width = (min(side, 8 * blocks + 7) for side in picture.size)
    top, left = (picture.height - height) // 2, (picture.width - width) // 2
    rgb = picture.rgb((top, left, height, width))
    ycc = np.tensordot(255 * TO_YCC.astype(np.float32), rgb, (1, 2))
    ycc[0] -= 128
    return ycc, np.any((rgb <= 0) | (rgb >= 1), axis=-1), (top, left)


def blocks_of(planes: np.ndarray) -> np.ndarray:
    """Return the whole blocks of planes (..., H, W): (..., H // 8, W // 8, 8, 8)."""
    *count, height, width = planes.shape
    rows, columns = height // 8, width // 8
    return planes[..., : 8 * rows, : 8 * columns].reshape(*count, rows, 8, columns, 8).swapaxes(-3, -2)


def evidence(blocks: np.ndarray, clipped: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return L of given steps, 8x8, for each of N blocks, Nx8x8 in levels around 0: N.

    Clipped pixels (Nx8x8 bool) get the values of the nearest quantised block, by alternating projections.
    """
    for _ in range(_PROJECTIONS if clipped.any() else 0):
        nearest = steps * np.rint(COSINES @ blocks @ COSINES.T / steps)
        blocks = np.where(clipped, COSINES.T @ nearest @ COSINES, blocks)
    terms = np.pad(_ratio_of_bins(), ((0, 0), (0, 1)))[np.minimum(steps, _LARGEST).astype(int).ravel() - 1]
    return terms[np.arange(64), _bins(_sizes(blocks))].sum(-1)


def _luma_ratios(grids: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return L(q) of the luma of N grids of blocks, (N, 64, `_LARGEST`).

    Clipping hides the quantisation of a block, but all blocks of a high-contrast picture may have a clipped pixel. So L
    is computed both from all blocks and from those without clipped pixels. The one with the larger gain is returned.

    Args:
        grids: for each, the bins of its blocks, (..., 64), and whether a block has a clipped pixel.
    """
    counts = [_counts(each) for bins, lost in grids for each in (bins.reshape(-1, 64), bins[~lost])]
    ratios = _sums(np.stack(counts)).reshape(len(grids), 2, 64, -1)
    return np.take_along_axis(ratios, _gains(ratios).sum(2).argmax(1)[:, None, None, None], axis=1)[:, 0]


def _any_of_blocks(marked: np.ndarray) -> np.ndarray:
    """Return whether the block that begins at each pixel has a marked one, for HxW bool: (H - 7, W - 7)."""
    rows = np.any(sliding_window_view(marked, 8, axis=0), axis=-1)
    return np.any(sliding_window_view(rows, 8, axis=1), axis=-1)


def _counts(bins: np.ndarray) -> np.ndarray:
    """Return the number of coefficients in each bin but the last, (64, `_BINS`), of N blocks, Nx64."""
    bins = bins + np.arange(64) * (_BINS + 1)
    counts = np.bincount(bins.ravel(), minlength=64 * (_BINS + 1)).reshape(64, -1)
    return counts[:, :-1].astype(np.float32)


def _sums(counts: np.ndarray) -> np.ndarray:
    """Return L(q) from the numbers of coefficients in the bins, (..., 64, `_BINS`): (..., 64, `_LARGEST`)."""
    flat = counts.reshape(-1, _BINS) @ _ratio_of_bins().T  # one product: BLAS starts its threads once
    return flat.reshape(*counts.shape[:-1], -1)


def _bins(sizes: np.ndarray) -> np.ndarray:
    """Return the bins of |c|."""
    return np.minimum(sizes / _WIDTH, _BINS).astype(int)


def _sizes(blocks: np.ndarray) -> np.ndarray:
    """Return |c| for each coefficient of blocks (..., 8, 8): (..., 64)."""
    return abs(COSINES @ blocks @ COSINES.T).reshape(*blocks.shape[:-2], 64)


@lru_cache(maxsize=1)
def _intervals() -> tuple[np.ndarray, np.ndarray]:
    """Return tables for scales, exponents and multiples of q, for steps of 1: (`_SCALES`, `_EXPONENTS`, multiples).

    They are the log-probability of a multiple, and the variance of its error; the last one is that of all larger ones.
    """
    edges = np.arange(round((_MULTIPLES - 0.5) * _POINTS) + 1) / _POINTS
    above = (1 + edges / _SCALES[:, None, None]) ** -_EXPONENTS[:, None]
    middle = edges[:-1] + 0.5 / _POINTS
    first = np.arange(_MULTIPLES) * _POINTS - _POINTS // 2  # of the interval around each multiple
    chances = -np.diff(above)
    sums = [
        np.add.reduceat(each, first.clip(0), axis=-1) for each in (chances, chances * (middle - np.rint(middle)) ** 2)
    ]
    logs = np.log(np.concatenate([sums[0], above[..., -1:]], axis=-1))
    return logs, np.pad(sums[1] / sums[0], ((0, 0), (0, 0), (0, 1)), constant_values=1 / 12)


@lru_cache(maxsize=1)
def _ratio_of_bins() -> np.ndarray:
    """Return a coefficient's term of L(q) for each q and bin, (`_LARGEST`, `_BINS`)."""
    size, step = (np.arange(_BINS) + 0.5) * _WIDTH, np.arange(1, _LARGEST + 1)[:, None]
    away = size - step * np.rint(size / step)
    normal = sum(np.exp(-0.5 * ((away + turn * step) / _ERROR) ** 2) for turn in (-1, 0, 1))
    ratio = (1 - _OUTLIERS) * step * normal / (_ERROR * math.sqrt(2 * math.pi)) + _OUTLIERS
    return np.where(size > step / 2, np.log(ratio), 0.0).astype(np.float32)


def _gains(ratios: np.ndarray) -> np.ndarray:
    """Return the log-likelihood gain of each frequency's best step, with a penalty for the choice."""
    return (ratios.max(-1) - math.log(_LARGEST)).clip(0)


def _steps(ratios: np.ndarray, table: np.ndarray, scale: float | None) -> tuple[np.ndarray, float]:
    """Return the estimated steps, 8x8, and their scale relative to the table; `scale` if there is no evidence."""
    evident = (ratios.max(1) > math.log(_LARGEST)).reshape(8, 8)
    likely = (ratios.argmax(1) + 1.0).reshape(8, 8)
    if evident.any() or scale is None:
        scale = float(np.median((likely / table)[evident]))
    return np.where(evident, likely, np.rint(scale * table).clip(1, 255)), scale
