"""Krylov solvers for batches of linear systems."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoreinv.system.progress import report


def conjugate_gradients(
    matvec: Callable[[Tensor], Tensor],
    x: Tensor,
    residual: Tensor,
    iterations: int,
    *,
    dims: tuple[int, ...] = (1, 2, 3),
    tolerance: float = 0.0,
) -> Tensor:
    """Solve A x = b by conjugate gradients (Hestenes and Stiefel 1952).

    Args:
        matvec: v -> A v, for a symmetric positive semidefinite A; `gmres` accepts any A.
        x: initial solution.
        residual: b - A x.
        iterations: maximum number of iterations.
        dims: axes of one system; the other axes count independent systems.
        tolerance: relative tolerance on the squared residual norm; a system that reaches it keeps its solution.
    """
    tiny = torch.finfo(residual.dtype).tiny
    direction, rr = residual, residual.square().sum(dims, keepdim=True)
    target = tolerance * rr
    for k in range(iterations):
        active = rr > target
        if not active.any():
            break
        report(k / iterations)
        Ap = matvec(direction)
        curvature = (direction * Ap).sum(dims, keepdim=True)
        # Rounding can make the curvature negative.
        step = torch.where(active & (curvature > 0), rr / curvature.clamp_min(tiny), 0)
        x = torch.addcmul(x, step, direction)
        residual = torch.addcmul(residual, step, Ap, value=-1)
        previous_rr, rr = rr, residual.square().sum(dims, keepdim=True)
        direction = torch.addcmul(residual, rr / previous_rr.clamp_min(tiny), direction)
    return x


def gmres(matvec: Callable[[Tensor], Tensor], b: Tensor, iterations: int) -> Tensor:
    """Minimise |b - A x| over the Krylov space of A and b, by GMRES (Saad and Schultz 1986).

    A need be neither symmetric nor definite, and no iteration enlarges the residual. For a symmetric A this is MINRES.
    Each iteration takes one matvec and keeps two tensors of the shape of b.

    Args:
        matvec: v -> A v.
        b: (B, C, H, W), an independent system for each sample.
        iterations: number of iterations, at least 1.
    """

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (u * v).sum((1, 2, 3), keepdim=True)

    rounding = torch.finfo(b.dtype).eps ** 1.5
    x, residual, direction = torch.zeros_like(b), b, b
    history: list[tuple[Tensor, Tensor, Tensor]] = []  # p, A p and |A p|^2, with all A p orthogonal to each other
    for _ in range(iterations):
        report()
        product = matvec(direction)
        before = dot(product, product)
        for p, Ap, square in history:  # Gram-Schmidt
            projection = dot(product, Ap) / square
            direction = torch.addcmul(direction, projection, p, value=-1)
            product = torch.addcmul(product, projection, Ap, value=-1)
        square = dot(product, product)
        # Only rounding is left once the space is exhausted: with an infinite norm, the step of this system is 0.
        square = torch.where(square > rounding * before, square, math.inf)
        step = dot(residual, product) / square
        x = torch.addcmul(x, step, direction)
        residual = torch.addcmul(residual, step, product, value=-1)
        history.append((direction, product, square))
        direction = product / square
    return x
