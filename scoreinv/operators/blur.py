"""Blur by any kernel, by Fourier's transform.

The kernel's centre is its element (h // 2, w // 2), counted from 0:  (k * x)_i = sum_j k_j x_(i - j + centre).

A convolution is diagonal in the Fourier basis if its boundary is periodic. That of a real photograph is not: it is a
window onto a blurred scene that extends beyond it, which `valid_blur` models.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.operators.base import Composed, SpectralOperator
from scoreinv.operators.pixelwise import mask
from scoreinv.system.errors import InputError
from scoreinv.system.reporting import report
from scoreinv.system.text import shown

Kernel = Tensor | np.ndarray
"""A blur kernel (h, w), as `scoreinv.operators.kernels` makes them or a tensor."""


@dataclass(frozen=True, eq=False, repr=False)
class Blur(SpectralOperator):
    """y = k * x for each channel, with periodic boundary, on pictures of one size.

    With F the unitary Fourier transform and k^ the kernel's, A = F^-1 diag(k^) F: V = F^-1, s = |k^|, and U has the
    phases of k^. V and U are complex: `analyse` is V^H, and `analyse_observation` U^H.

    Attributes:
        kernel: (h, w), not larger than the picture.
        height, width: of the picture, in pixels.
    """

    kernel: Kernel
    height: int
    width: int

    def __post_init__(self) -> None:
        check_kernel(self.kernel, self.height, self.width)

    @cached_property
    def _transfer(self) -> Tensor:
        """k^ over half of the frequencies, (1, 1, H, W // 2 + 1), complex128."""
        rows, columns = self.kernel.shape
        picture = torch.zeros(self.height, self.width, dtype=torch.float64)
        picture[:rows, :columns] = _values(self.kernel)
        return torch.fft.rfft2(picture.roll((-(rows // 2), -(columns // 2)), (0, 1)))[None, None]

    @cached_property
    def singular(self) -> Tensor:
        return self._transfer.abs()

    def __call__(self, x: Tensor) -> Tensor:
        return self.synthesise(_as(self._transfer, x) * self.analyse(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.synthesise(_as(self._transfer.conj(), y) * self.analyse(y))

    def analyse(self, x: Tensor) -> Tensor:
        report()  # a transform of 3 megapixels takes half a second
        return torch.fft.rfft2(x, norm="ortho")

    def synthesise(self, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft2(spectrum, s=(self.height, self.width), norm="ortho")

    def analyse_observation(self, y: Tensor) -> Tensor:
        return self.analyse(y) * _as(_phase(self._transfer).conj(), y)

    def synthesise_observation(self, spectrum: Tensor) -> Tensor:
        return self.synthesise(spectrum * _as(_phase(self._transfer), spectrum.real))


def valid_blur(kernel: Kernel, height: int, width: int, iterations: int = Composed.iterations) -> Composed:
    """Blurred photographs of height x width, with unknown boundary: windows onto a scene that extends beyond them.

    The scene is (height + h - 1) x (width + w - 1) for a kernel of h x w, and so is the observation, 0 in the margin
    that is not observed: `pad_observation` makes it of a photograph.
    """
    rows, columns = kernel.shape
    observed = pad_observation(torch.ones(1, 1, height, width), kernel)
    return Composed(mask(observed), Blur(kernel, height + rows - 1, width + columns - 1), iterations)


def pad_observation(y: Tensor, kernel: Kernel) -> Tensor:
    """Photographs (..., H, W) as `valid_blur` observes the scene: zeros around."""
    return F.pad(y, _margins(kernel))


def photographed(kernel: Kernel, height: int, width: int) -> tuple[int, int, int, int]:
    """Where in the scene of `valid_blur` the photograph of height x width lies."""
    left, _, top, _ = _margins(kernel)
    return top, left, height, width


def check_kernel(kernel: Kernel, height: int, width: int) -> None:
    """Raise InputError for a kernel of wrong shape or values, or one larger than the picture."""
    if not isinstance(kernel, Tensor | np.ndarray):
        raise InputError(f"a kernel must be an array or a tensor, not {shown(kernel)}")
    if kernel.ndim != 2 or 0 in kernel.shape:
        raise InputError(f"a kernel must have shape (h, w), not {tuple(kernel.shape)}")
    values = _values(kernel)
    if not values.isfinite().all() or not values.any():
        raise InputError("a kernel's values must be finite, and not all 0")
    if kernel.shape[0] > height or kernel.shape[1] > width:
        raise InputError(
            f"a kernel of {kernel.shape[1]}x{kernel.shape[0]} is larger than the picture, {width}x{height}"
        )


def _values(kernel: Kernel) -> Tensor:
    """The kernel as a tensor, float64, on the CPU."""
    if isinstance(kernel, Tensor):
        return kernel.detach().cpu().double()
    try:
        return torch.from_numpy(np.array(kernel, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"a kernel must be of real numbers, not of {kernel.dtype}") from error


def _margins(kernel: Kernel) -> tuple[int, int, int, int]:
    """What the kernel reaches beyond a pixel: left, right, above, below."""
    rows, columns = kernel.shape
    return columns - 1 - columns // 2, columns // 2, rows - 1 - rows // 2, rows // 2


def _phase(values: Tensor) -> Tensor:
    """values / |values|, and 1 where they are 0."""
    return torch.where(values == 0, 1, torch.sgn(values))


def _as(factor: Tensor, like: Tensor) -> Tensor:
    """A complex factor in the precision and on the device of real values."""
    return factor.to(like.device, like.dtype.to_complex())
