"""Linear operators on pictures: what an observation y = A x sees of a picture x.

    A(x)           the observation, zero in the components that are not observed
    A.adjoint(y)   A^T y
    A.pinv(y)      A^+ y, the smallest picture that is observed as y
    A.ridge(y, l)  A^T (A A^T + l I)^-1 y, which is A^+ y without noise
    A.replace(x, y)  x with its observed components replaced by those of y
    A.windows(boxes, samples)  the same operator seen through crops of the picture
    (A @ B)(x)     A(B(x)): several observations of one picture are one composed operator

Pictures are (B, C, H, W); operators hold tensors of a batch of 1 (shared) or B, and follow the picture's
device and dtype.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.imaging.colour import colour_basis
from scoreinv.prior import Box

_ITERATIONS = 200
"""Of conjugate gradients, at most."""


class LinearOperator(ABC):
    """A linear map A from pictures to observations."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A x."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""

    @abstractmethod
    def pinv(self, y: Tensor) -> Tensor:
        """A^+ y, the Moore-Penrose pseudo-inverse."""

    def ridge(self, y: Tensor, level: float | Tensor) -> Tensor:
        """A^T (A A^T + level I)^-1 y, the x that minimises |y - A x|^2 + level |x|^2, by conjugate gradients.

        level: at least 0, a number or (B,); at 0 what has singular values close to 0 is not reached.
        """
        residual, slope = y, self.adjoint(y)
        level = torch.as_tensor(level).to(slope).reshape(-1, *[1] * (slope.ndim - 1))
        x, direction, size = torch.zeros_like(slope), slope, _dot(slope, slope)
        tiny, enough = torch.finfo(y.dtype).tiny, size * torch.finfo(y.dtype).eps ** 1.5
        for _ in range(_ITERATIONS):
            if (size <= enough).all():
                break
            image = self(direction)
            step = size / (_dot(image, image) + level * _dot(direction, direction)).clamp_min(tiny)
            x, residual = x + step * direction, residual - step * image
            slope = self.adjoint(residual) - level * x
            before, size = size, _dot(slope, slope)
            direction = slope + size / before.clamp_min(tiny) * direction
        return x

    @abstractmethod
    def windows(self, boxes: Sequence[Box], samples: int) -> LinearOperator:
        """The operator over a batch of crops of one size (top, left, height, width): `samples` of each box in turn."""

    @abstractmethod
    def rows(self, index: Tensor) -> LinearOperator:
        """The operator over the samples `index` (A,) of the batch."""

    def replace(self, x: Tensor, y: Tensor) -> Tensor:
        """x - A^+ A x + A^+ y: the picture x with its observed components replaced by the observation y."""
        # In this order observed pixels of a mask come out as the observation bit for bit: x - x + y.
        return x - self.pinv(self(x)) + self.pinv(y)

    def __matmul__(self, inner: LinearOperator) -> LinearOperator:
        return Composed(self, inner)


@dataclass(frozen=True)
class Composed(LinearOperator):
    """outer after inner: A x = outer(inner(x)).

    `pinv` is inner^+ outer^+, which is A^+ when `inner` is orthogonal (a change of basis) or `outer` has independent
    columns.
    """

    outer: LinearOperator
    inner: LinearOperator

    def __call__(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))

    def pinv(self, y: Tensor) -> Tensor:
        return self.inner.pinv(self.outer.pinv(y))

    def windows(self, boxes: Sequence[Box], samples: int) -> LinearOperator:
        return Composed(self.outer.windows(boxes, samples), self.inner.windows(boxes, samples))

    def rows(self, index: Tensor) -> LinearOperator:
        return Composed(self.outer.rows(index), self.inner.rows(index))


@dataclass(frozen=True, eq=False)
class ObservedComponents(LinearOperator):
    """Some components of each pixel's colour in an orthonormal basis: y = M R x (Song et al. 2021, appendix I.2, I.3).

    R rotates each colour into the basis and M keeps the observed components, so A A^T = M is a projection and the
    pseudo-inverse is the adjoint, R^T M y.

    Attributes:
        observed: M, 0 or 1, (1 or B, 1 or C, H, W); 1 = observed.
        basis: R, (C, C) with orthonormal rows, the axes; None is the colour channels themselves.
    """

    observed: Tensor
    basis: Tensor | None = None

    def __post_init__(self) -> None:
        if self.observed.ndim != 4:
            raise InputError(f"observed must have shape (B, C, H, W), not {tuple(self.observed.shape)}")
        if not ((self.observed == 0) | (self.observed == 1)).all():
            raise InputError("observed must be 0 or 1 everywhere")
        if self.basis is not None:
            gram = (self.basis @ self.basis.T).double()
            if not torch.allclose(gram, torch.eye(len(gram), dtype=gram.dtype, device=gram.device), atol=1e-5):
                raise InputError("the rows of the basis must be orthonormal")

    def __call__(self, x: Tensor) -> Tensor:
        return self.observed.to(x) * self._rotate(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._rotate_back(self.observed.to(y) * y)

    def pinv(self, y: Tensor) -> Tensor:
        return self.adjoint(y)

    def windows(self, boxes: Sequence[Box], samples: int) -> ObservedComponents:
        return ObservedComponents(crops(self.observed, boxes, samples), self.basis)

    def rows(self, index: Tensor) -> ObservedComponents:
        return ObservedComponents(select(self.observed, index), self.basis)

    def _rotate(self, x: Tensor) -> Tensor:
        return x if self.basis is None else torch.einsum("kc,bchw->bkhw", self.basis.to(x), x)

    def _rotate_back(self, y: Tensor) -> Tensor:
        return y if self.basis is None else torch.einsum("kc,bkhw->bchw", self.basis.to(y), y)


def mask(observed: Tensor) -> ObservedComponents:
    """Inpainting: `observed` (1 or B, 1 or C, H, W), 1 = observed, 0 = hole."""
    return ObservedComponents(observed)


def gray(weights: str, height: int, width: int) -> ObservedComponents:
    """Colorization: of each pixel the grey direction is observed, the first axis w/|w| of the colour basis.

    `weights` names the grey weights w ("rec601", "average", "rec709"). The observation of any picture with luma
    w.x = g is (g/|w|, 0, 0); the grey picture (g, g, g) is one of them.
    """
    return gray_and_hints(weights, torch.zeros(1, 1, height, width))


def gray_and_hints(weights: str, hinted: Tensor) -> ObservedComponents:
    """Colorization with hints: luma everywhere, chroma where `hinted` (1 or B, 1, H, W), 0 or 1."""
    observed = torch.cat([torch.ones_like(hinted), hinted, hinted], dim=1)
    return ObservedComponents(observed, torch.from_numpy(colour_basis(weights)))


def crop(picture: Tensor, box: Box) -> Tensor:
    """The window (top, left, height, width) of (..., H, W); what lies beyond the last row or column continues it."""
    top, left, height, width = box
    window = picture[..., top : top + height, left : left + width]
    if window.shape[-2:] == (height, width):
        return window
    rows = torch.arange(height, device=picture.device).clamp(max=window.shape[-2] - 1)
    columns = torch.arange(width, device=picture.device).clamp(max=window.shape[-1] - 1)
    return window[..., rows[:, None], columns]


def crops(batch: Tensor, boxes: Sequence[Box], samples: int) -> Tensor:
    """Windows of one size of a batch of `samples`, or of one that all share: those of each box in turn."""
    return torch.cat([crop(batch, box).expand(samples, *[-1] * (batch.ndim - 1)) for box in boxes])


def select(batch: Tensor, index: Tensor) -> Tensor:
    """The rows `index` of a batch; a batch of one is shared by all samples and stays as it is."""
    return batch if len(batch) == 1 else batch[index.to(batch.device)]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each sample, (B, 1, 1, 1)."""
    return (a * b).flatten(1).sum(1).reshape(-1, *[1] * (a.ndim - 1))
