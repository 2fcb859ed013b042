"""Estimate the blur of a shaken camera: a kernel of any shape, from the edges of a photograph's light.

A sharp picture and the kernel are estimated in turn, on a pyramid from coarse to fine (Cho and Lee 2009, Xu and Jia
2010). With y the luminance, D the differences to the right and below, and |.|_0 the number of values that are not 0:

    s = argmin_s |k * s - y|^2 + lambda |D s|_0        half-quadratic splitting (Xu, Lu, Xu and Jia 2011)
    k = argmin_k |k * D s - D y|^2 + gamma |k|^2       k at least 0, of sum 1; only at the strongest edges of s

The sharp picture keeps no more than the edges that the kernel needs: lambda falls while the estimates improve. Without
a strong lambda the picture itself, with a single pixel as the kernel, has the lower cost (Levin et al. 2011).
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import fft, ndimage

from scoreinv.imaging.resizing import resized

SIDES = 29, 21, 35
"""Sides of the kernels of an estimate, in pixels: see `aligned`."""
_STD = 0.2
"""Standard deviation to which pictures are scaled: the constants below suit it."""
_EDGE_COSTS = 8.8e-3, 8.8e-4
"""First and last lambda."""
_MOST_COUPLING = 1.0
"""Last weight of the splitting: the differences of s follow their thresholded copies no closer."""
_RIDGE = 8.0
"""gamma, which suits fewer pixels in proportion to the scale of a level."""
_ROUNDS, _LAST_ROUNDS = 9, 7
"""Rounds of a level, and of the finest one."""
_SCALE = 0.5**0.5
"""Between levels of the pyramid."""
_LEAST_SIDE = 3
"""Side of the kernel on the coarsest level."""
_EDGES = 0.25
"""Edges of each of four directions that the kernel is estimated from: as many as a line of this many pictures' sides,
times the kernel's side, has pixels."""
_FAINT, _SMALL = 0.03, 0.1
"""Weights below this part of the largest, and separate parts below this part of the sum, are noise."""
_STEPS = 30  # of the projected gradient for the kernel


def aligned(kernels: list[np.ndarray]) -> list[np.ndarray]:
    """Return estimates of a kernel, (h, w), moved so that they agree best, with the mean of all at the centre.

    The errors of estimates with different sides differ, so that their mean is better than each of them: on 22 drawn
    shakes its correlation with the true kernel is 0.81, and theirs 0.77 to 0.78.
    """
    length = 2 * max(map(len, kernels)) + 1
    kernels = [_placed(kernel, length) for kernel in kernels]
    for _ in range(2):
        mean = np.mean(kernels, axis=0)
        for number, kernel in enumerate(kernels):
            overlap = fft.irfft2(fft.rfft2(mean) * np.conj(fft.rfft2(kernel)), s=kernel.shape)
            kernels[number] = np.roll(kernel, np.unravel_index(overlap.argmax(), overlap.shape), (0, 1))
    middle = [round(float(place)) for place in ndimage.center_of_mass(np.mean(kernels, axis=0))]
    kernels = [np.roll(kernel, [length // 2 - place for place in middle], (0, 1)) for kernel in kernels]
    used = np.argwhere(np.any(kernels, axis=0)) - length // 2
    reach = int(np.abs(used).max())
    inside = slice(length // 2 - reach, length // 2 + reach + 1)
    return [kernel[inside, inside] for kernel in kernels]


def shake_kernel(luminance: np.ndarray, side: int) -> np.ndarray:
    """Return the kernel of a shaken photograph, (side, side), of sum 1, with its mean at the centre.

    Args:
        luminance: (H, W), light or values, blurred by one kernel all over.
        side: odd side of the kernel in pixels; a larger shake is not found.
    """
    values = np.asarray(luminance, np.float32)
    values = (values - values.mean()) * (_STD / max(float(values.std()), 1e-6))
    levels = int(np.log(_LEAST_SIDE / side) / np.log(_SCALE))
    costs = iter(np.geomspace(*_EDGE_COSTS, levels * _ROUNDS + _LAST_ROUNDS))
    kernel = np.zeros((_LEAST_SIDE, _LEAST_SIDE))
    kernel[1, :2] = 0.5  # a single pixel would be a local minimum
    for level in range(levels, -1, -1):
        scale = _SCALE**level
        height, width = (round(length * scale) for length in values.shape)
        picture = resized(values, (height, width), Image.Resampling.BOX) if level else values
        kernel = _placed(kernel, max(_LEAST_SIDE, 2 * round((side * scale - 1) / 2) + 1))
        scene = _Scene(picture, len(kernel))
        for _ in range(_ROUNDS if level else _LAST_ROUNDS):
            edges = scene.edges(scene.sharp(kernel, next(costs)))
            kernel = _denoised(scene.kernel(edges, kernel, _RIDGE * scale))
        if level:
            wider = round(len(kernel) / _SCALE)
            kernel = resized(kernel.astype(np.float32), (wider, wider), Image.Resampling.BICUBIC).clip(0)
    return _placed(kernel, side)


class _Scene:
    """A picture on one level of the pyramid, continued periodically, with the transforms that its rounds share."""

    def __init__(self, picture: np.ndarray, side: int) -> None:
        """Args: the side of the kernel in pixels."""
        self.size, self.side = picture.shape, side
        for axis in (0, 1):
            gap = fft.next_fast_len(picture.shape[axis] + side + side // 2, real=True) - picture.shape[axis]
            share = np.arange(1, gap + 1, dtype=np.float32) / (gap + 1)
            first, last = picture.take([0], axis), picture.take([-1], axis)
            ramp = last + (first - last) * np.expand_dims(share, 1 - axis)
            picture = np.concatenate([picture, ramp], axis)
        self.picture, self.shape = picture, picture.shape
        self.spectrum = fft.rfft2(picture)
        rows, columns = (2 - 2 * np.cos(2 * np.pi * np.arange(length) / length) for length in picture.shape)
        self.squared_differences = (rows[:, None] + columns[: self.spectrum.shape[1]]).astype(np.float32)
        inside = np.zeros(self.shape, bool)
        inside[: self.size[0] - 1, : self.size[1] - 1] = True
        self.observed = [fft.rfft2(difference * inside) for difference in _differences(picture)]

    def sharp(self, kernel: np.ndarray, cost: float) -> list[np.ndarray]:
        """Return the differences of the sharp picture for a kernel and lambda."""
        padded = np.zeros(self.shape, np.float32)
        padded[: self.side, : self.side] = kernel
        transfer = fft.rfft2(np.roll(padded, (-(self.side // 2),) * 2, (0, 1)))
        known, power = np.conj(transfer) * self.spectrum, np.square(np.abs(transfer))
        estimate, coupling = self.picture, 2 * cost
        while coupling < _MOST_COUPLING:
            across, down = _differences(estimate)
            kept = np.square(across) + np.square(down) >= cost / coupling
            across, down = across * kept, down * kept
            back = np.roll(across, 1, 1) - across + np.roll(down, 1, 0) - down
            spectrum = (known + coupling * fft.rfft2(back)) / (power + coupling * self.squared_differences)
            estimate = fft.irfft2(spectrum, s=self.shape)
            coupling *= 2
        return _differences(estimate)

    def edges(self, differences: list[np.ndarray]) -> list[np.ndarray]:
        """Return the differences at the strongest edges, each of four directions alike, away from the borders."""
        margin = max(1, self.side // 2)
        inside = np.s_[margin : self.size[0] - margin, margin : self.size[1] - margin]
        across, down = (difference[inside] for difference in differences)
        strength, direction = np.hypot(across, down), (4 * (np.arctan2(down, across) / np.pi % 1)).astype(int)
        wanted, least = max(20, int(_EDGES * self.side * np.sqrt(np.prod(self.size)))), np.inf
        for number in range(4):
            found = strength[direction == number]
            least = min(least, np.partition(found, -wanted)[-wanted] if len(found) > wanted else 0.0)
        chosen = np.zeros(self.shape, bool)
        chosen[inside] = strength > least
        return [difference * chosen for difference in differences]

    def kernel(self, edges: list[np.ndarray], start: np.ndarray, ridge: float) -> np.ndarray:
        """Return the kernel between edges and the picture, by projected gradients (Beck and Teboulle 2009)."""
        spectra = [fft.rfft2(edge) for edge in edges]
        power = sum(np.square(np.abs(spectrum)) for spectrum in spectra)
        seen = sum(np.conj(edge) * seen for edge, seen in zip(spectra, self.observed, strict=True))
        target, overlaps = self._middle(seen, self.side), self._middle(power, 2 * self.side - 1)
        side = fft.next_fast_len(3 * self.side - 2, real=True)
        padded = np.zeros((side, side))
        padded[: len(overlaps), : len(overlaps)] = overlaps
        products = fft.rfft2(np.roll(padded, (1 - self.side,) * 2, (0, 1))).real
        step = 1 / (products.max() + ridge)
        kernel = ahead = start
        momentum = 1.0
        for _ in range(_STEPS):
            product = fft.irfft2(products * fft.rfft2(ahead, (side, side)), s=(side, side))[: self.side, : self.side]
            new = np.maximum(ahead - step * (product + ridge * ahead - target), 0)
            grown = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
            kernel, ahead, momentum = new, new + (momentum - 1) / grown * (new - kernel), grown
        return kernel

    def _middle(self, spectrum: np.ndarray, side: int) -> np.ndarray:
        """Return the values at the shifts of a kernel of an odd side."""
        values = np.roll(fft.irfft2(spectrum, s=self.shape), (side // 2, side // 2), (0, 1))
        return np.asarray(values[:side, :side], float)


def _differences(values: np.ndarray) -> list[np.ndarray]:
    return [np.roll(values, -1, axis) - values for axis in (1, 0)]


def _denoised(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel without faint weights and small parts, of sum 1."""
    kernel = np.where(kernel < _FAINT * kernel.max(), 0, kernel)
    parts, count = ndimage.label(kernel, np.ones((3, 3)))
    sums = ndimage.sum_labels(kernel, parts, np.arange(count + 1))
    kernel = np.where((sums < _SMALL * kernel.sum())[parts], 0, kernel)
    if not kernel.any():
        kernel[len(kernel) // 2, len(kernel) // 2] = 1
    return kernel / kernel.sum()


def _placed(kernel: np.ndarray, side: int) -> np.ndarray:
    """Return a kernel on another side, with its mean at the centre."""
    middle = [round(float(place)) for place in ndimage.center_of_mass(kernel)]
    padded = np.pad(kernel, side)
    top, left = (place + side - side // 2 for place in middle)
    return _denoised(padded[top : top + side, left : left + side])
