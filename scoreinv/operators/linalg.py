"""Conjugate gradients on many systems at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scoreinv.system.reporting import report


def conjugate_gradients(
    image: Callable[[Tensor], Tensor],
    x: Tensor,
    residual: Tensor,
    iterations: int,
    *,
    dims: tuple[int, ...] = (1, 2, 3),
    tolerance: float = 0.0,
) -> Tensor:
    """Solve image(x) = b from x on, whose residual is b - image(x) (Hestenes and Stiefel 1952).

    Args:
        image: linear, symmetric and positive semidefinite; where it is not, as an estimated Jacobian need not be, a
            direction in which it is negative is not followed.
        iterations: at most.
        dims: over which each system extends; the others count systems that are solved each by itself.
        tolerance: the iterations end when all |residual|^2 are at most this share of what they were.
    """
    tiny = torch.finfo(residual.dtype).tiny
    direction, size = residual, residual.square().sum(dims, keepdim=True)
    enough = tolerance * size
    for _ in range(iterations):
        if (size <= enough).all():
            break
        report()
        moved = image(direction)
        curvature = (direction * moved).sum(dims, keepdim=True)
        length = torch.where(curvature > 0, size / curvature.clamp_min(tiny), 0)
        x = torch.addcmul(x, length, direction)
        residual = torch.addcmul(residual, length, moved, value=-1)
        before, size = size, residual.square().sum(dims, keepdim=True)
        direction = torch.addcmul(residual, size / before.clamp_min(tiny), direction)
    return x
