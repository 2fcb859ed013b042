"""Downsampling: block means, and separable operators on rows and columns with antialiasing, including the borders."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.operators.base import RANK_TOLERANCE, SpectralOperator
from scoreinv.system.errors import InputError
from scoreinv.system.options import Whole, check
from scoreinv.system.progress import report


@dataclass(frozen=True, eq=False, repr=False)
class Separable(SpectralOperator):
    """Y = P X Q^T of each channel: P acts on each column of pixels, Q on each row.

    With P = U_P S_P V_P^T, and Q likewise, the spectrum is V_P^T X V_Q; its singular values are the products of both.

    Attributes:
        vertical: P, (1 or B, m, H).
        horizontal: Q, (1 or B, n, W).
    """

    vertical: Tensor
    horizontal: Tensor

    @cached_property
    def _p(self) -> _SVD:
        return _svd(self.vertical)

    @cached_property
    def _q(self) -> _SVD:
        return _svd(self.horizontal)

    @cached_property
    def singular(self) -> Tensor:
        return self._p.s[:, None, :, None] * self._q.s[:, None, None, :]

    def __call__(self, x: Tensor) -> Tensor:
        return _between(self.vertical, x, self.horizontal.mT)

    def adjoint(self, y: Tensor) -> Tensor:
        return _between(self.vertical.mT, y, self.horizontal)

    def analyse(self, x: Tensor) -> Tensor:
        return _between(self._p.vt, x, self._q.vt.mT)

    def synthesise(self, spectrum: Tensor) -> Tensor:
        return _between(self._p.vt.mT, spectrum, self._q.vt)

    def analyse_observation(self, y: Tensor) -> Tensor:
        return _between(self._p.u.mT, y, self._q.u)


@dataclass(frozen=True)
class BlockMeans(SpectralOperator):
    """The means of blocks of factor x factor pixels; the singular values are 1 / factor."""

    factor: int

    @property
    def singular(self) -> Tensor:
        return torch.full((1, 1, 1, 1), 1 / self.factor, dtype=torch.float64)

    def __call__(self, x: Tensor) -> Tensor:
        report()
        return F.avg_pool2d(x, self.factor)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.synthesise(y) / self.factor

    def analyse(self, x: Tensor) -> Tensor:
        return self.factor * self(x)

    def synthesise(self, spectrum: Tensor) -> Tensor:
        return F.interpolate(spectrum / self.factor, scale_factor=self.factor, mode="nearest")


def downsampling(factor: int, height: int, width: int, kind: str = "area") -> SpectralOperator:
    """Return the operator that reduces pictures of height x width by an integer factor.

    Args:
        factor: divides both sides.
        kind: `area`, the mean of each block of factor x factor pixels; or `bicubic`, Keys' cubic (a = -0.5) stretched
            by the factor for antialiasing, with weights renormalised at the borders, as in Pillow.

    Raises:
        InputError: an unknown kind, or a factor that does not divide the sides.
    """
    check("kind", kind, ("area", "bicubic"))
    check("factor", factor, Whole(1))
    if height % factor or width % factor:
        raise InputError(f"the sides of the large picture must be multiples of {factor}, not {width}x{height}")
    if kind == "area":
        return BlockMeans(factor)

    def reduction(side: int) -> Tensor:
        """Return the matrix (1, side / factor, side), from the reductions of the unit vectors."""
        units, size = torch.eye(side, dtype=torch.float64)[None, None], (side // factor, side)
        return F.interpolate(units, size, mode="bicubic", antialias=True)[0]

    return Separable(reduction(height), reduction(width))


class _SVD(NamedTuple):
    """The singular value decomposition of a matrix (B, m, H): U (B, m, k), s (B, k), V^T (B, k, H), k = min(m, H)."""

    u: Tensor
    s: Tensor
    vt: Tensor


def _svd(matrix: Tensor) -> _SVD:
    """Return the decomposition of a matrix (B, m, H), in float64 on the CPU.

    Uses the eigenvalues s^2 of the smaller Gram matrix. For 1512 x 3024 values this takes a hundredth of the time of
    torch's SVD. The rows of V^T (if m > H, the columns of U) are 0 for singular values that count as 0.
    """
    matrix = matrix.detach().cpu().double()
    if matrix.shape[-2] > matrix.shape[-1]:
        transposed = _svd(matrix.mT)
        return _SVD(transposed.vt.mT, transposed.s, transposed.u.mT)
    gram = matrix @ matrix.mT
    report()
    squares, u = torch.linalg.eigh(gram)
    scaled_vt = u.mT @ matrix
    s = squares.clamp_min(0).sqrt()
    nonzero = s > RANK_TOLERANCE * s.amax(-1, keepdim=True)
    inverse = torch.where(nonzero, 1 / torch.where(nonzero, s, 1), 0)
    return _SVD(u, torch.where(nonzero, s, 0), inverse[..., None] * scaled_vt)


def _between(left: Tensor, x: Tensor, right: Tensor) -> Tensor:
    """Return left x right for each channel, with matrices (B, ., .). Report before each: a large one takes a second."""
    left, right, planes = left.to(x), right.to(x), []
    for plane in x.unbind(1):
        report()
        planes.append(left @ plane @ right)
    return torch.stack(planes, 1)
