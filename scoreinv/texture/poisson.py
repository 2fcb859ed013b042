"""Poisson blending: combine pieces of a picture without steps of light between them.

A smooth correction u is added to the fill of a hole. Its target change between adjacent pixels p and q is t_pq,
which is 0 within a piece. Beside known pixels it should equal the mismatch m of the piece:

    minimise  sum_pq |u_p - u_q - t_pq|^2 + sum_rim |u_p - m_p|^2,

Poisson's equation on the hole (Perez, Gangnet and Blake 2003). The changes t are differences of patch means, because
differences of single pixels would remove the grain from areas of many small pieces.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.operators.linalg import conjugate_gradients

_STEPS = 100  # maximum number of iterations: enough for seams, because the start is right at large scales
_TOLERANCE = 1e-6  # relative tolerance of the residual norm


def poisson_correction(start: Tensor, hole: Tensor, down: Tensor, across: Tensor, rim: Tensor, known: Tensor) -> Tensor:
    """Return the correction u, (C, H, W), 0 outside the hole, by conjugate gradients from `start`.

    Args:
        start: (C, H, W), an initial estimate of u.
        hole: (H, W) bool.
        down, across: (C, H - 1, W) and (C, H, W - 1), t from each pixel to the one below, and to the right; used where
            both are in the hole.
        rim: (C, H, W), the sum of m over the known neighbours of each pixel of the hole.
        known: (H, W), the number of these.
    """
    # Solve for the pixels of the hole alone: a long crack is a small part of its box.
    count = int(hole.sum())
    number = torch.full([side + 2 for side in hole.shape], count, device=hole.device)
    number[1:-1, 1:-1][hole] = torch.arange(count, device=hole.device)
    row, column = 1 + hole.nonzero().T
    beside = torch.stack(
        [number[row + 1, column], number[row, column + 1], number[row - 1, column], number[row, column - 1]]
    )
    inside = beside < count  # (4, n): below, right, above, left
    degree = inside.sum(0) + known[hole]
    changes = [F.pad(down, (0, 0, 0, 1)), F.pad(across, (0, 1)), -F.pad(down, (0, 0, 1, 0)), -F.pad(across, (1, 0))]
    right_side = rim[:, hole] + sum(change[:, hole] * pair for change, pair in zip(changes, inside, strict=True))

    def matvec(u: Tensor) -> Tensor:
        return degree * u - F.pad(u, (0, 1))[:, beside].sum(1)

    initial = start[:, hole]
    correction = torch.zeros_like(start)
    residual = right_side - matvec(initial)
    correction[:, hole] = conjugate_gradients(matvec, initial, residual, _STEPS, dims=(1,), tolerance=_TOLERANCE**2)
    return correction
