"""Pieces of a picture put together, evened out: no steps of light where they meet.

A smooth correction u is added to the fill of a hole. Between pixels p and q beside each other it is to change by t_pq,
which is 0 within a piece, and beside a known pixel to be what the piece misses there:

    minimise  sum_pq |u_p - u_q - t_pq|^2 + sum_rim |u_p - m_p|^2,

Poisson's equation on the hole (Perez, Gangnet and Blake 2003). The steps t are those of light, means over a patch on
both sides: from the steps of pixels the grain would be averaged too, where neighbours come from many places.
"""

from __future__ import annotations

from torch import Tensor

from scoreinv.conditional.guess import conjugate_gradients

_STEPS = 100
"""Of conjugate gradients: seams are even by then, and to what is further away the start has it."""


def evened(start: Tensor, hole: Tensor, down: Tensor, across: Tensor, rim: Tensor, known: Tensor) -> Tensor:
    """The correction u, (C, H, W), 0 outside of the hole; steps of conjugate gradients from `start`.

    Arguments:
        start: (C, H, W), a guess of u.
        hole: (H, W) bool.
        down, across: (C, H - 1, W) and (C, H, W - 1), t from each pixel to the one below, and to the right; looked at
            where both are in the hole.
        rim: (C, H, W), the sum of m over the known pixels beside each pixel of the hole.
        known: (H, W), how many these are.
    """
    below, right = (hole[:-1] & hole[1:]).to(start), (hole[:, :-1] & hole[:, 1:]).to(start)

    def spread(vertical: Tensor, horizontal: Tensor, out: Tensor) -> Tensor:
        """Differences to the pixels below and to the right, added to both sides of each."""
        vertical, horizontal = vertical * below, horizontal * right
        out[:, :-1] += vertical
        out[:, 1:] -= vertical
        out[..., :-1] += horizontal
        out[..., 1:] -= horizontal
        return out

    def image(u: Tensor) -> Tensor:
        return spread(u[:, :-1] - u[:, 1:], u[..., :-1] - u[..., 1:], known * u)

    u = start * hole
    return conjugate_gradients(image, u, spread(down, across, rim * hole) - image(u), _STEPS)
