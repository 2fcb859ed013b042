"""The base classes of operators: differentiable, linear, with a singular value decomposition, composed, and weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass

import torch
from torch import Tensor

from scoreinv.operators.linalg import conjugate_gradients
from scoreinv.system.errors import InputError
from scoreinv.system.progress import report
from scoreinv.system.text import one_line

RANK_TOLERANCE = 1e-6
"""Singular values below this fraction of the largest of a batch element count as 0 (the resolution of float32)."""

_ADJOINT_TOLERANCE = 0.01
"""Relative tolerance between <A x, y> and <x, A^T y>; interpolating transforms need about this much."""


class Operator(ABC):
    """A differentiable map A from pictures to observations; its derivative at a picture is a linear operator."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Return A(x)."""

    @abstractmethod
    def linearised(self, x: Tensor) -> tuple[Tensor, LinearOperator]:
        """Return A(x) and the derivative of A at the picture x."""

    def in_range(self, low: float, high: float) -> Operator:
        """Return the same map for pictures and observations with black at `low` and white at `high`."""
        return self

    def picture_like(self, y: Tensor) -> Tensor:
        """Return a picture of the shape that belongs to the observation y."""
        return torch.zeros_like(y)

    def weighted(self, weights: Tensor) -> Operator:
        """Return the map x -> w A(x), for weights w of the observation; raise InputError if it is not supported."""
        raise InputError(f"{type(self).__name__} takes no weights: give one noise_std for the whole observation")

    def spectral(self) -> SpectralOperator:
        """Return the operator with its singular value decomposition; raise InputError if it has no closed form."""
        raise InputError(
            f"{type(self).__name__} has no singular value decomposition in closed form: choose another method"
        )

    def replace(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the picture x with its observed components replaced by the observation y, to first order."""
        value, derivative = self.linearised(x)
        return x + derivative.pinv(y - value)

    def __repr__(self) -> str:
        return one_line(self) if is_dataclass(self) else f"{type(self).__name__}()"


class LinearOperator(Operator):
    """A linear map A from pictures to observations.

    A subclass defines `__call__` and `adjoint`, and `pinv` if it has a faster one than conjugate gradients.
    """

    iterations: int = 200
    """Maximum number of conjugate gradient iterations in `ridge` and `pinv`."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """Return A^T y."""

    def linearised(self, x: Tensor) -> tuple[Tensor, LinearOperator]:
        return self(x), self

    def picture_like(self, y: Tensor) -> Tensor:
        return self.adjoint(y)

    def weighted(self, weights: Tensor) -> LinearOperator:
        return Weighting(weights) @ self

    def pinv(self, y: Tensor) -> Tensor:
        """Return A^+ y, with the Moore-Penrose pseudo-inverse."""
        return self.ridge(y, 0.0)

    def ridge(self, y: Tensor, level: float | Tensor) -> Tensor:
        """Return A^T (A A^T + level I)^-1 y, the x that minimises |y - A x|^2 + level |x|^2; at level 0 A^+ y.

        Runs conjugate gradients on (A^T A + level I) x = A^T y; `SpectralOperator` uses the closed form. Components
        whose squared singular value is below about the level converge last; at level 0 the smallest never do.

        Args:
            level: at least 0; a number or (B,).
        """
        aim = self.adjoint(y)
        level, tolerance = _column(level, aim), torch.finfo(aim.dtype).eps ** 1.5
        return conjugate_gradients(
            lambda x: self.adjoint(self(x)) + level * x,
            torch.zeros_like(aim),
            aim,
            self.iterations,
            tolerance=tolerance,
        )

    def replace(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x - A^+ A x + A^+ y: the picture x with its observed components replaced by the observation y."""
        # The order keeps observed pixels of a mask bit-identical to y: x - x + y.
        return x - self.pinv(self(x)) + self.pinv(y)

    def __matmul__(self, inner: LinearOperator) -> LinearOperator:
        return Composed(self, inner)


class SpectralOperator(LinearOperator):
    """A = U diag(s) V^T, s >= 0: an operator whose singular value decomposition is a fast transform.

    Spectra have any shape (B, ...) and may be complex. A component with s = 0 is not observed, nor is any part of x
    outside the row space of V^T.
    """

    @property
    @abstractmethod
    def singular(self) -> Tensor:
        """s, (1 or B, ...), in a shape that multiplies spectra, on the operator's own device."""

    @abstractmethod
    def analyse(self, x: Tensor) -> Tensor:
        """Return V^T x."""

    @abstractmethod
    def synthesise(self, spectrum: Tensor) -> Tensor:
        """Return V spectrum."""

    def analyse_observation(self, y: Tensor) -> Tensor:
        """Return U^T y; by default U is the identity."""
        return y

    def ridge(self, y: Tensor, level: float | Tensor) -> Tensor:
        return self.synthesise(scaled(damped_inverse(self.singular, level), self.analyse_observation(y)))

    def spectral(self) -> SpectralOperator:
        return self


@dataclass(frozen=True, eq=False, repr=False)
class Weighting(SpectralOperator):
    """y = w x for each component. Before an operator A it weights the data: |w (y - A x)|^2 for `Weighting(w) @ A`.

    Attributes:
        weights: w, at least 0, (1 or B, 1 or C, H, W).
    """

    weights: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.weights.to(x) * x

    def adjoint(self, y: Tensor) -> Tensor:
        return self(y)

    @property
    def singular(self) -> Tensor:
        return self.weights

    def analyse(self, x: Tensor) -> Tensor:
        return x

    def synthesise(self, spectrum: Tensor) -> Tensor:
        return spectrum


@dataclass(frozen=True, repr=False)
class Composed(LinearOperator):
    """The composition A x = outer(inner(x)).

    Attributes:
        iterations: maximum number of conjugate gradient iterations. A few are enough for methods that correct an
            estimate at every step, since each solve continues the previous one.
    """

    outer: LinearOperator
    inner: LinearOperator
    iterations: int = LinearOperator.iterations

    def __call__(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))


def observation_like(y: Tensor, predicted: Tensor) -> Tensor:
    """Return the observation y, (1 or B, ...), in the dtype and on the device of A(x), (B, ...).

    Raises InputError if their shapes do not fit.
    """
    if y.shape[1:] != predicted.shape[1:] or len(y) not in (1, len(predicted)):
        raise InputError(f"the observation has shape {tuple(y.shape)}, and A(x) has {tuple(predicted.shape)}")
    return y.to(predicted)


def check_adjoint(operator: LinearOperator, like: Tensor) -> None:
    """Raise InputError unless <A x, y> = <x, A^T y> for a random x and y = A x, and for a random y and x = A^T y.

    The check finds an adjoint with a wrong scale, orientation, shift or boundary, an adjoint that is not 0 for
    observations orthogonal to the range of A, and an A that is not linear. `like` has the shape of x.
    """
    generator = torch.Generator().manual_seed(0)
    first = _probe(like, generator)
    second = _probe(operator(first), generator)
    for x, y in ((first, operator(first)), (operator.adjoint(second), second)):
        forward, backward = _product(operator(x), y), _product(x, operator.adjoint(y))
        if not abs(forward - backward) <= _ADJOINT_TOLERANCE * max(abs(forward), abs(backward)):
            raise InputError(
                f"{type(operator).__name__}.adjoint is not the adjoint of a linear A: <A x, y> is {forward:.6g}, but "
                f"<x, A^T y> is {backward:.6g}"
            )


def _probe(like: Tensor, generator: torch.Generator) -> Tensor:
    """Return random values with as much energy on the border as inside, since some adjoints are wrong only there."""
    height, width = like.shape[-2:]
    inside = max(0, height - 2) * max(0, width - 2)
    scale = torch.full((height, width), max(1.0, inside / (height * width - inside)) ** 0.5)
    scale[1:-1, 1:-1] = 1
    return (scale * torch.randn(like.shape, generator=generator)).to(like)


def _product(a: Tensor, b: Tensor) -> float:
    """Return the inner product <a, b>, summed in float64."""
    return float((a.cpu().double() * b.cpu().double()).sum())


def in_rank(singular: Tensor) -> Tensor:
    """Return which singular values (1 or B, ...) count as nonzero in their batch element."""
    largest = singular.flatten(1).amax(1)
    return singular > RANK_TOLERANCE * _column(largest, singular)


def damped_inverse(singular: Tensor, level: float | Tensor) -> Tensor:
    """Return s / (s^2 + level), or 0 if s counts as zero.

    Args:
        singular: s, (1 or B, ...).
        level: at least 0; a number or (B,).
    """
    singular = singular if singular.device.type == "mps" else singular.double()
    inverse = singular / (singular.square() + _column(level, singular))
    return torch.where(in_rank(singular), inverse, 0)


def scaled(factor: Tensor, spectrum: Tensor) -> Tensor:
    """Return a real factor times a spectrum, in the spectrum's precision and on its device."""
    return factor.to(spectrum.device, spectrum.real.dtype) * spectrum


def _column(values: float | Tensor, like: Tensor) -> Tensor:
    """Return a number or (B,) in the dtype and on the device of a real tensor (B, ...), shaped to multiply it."""
    return torch.as_tensor(values).to(like).reshape(-1, *[1] * (like.ndim - 1))


def by_channel(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Apply a function to channels (B, 1, ...) one by one; report before each, since a large one can take a second."""
    channels = []
    for channel in values.split(1, 1):
        report()
        channels.append(function(channel))
    return torch.cat(channels, 1)
