"""Poisson blending: combine pieces of a picture without steps of light between them.

A smooth correction u is added to the fill of a hole. Its target change between adjacent pixels p and q is t_pq,
which is 0 within a piece. Beside known pixels it should equal the mismatch m of the piece:

    minimise  sum_pq |u_p - u_q - t_pq|^2 + sum_rim |u_p - m_p|^2,

Poisson's equation on the hole (Perez, Gangnet and Blake 2003). The changes t are differences of patch means, because
differences of single pixels would remove the grain from areas of many small pieces.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

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
    from scipy import sparse  # slow to import, and only these fills need it
    from scipy.sparse.linalg import cg

    # Solve for the pixels of the hole alone: a long crack is a small part of its box.
    inside = hole.cpu().numpy()
    number = np.zeros(inside.shape, dtype=np.int32)
    number[inside] = np.arange(inside.sum())
    below, right = inside[:-1] & inside[1:], inside[:, :-1] & inside[:, 1:]
    one = np.concatenate([number[:-1][below], number[:, :-1][right]])
    other = np.concatenate([number[1:][below], number[:, 1:][right]])
    pair = np.arange(len(one), dtype=np.int32)
    signs = np.concatenate([np.ones_like(one), -np.ones_like(one)], dtype=np.float32)
    places = np.concatenate([pair, pair]), np.concatenate([one, other])
    change = sparse.csr_array((signs, places), shape=(len(pair), int(inside.sum())))  # u_p - u_q of each pair
    t_down, t_across, count, mismatch, initial = (values.cpu().numpy() for values in (down, across, known, rim, start))
    matrix = change.T @ change + sparse.diags_array(count[inside])
    right_sides = mismatch[:, inside] + np.concatenate([t_down[:, below], t_across[:, right]], 1) @ change
    correction = np.zeros_like(initial)
    for channel, side in enumerate(right_sides):
        correction[channel, inside] = cg(matrix, side, x0=initial[channel, inside], rtol=_TOLERANCE, maxiter=_STEPS)[0]
    return torch.from_numpy(correction).to(start)
