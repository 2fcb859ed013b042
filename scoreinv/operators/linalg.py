"""Krylov solvers for batches of linear systems."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoreinv.system.part_progress import report


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
        iterations: largest number of iterations.
        dims: axes of one system; the other axes count independent systems.
        tolerance: relative tolerance on the squared residual norm; the iterations end when all systems reach it.
    """
    tiny = torch.finfo(residual.dtype).tiny
    direction, rr = residual, residual.square().sum(dims, keepdim=True)
    enough = tolerance * rr
    for _ in range(iterations):
        if (rr <= enough).all():
            break
        report()
        product = matvec(direction)
        curvature = (direction * product).sum(dims, keepdim=True)
        length = torch.where(curvature > 0, rr / curvature.clamp_min(tiny), 0)  # rounding can make it negative
        x = torch.addcmul(x, length, direction)
        residual = torch.addcmul(residual, length, product, value=-1)
        before, rr = rr, residual.square().sum(dims, keepdim=True)
        direction = torch.addcmul(residual, rr / before.clamp_min(tiny), direction)
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
    earlier: list[tuple[Tensor, Tensor, Tensor]] = []  # directions p, products A p orthogonal to each other, |A p|^2
    for _ in range(iterations):
        report()
        product = matvec(direction)
        whole = dot(product, product)
        for p, image, square in earlier:
            along = dot(product, image) / square
            direction = torch.addcmul(direction, along, p, value=-1)
            product = torch.addcmul(product, along, image, value=-1)
        square = dot(product, product)
        # Once the space is exhausted only rounding is left; an infinite norm stops the system there.
        square = torch.where(square > rounding * whole, square, math.inf)
        length = dot(residual, product) / square
        x = torch.addcmul(x, length, direction)
        residual = torch.addcmul(residual, length, product, value=-1)
        earlier.append((direction, product, square))
        direction = product / square
    return x
