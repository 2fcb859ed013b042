"""Operators on rows and columns apart: downsampling with antialiasing, up to the borders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.operators.base import SpectralOperator
from scoreinv.operators.blur import check_factor


@dataclass(frozen=True, eq=False, repr=False)
class Separable(SpectralOperator):
    """Y = P X Q^T of each channel: P acts on each column of pixels, Q on each row.

    With P = U_P S_P V_P^T and Q alike, the spectrum is V_P^T X V_Q and the singular values the products of both's.

    Attributes:
        vertical: P, (1 or B, m, H).
        horizontal: Q, (1 or B, n, W).
    """

    vertical: Tensor
    horizontal: Tensor

    def __post_init__(self) -> None:
        for matrix in (self.vertical, self.horizontal):
            if matrix.ndim != 3 or not matrix.isfinite().all():
                raise InputError(f"the matrices must be finite, of shape (B, m, H), not {tuple(matrix.shape)}")

    @cached_property
    def _down(self) -> tuple[Tensor, Tensor, Tensor]:
        return _svd(self.vertical)

    @cached_property
    def _across(self) -> tuple[Tensor, Tensor, Tensor]:
        return _svd(self.horizontal)

    @cached_property
    def singular(self) -> Tensor:
        return self._down[1][:, None, :, None] * self._across[1][:, None, None, :]

    def __call__(self, x: Tensor) -> Tensor:
        return _between(self.vertical, x, self.horizontal.mT)

    def adjoint(self, y: Tensor) -> Tensor:
        return _between(self.vertical.mT, y, self.horizontal)

    def analyse(self, x: Tensor) -> Tensor:
        return _between(self._down[2], x, self._across[2].mT)

    def synthesise(self, spectrum: Tensor) -> Tensor:
        return _between(self._down[2].mT, spectrum, self._across[2])

    def analyse_observation(self, y: Tensor) -> Tensor:
        return _between(self._down[0].mT, y, self._across[0])

    def synthesise_observation(self, spectrum: Tensor) -> Tensor:
        return _between(self._down[0], spectrum, self._across[0].mT)


def downsampling(factor: int, height: int, width: int, kind: str = "area") -> Separable:
    """Pictures of height x width reduced by a whole factor; their sides are multiples of it.

    Args:
        kind: `area`, the mean of each block of factor x factor pixels; or `bicubic`, Keys' cubic (a = -0.5) stretched
            by the factor, which antialiases, its weights divided by their sum at the borders: as Pillow does.

    Raises:
        InputError: an unknown kind, or a factor that does not divide the sides.
    """
    check_factor(factor, height, width)
    if kind not in _FILTERS:
        raise InputError(f"unknown kind of downsampling {kind!r}: choose {' or '.join(_FILTERS)}")
    response, reach = _FILTERS[kind]
    return Separable(*(_reduction(side, factor, response, reach)[None] for side in (height, width)))


def _reduction(side: int, factor: int, response: Callable[[Tensor], Tensor], reach: float) -> Tensor:
    """(side / factor, side), float64: row i weighs pixel j by response((j + 1/2) / factor - (i + 1/2))."""
    centres = torch.arange(side // factor, dtype=torch.float64) + 0.5
    places = (torch.arange(side, dtype=torch.float64) + 0.5) / factor
    distance = (places - centres[:, None]).abs()
    weights = torch.where(distance < reach, response(distance), 0)
    return weights / weights.sum(1, keepdim=True)


def _cubic(distance: Tensor) -> Tensor:
    """Keys' cubic of a = -1/2 (Keys 1981), for distances below 2."""
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return torch.where(distance < 1, near, far)


_FILTERS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "area": (torch.ones_like, 0.5),
    "bicubic": (_cubic, 2.0),
}
"""Weight by distance, in pixels of the small picture, and how far it reaches."""


def _svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U (B, m, k), s (B, k), V^T (B, k, H) in float64 on the CPU."""
    return tuple(torch.linalg.svd(matrix.detach().cpu().double(), full_matrices=False))


def _between(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """left x right of each channel, for matrices (B, ., .)."""
    return left.to(x)[:, None] @ x @ right.to(x)[:, None]
