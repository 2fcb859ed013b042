"""Operators on rows and columns apart: downsampling with antialiasing, up to the borders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scoreinv.boxes import Box
from scoreinv.errors import InputError
from scoreinv.operators.base import SpectralOperator, crops
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

    def observed_boxes(self, boxes: Sequence[Box]) -> list[Box]:
        down, across = self._steps
        return [
            (top // down, left // across, -(-height // down) + 1, -(-width // across) + 1)
            for top, left, height, width in boxes
        ]

    def windows(self, boxes: Sequence[Box], samples: int) -> Separable:
        """The observed values that depend on the window alone; InputError if there are none."""
        rows, columns = self._parts(boxes, samples)
        if not (rows.any() and columns.any()):
            _, _, height, width = boxes[0]
            raise InputError(f"windows of {width}x{height} are too small: no observed value depends on one alone")
        return Separable(rows, columns)

    def seen(self, y: Tensor, boxes: Sequence[Box], samples: int) -> Tensor:
        rows, columns = ((part != 0).any(2).to(y) for part in self._parts(boxes, samples))
        return crops(y, self.observed_boxes(boxes), samples) * rows[:, None, :, None] * columns[:, None, None, :]

    @property
    def _steps(self) -> tuple[int, int]:
        """Pixels of the picture for one of the observation, down and across."""
        down, across = (
            matrix.shape[2] // matrix.shape[1] if matrix.shape[2] % matrix.shape[1] == 0 else 0
            for matrix in (self.vertical, self.horizontal)
        )
        if not down or not across:
            raise InputError("only downsampling by a whole factor can be seen through windows")
        return down, across

    def _parts(self, boxes: Sequence[Box], samples: int) -> tuple[Tensor, Tensor]:
        observed = self.observed_boxes(boxes)
        rows = [_part(self.vertical, o[0], o[2], b[0], b[2]) for o, b in zip(observed, boxes, strict=True)]
        columns = [_part(self.horizontal, o[1], o[3], b[1], b[3]) for o, b in zip(observed, boxes, strict=True)]

        def together(parts: list[Tensor]) -> Tensor:
            return torch.cat([part.expand(samples, -1, -1) for part in parts])

        return together(rows), together(columns)


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


def _part(matrix: Tensor, first: int, count: int, start: int, size: int) -> Tensor:
    """Rows first .. first + count over columns start .. start + size, 0 in rows with weight beyond, or past the end."""
    rows = matrix[:, first : first + count]
    inside = rows[..., start : start + size]
    whole = (rows != 0).sum(2, keepdim=True) == (inside != 0).sum(2, keepdim=True)
    part = matrix.new_zeros(len(matrix), count, size)
    part[:, : inside.shape[1], : inside.shape[2]] = whole * inside
    return part
