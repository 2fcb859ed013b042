"""Operators on each pixel's colour: masks, grey pictures, rotations of colour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from scoreinv.operators.base import SpectralOperator
from scoreinv.operators.luma import colour_basis
from scoreinv.system.options import require


@dataclass(frozen=True, eq=False, repr=False)
class ObservedComponents(SpectralOperator):
    """Components of each pixel's colour in an orthonormal basis: y = M R x (Song et al. 2021, appendix I.2, I.3).

    R rotates each colour into the basis and M keeps the observed components. So A A^T = M is a projection, and the
    pseudo-inverse is the adjoint, R^T M y. The singular values are M, for the spectrum R x.

    Attributes:
        observed: M, 0 or 1, (1 or B, 1 or C, H, W); 1 = observed.
        basis: R, (C, C) with orthonormal rows, the axes. None: the colour channels.
    """

    observed: Tensor
    basis: Tensor | None = None

    def __post_init__(self) -> None:
        observed, basis = self.observed, self.basis
        require(observed.ndim == 4, f"observed must have shape (B, C, H, W), not {tuple(observed.shape)}")
        require(bool(((observed == 0) | (observed == 1)).all()), "observed must be 0 or 1 everywhere")
        if basis is not None:
            square = basis.ndim == 2 and len(basis) == basis.shape[1]
            require(square, f"the basis must be a square matrix, not {tuple(basis.shape)}")
            rows = basis.cpu().double()
            orthonormal = torch.allclose(rows @ rows.T, torch.eye(len(rows), dtype=rows.dtype), atol=1e-5)
            require(orthonormal, "the rows of the basis must be orthonormal")

    def __call__(self, x: Tensor) -> Tensor:
        return self.observed.to(x) * self.analyse(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.synthesise(self.observed.to(y) * y)

    pinv = adjoint

    @cached_property
    def singular(self) -> Tensor:
        return self.observed.to(torch.promote_types(self.observed.dtype, torch.float32))

    def analyse(self, x: Tensor) -> Tensor:
        return rotated(x, self.basis)

    def synthesise(self, spectrum: Tensor) -> Tensor:
        return rotated(spectrum, None if self.basis is None else self.basis.T)


def rotated(x: Tensor, basis: Tensor | None) -> Tensor:
    """Rotate colours (B, C, H, W) into an orthonormal basis with the axes as rows; the transpose rotates them back."""
    if basis is None:
        return x
    with torch.autocast(x.device.type, enabled=False):  # bfloat16 would lose the picture in large noise
        return torch.einsum("kc,bchw->bkhw", basis.to(x), x)


def mask(observed: Tensor) -> ObservedComponents:
    """Return the operator of inpainting: `observed` (1 or B, 1 or C, H, W), 1 = observed, 0 = hole."""
    return ObservedComponents(observed)


def gray(weights: str, height: int, width: int) -> ObservedComponents:
    """Return the operator of colorization: it observes the grey direction, the first axis w/|w| of the colour basis.

    `weights` names the grey weights w ("rec601", "average", "rec709"). The observation of any picture with luma
    w.x = g is (g/|w|, 0, 0), the same as of the grey picture (g, g, g).
    """
    return gray_and_hints(weights, torch.zeros(1, 1, height, width))


def gray_and_hints(weights: str, hinted: Tensor) -> ObservedComponents:
    """Return the operator of colorization with hints: luma everywhere, chroma where `hinted` (1 or B, 1, H, W) is 1."""
    observed = torch.cat([torch.ones_like(hinted), hinted, hinted], dim=1)
    return ObservedComponents(observed, torch.from_numpy(colour_basis(weights)))
