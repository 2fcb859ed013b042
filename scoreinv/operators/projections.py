"""Compressed sensing: random projections that are fast, and orthonormal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.operators.base import LinearOperator
from scoreinv.operators.pixelwise import mask


@dataclass(frozen=True, eq=False, repr=False)
class ScrambledHartley(LinearOperator):
    """y = H D x: random signs D, then Hartley's transform H = Re F - Im F, F the unitary Fourier transform.

    H is real, symmetric and its own inverse, so A is orthogonal. With the signs every value of y is a sum over the
    whole picture, as with dense random projections (Do et al. 2012, "Fast and efficient compressive sensing").

    Attributes:
        signs: D, -1 or 1, (1 or B, C, H, W).
    """

    signs: Tensor

    def __post_init__(self) -> None:
        if self.signs.ndim != 4 or not (self.signs.abs() == 1).all():
            raise InputError("the signs must be -1 or 1, of shape (B, C, H, W)")

    def __call__(self, x: Tensor) -> Tensor:
        return _hartley(self.signs.to(x) * x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.signs.to(y) * _hartley(y)

    def ridge(self, y: Tensor, level: float | Tensor) -> Tensor:
        scale = 1 + torch.as_tensor(level).to(y).reshape(-1, 1, 1, 1)
        return self.adjoint(y) / scale

    @property
    def orthogonal(self) -> bool:
        return True


def random_projections(share: float, channels: int, height: int, width: int, seed: int = 0) -> LinearOperator:
    """A random share, in (0, 1], of the values of a `ScrambledHartley`: orthonormal projections of the whole picture.

    The observation has the picture's shape, 0 where a value is not kept.
    """
    if not 0 < share <= 1:
        raise InputError(f"the share of projections must be above 0 and at most 1, not {share}")
    generator, shape = np.random.default_rng(seed), (1, channels, height, width)
    signs = generator.integers(0, 2, shape) * 2.0 - 1
    order = generator.permutation(signs.size).reshape(shape)
    kept = order < max(1, round(share * signs.size))
    return mask(torch.from_numpy(kept).float()) @ ScrambledHartley(torch.from_numpy(signs).float())


def _hartley(x: Tensor) -> Tensor:
    transform = torch.fft.fft2(x, norm="ortho")
    return transform.real - transform.imag
