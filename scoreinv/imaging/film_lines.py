"""Scratches along a film, found without weights: straight lines from border to border, parallel to the others.

A projector's gate or a roller scratches a film over all of its length, so that in a scan a line of a few pixels, darker
or lighter than what is on either side, runs from one border to the one across. Wires, masts and door frames end in the
picture, lean or bend. The picture is cut into bands across the line. In each band and column the median contrast to
both sides is compared with what is usual around, and a path through all bands collects the most evidence: no band has
much of a say, as a line may be interrupted, or be as dark as what it crosses.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from scipy import ndimage

_LEAST_SIDE = 96
"""Of a picture with lines, in pixels: shorter ones say too little."""
_BAND, _BANDS = 16, 30
"""Rows of a band at least, and bands at most."""
_SHAPES = ((1, 2), (3, 4))
"""Width of a line, and distance to what is on its sides, in pixels."""
_AROUND = 51
"""Columns over which the usual contrast is taken."""
_NORMAL = 0.676
"""(E sqrt|x|)^2 of a normal variable x of variance 1: what is usual is taken by roots, so that a line hardly counts."""
_NOISE = 0.006
"""Contrast, in values on [0, 1], that is always usual."""
_AGAINST, _FOR = -1.0, 5.0
"""What a band counts at least and at most, in usual contrasts."""
_STRAIGHT = 0.3
"""What it counts more where the path stays in its column."""
_DOWN, _ACROSS = 2.2, 3.5
"""Mean over the bands from which on it is a line: shores and horizons run across."""
_LEAN, _BEND = 0.01, 2.0
"""Columns that a line shifts for each row, and its distance from straight in pixels, at most."""
_AT_BORDERS = 0.5
"""What the bands at both borders count at least: a frame's lines end before."""
_VISIBLE = 0.05
"""Least contrast of what is marked."""


def film_lines(gray: np.ndarray) -> np.ndarray:
    """Mark the scratches along a film, across the picture or down.

    Args:
        gray: HxW float, luma in [0, 1].

    Returns:
        HxW bool, the pixels of such lines that differ from what is beside.
    """
    marks = np.zeros(gray.shape, bool)
    if min(gray.shape) >= _LEAST_SIDE:
        for values, marked, evidence in ((gray, marks, _DOWN), (np.ascontiguousarray(gray.T), marks.T, _ACROSS)):
            for columns, sign in _lines(values, evidence):
                _mark(values, columns, sign, marked)
    return marks


def _lines(gray: np.ndarray, evidence: float) -> Iterator[tuple[np.ndarray, int]]:
    """The column of each row, (H,), and the sign of the contrast of each line from the first row to the last."""
    height, width = gray.shape
    bands = min(_BANDS, height // _BAND)
    edges = np.linspace(0, height, bands + 1).astype(int)
    found: list[tuple[float, np.ndarray, int]] = []
    for thick, aside in _SHAPES:
        line = ndimage.uniform_filter1d(gray, thick, axis=1, mode="nearest")
        sides = np.pad(line, ((0, 0), (aside, aside)), mode="edge")
        left, right = sides[:, :width], sides[:, 2 * aside :]
        for sign, nearer in ((-1, np.minimum(left, right)), (1, np.maximum(left, right))):
            contrast = sign * (line - nearer)
            medians = np.stack([np.median(contrast[a:b], axis=0) for a, b in pairwise(edges)])
            usual = ndimage.uniform_filter1d(np.sqrt(np.abs(medians)), _AROUND, axis=1) ** 2 / _NORMAL
            lean = _LEAN * height / bands
            found += [(*path, sign) for path in _paths(medians / (usual + _NOISE), evidence, lean)]
    middles = (edges[1:] + edges[:-1]) / 2
    taken: list[np.ndarray] = []
    for _, path, sign in sorted(found, key=lambda each: -each[0]):  # a line has lighter sides, and is of one width
        if all(np.abs(path - other).min() > sum(_SHAPES[-1]) for other in taken):
            taken.append(path)
            yield np.rint(np.interp(np.arange(height), middles, path)).astype(int), sign


def _paths(evidence: np.ndarray, least: float, most_lean: float) -> Iterator[tuple[float, np.ndarray]]:
    """The straight paths through all bands with at least this mean of the evidence (bands, W).

    Each as this mean and its columns (bands,); most_lean: columns for each band.
    """
    counted = np.clip(evidence, _AGAINST, _FOR)
    bands, width = counted.shape
    total, steps = counted[0], np.zeros((bands, width), int)
    for band in range(1, bands):
        before = np.pad(total, 1, constant_values=-np.inf)
        ways = np.stack([before[:-2], before[1:-1] + _STRAIGHT, before[2:]])
        steps[band] = ways.argmax(axis=0) - 1
        total = counted[band] + ways.max(axis=0)
    rows = np.arange(bands)
    peaks = (total == ndimage.maximum_filter1d(total, 9)) & (total > bands * least)
    for column in np.flatnonzero(peaks):
        path = np.full(bands, column)
        for band in range(bands - 1, 0, -1):
            path[band - 1] = path[band] + steps[band, path[band]]
        lean, start = np.polyfit(rows, path, 1)
        bend = np.abs(path - start - lean * rows).max()
        seen = counted[rows, path]
        if abs(lean) <= most_lean and bend <= _BEND and min(seen[0], seen[-1]) > _AT_BORDERS:
            yield float(total[column]) / bands, path


def _mark(gray: np.ndarray, columns: np.ndarray, sign: int, marked: np.ndarray) -> None:
    """Mark where along a line, and how wide, it differs from its sides."""
    height, width = gray.shape
    reach = sum(_SHAPES[-1])
    rows = np.arange(height)[:, None]
    across = columns[:, None] + np.arange(-reach, reach + 1)
    strip = ndimage.uniform_filter1d(gray[rows, across.clip(0, width - 1)], 5, axis=0, mode="nearest")
    left, right = strip[:, :3].mean(axis=1), strip[:, -3:].mean(axis=1)
    nearer = np.minimum(left, right) if sign < 0 else np.maximum(left, right)
    contrast = sign * (strip - nearer[:, None])[:, 3:-3]
    middle = contrast.shape[1] // 2
    most = contrast[:, middle - 1 : middle + 2].max(axis=1, keepdims=True)
    there = (contrast > 0.4 * most) & (most > _VISIBLE)
    inside = (across >= 0) & (across < width)
    row, column = np.nonzero(there & inside[:, 3:-3])
    marked[row, across[:, 3:-3][row, column]] = True
