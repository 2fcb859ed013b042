"""Blur by any kernel, with the Fourier transform.

The kernel's centre is its element (h // 2, w // 2), counted from 0:  (k * x)_i = sum_j k_j x_(i - j + centre).

A convolution is diagonal in the Fourier basis if its boundary is periodic. A real photograph has no such boundary: it
is a window onto a blurred scene that extends beyond it. `valid_blur` models this.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.operators.base import Composed, SpectralOperator, by_channel
from scoreinv.operators.pixelwise import mask
from scoreinv.system.errors import InputError
from scoreinv.system.options import require
from scoreinv.system.text import shown

Kernel = Tensor | np.ndarray
"""A blur kernel (h, w): an array, as from `scoreinv.operators.kernels`, or a tensor."""


@dataclass(frozen=True, eq=False, repr=False)
class Blur(SpectralOperator):
    """y = k * x for each channel, with periodic boundary, on pictures of one size.

    With the unitary Fourier transform F and the transfer function k^ of k, A = F^-1 diag(k^) F. So V = F^-1, s = |k^|,
    and U = F^-1 diag(k^ / |k^|). V and U are complex: `analyse` is V^H, and `analyse_observation` U^H.

    Attributes:
        kernel: (h, w), not larger than the picture.
        height, width: size of the picture in pixels.

    Raises InputError if the kernel has an invalid shape or values, or is larger than the picture.
    """

    kernel: Kernel
    height: int
    width: int

    def __post_init__(self) -> None:
        kernel, height, width = self.kernel, self.height, self.width
        require(isinstance(kernel, Tensor | np.ndarray), f"a kernel must be an array or a tensor, not {shown(kernel)}")
        require(
            kernel.ndim == 2 and 0 not in kernel.shape, f"a kernel must have shape (h, w), not {tuple(kernel.shape)}"
        )
        values = _values(kernel)
        require(bool(values.isfinite().all() and values.any()), "a kernel's values must be finite, and not all 0")
        rows, columns = kernel.shape
        fits = rows <= height and columns <= width
        require(fits, f"a kernel of {columns}x{rows} is larger than the picture of {width}x{height}")

    @cached_property
    def _transfer(self) -> Tensor:
        """The transfer function k^ at half of the frequencies, (1, 1, H, W // 2 + 1), complex128."""
        rows, columns = self.kernel.shape
        picture = torch.zeros(self.height, self.width, dtype=torch.float64)
        picture[:rows, :columns] = _values(self.kernel)
        return torch.fft.rfft2(picture.roll((-(rows // 2), -(columns // 2)), (0, 1)))[None, None]

    @cached_property
    def singular(self) -> Tensor:
        return self._transfer.abs()

    def __call__(self, x: Tensor) -> Tensor:
        return self.synthesise(_cast(self._transfer, x) * self.analyse(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.synthesise(_cast(self._transfer.conj(), y) * self.analyse(y))

    def analyse(self, x: Tensor) -> Tensor:
        return by_channel(lambda channel: torch.fft.rfft2(channel, norm="ortho"), x)

    def synthesise(self, spectrum: Tensor) -> Tensor:
        side = self.height, self.width
        return by_channel(lambda channel: torch.fft.irfft2(channel, s=side, norm="ortho"), spectrum)

    def analyse_observation(self, y: Tensor) -> Tensor:
        return self.analyse(y) * _cast(torch.sgn(self._transfer.conj()), y)  # sgn k^ = k^ / |k^|, or 0 for 0


def valid_blur(kernel: Kernel, height: int, width: int, iterations: int = Composed.iterations) -> Composed:
    """Return the blur of photographs of height x width with unknown boundary, as windows onto a larger scene.

    For a kernel (h, w) the scene has (height + h - 1) x (width + w - 1) pixels, and so does the observation: it is 0 in
    the unobserved margin (`pad_observation`).
    """
    rows, columns = kernel.shape
    observed = pad_observation(torch.ones(1, 1, height, width), kernel)
    return Composed(mask(observed), Blur(kernel, height + rows - 1, width + columns - 1), iterations)


def pad_observation(y: Tensor, kernel: Kernel) -> Tensor:
    """Pad photographs (..., H, W) with zeros to the observations of `valid_blur`."""
    return F.pad(y, _margins(kernel))


def photographed(kernel: Kernel, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the box (top, left, height, width) of the photograph within the scene of `valid_blur`."""
    left, _, top, _ = _margins(kernel)
    return top, left, height, width


def _values(kernel: Kernel) -> Tensor:
    """Return the kernel as a float64 tensor on the CPU."""
    if isinstance(kernel, Tensor):
        return kernel.detach().cpu().double()
    try:
        return torch.from_numpy(np.array(kernel, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"a kernel must contain real numbers, not {kernel.dtype}") from error


def _margins(kernel: Kernel) -> tuple[int, int, int, int]:
    """Return how far the scene that determines a blurred pixel extends beyond it: left, right, above, below."""
    rows, columns = kernel.shape
    return columns - 1 - columns // 2, columns // 2, rows - 1 - rows // 2, rows // 2


def _cast(factor: Tensor, like: Tensor) -> Tensor:
    """Cast a complex factor to the precision and device of real values."""
    return factor.to(like.device, like.dtype.to_complex())
