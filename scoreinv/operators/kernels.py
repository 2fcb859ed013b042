"""Blur kernels (point-spread functions): arrays (h, w) of sum 1, centred at the element (h // 2, w // 2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scoreinv.system.errors import InputError
from scoreinv.system.options import require

SMALLEST, LARGEST = 0.1, 200.0
"""Range of a standard deviation, radius or length, in pixels. Below it a kernel is a single pixel."""
_SUPERSAMPLING = 16  # points per pixel and axis, for the antialiasing of shapes

BlurKind = Literal["gaussian", "disk", "motion"]
"""Soft focus, defocus, motion."""


@dataclass(frozen=True)
class PointSpread:
    """A blur of a parametric kind.

    Attributes:
        kind: kind of the kernel.
        size: standard deviation, radius or length in pixels, from `SMALLEST` to `LARGEST`.
        angle: direction of motion, in degrees anticlockwise from the right.
    """

    kind: BlurKind
    size: float
    angle: float = 0.0

    def __str__(self) -> str:
        """Return the option value of the command line, such as `disk:3` or `motion:15,30`."""
        return f"{self.kind}:{self.size:g}" + (f",{self.angle:g}" if self.kind == "motion" else "")

    @property
    def words(self) -> str:
        """The cause of the blur, in words."""
        if self.kind == "motion":
            return f"moved by {self.size:.3g} pixels at {self.angle:.3g} degrees"
        if self.kind == "disk":
            return f"out of focus by a radius of {self.size:.2g} pixels"
        return f"soft, by a Gaussian of {self.size:.2g} pixels"

    def kernel(self) -> np.ndarray:
        """Return the kernel; raise InputError if the size is out of range."""
        if self.kind == "motion":
            return motion(self.size, self.angle)
        return disk(self.size) if self.kind == "disk" else gaussian(self.size)


def gaussian(sigma: float) -> np.ndarray:
    """Return a Gaussian of standard deviation `sigma` pixels, truncated at four standard deviations."""
    _check("a Gaussian's standard deviation", sigma)
    radius = math.ceil(4 * sigma)
    profile = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = np.outer(profile, profile)
    return kernel / kernel.sum()


def disk(radius: float) -> np.ndarray:
    """Return a defocus kernel: a uniform disk of `radius` pixels, antialiased."""
    _check("a disk's radius", radius)
    reach = math.ceil(radius - 0.5) if radius > 0.5 else 0
    points = (np.arange((2 * reach + 1) * _SUPERSAMPLING) + 0.5) / _SUPERSAMPLING - reach - 0.5
    covered = (points[:, None] ** 2 + points**2 <= radius**2).astype(float)
    kernel = covered.reshape(2 * reach + 1, _SUPERSAMPLING, 2 * reach + 1, _SUPERSAMPLING).mean((1, 3))
    return kernel / kernel.sum()


def motion(length: float, angle: float) -> np.ndarray:
    """Return the kernel of uniform motion over `length` pixels at `angle` degrees anticlockwise from the right."""
    _check("a movement's length", length)
    require(math.isfinite(angle), f"a movement's angle must be a number of degrees, not {angle}")
    count = 2 * math.ceil(_SUPERSAMPLING * length) + 1
    distances = (np.arange(count) + 0.5) / count * length - length / 2  # along the motion, from its middle
    x, y = distances * math.cos(math.radians(angle)), -distances * math.sin(math.radians(angle))
    reach = math.ceil(length / 2)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for down in (0, 1):  # each point adds to the four pixels around it, with bilinear weights
        for across in (0, 1):
            weight = (1 - abs(top + down - y)) * (1 - abs(left + across - x))
            inside = weight > 1e-9
            np.add.at(kernel, (top[inside] + down + reach, left[inside] + across + reach), weight[inside])
    return _trim(kernel / kernel.sum())


def kernel_moments(kernels: Sequence[np.ndarray], weights: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of random kernels, (h, w), and the principal components D_r of their covariance, (2, h, w).

    The components are scaled, so that a picture x blurred by a random kernel has the variance sum_r (D_r * x)^2, up to
    smaller components.

    Args:
        kernels: at least two, which differ, each with an odd number of rows and of columns.
        weights: probabilities, up to a factor.
    """
    rows, columns = (max(sides) for sides in zip(*(kernel.shape for kernel in kernels), strict=True))
    padded = np.zeros((len(kernels), rows, columns))
    for values, kernel in zip(padded, kernels, strict=True):
        top, left = (rows - kernel.shape[0]) // 2, (columns - kernel.shape[1]) // 2
        values[top : top + kernel.shape[0], left : left + kernel.shape[1]] = kernel
    probabilities = np.array(weights) / np.sum(weights)
    mean = np.tensordot(probabilities, padded, 1)
    deviations = np.sqrt(probabilities)[:, None] * (padded - mean).reshape(len(kernels), -1)
    _, sizes, components = np.linalg.svd(deviations, full_matrices=False)
    return mean, (sizes[:2, None] * components[:2]).reshape(-1, rows, columns)


def normalised(values: np.ndarray, name: str) -> np.ndarray:
    """Normalise values (h, w), at least 0, to a kernel of sum 1; raise InputError, naming `name`, if invalid."""
    numbers = isinstance(values, np.ndarray) and values.dtype.kind in "buif" and values.ndim == 2 and values.size > 0
    if not numbers or not np.isfinite(values).all() or values.min() < 0:
        raise InputError(f"{name}: a kernel must be a two-dimensional array of finite values of at least 0")
    require(bool(values.any()), f"{name}: the kernel is 0 everywhere")
    return _trim(values / values.sum(dtype=np.float64))


def _trim(kernel: np.ndarray) -> np.ndarray:
    """Trim rows and columns of zeros symmetrically around the centre."""
    for axis in (0, 1):
        centre = kernel.shape[axis] // 2
        used = np.flatnonzero(kernel.any(axis=1 - axis))
        reach = max(centre - used[0], used[-1] - centre)
        # Where an even side ends, one element fewer follows the centre: it is at h // 2 or w // 2 again.
        kernel = kernel.take(range(centre - reach, min(kernel.shape[axis], centre + reach + 1)), axis)
    return kernel


def _check(what: str, value: float) -> None:
    require(SMALLEST <= value <= LARGEST, f"{what} must be from {SMALLEST:g} to {LARGEST:g} pixels, not {value:g}")
