"""Krylov solvers against dense solutions, of several systems at once."""

import pytest
import torch
from torch import Tensor

from scoreinv.operators.linalg import conjugate_gradients, gmres


def test_a_converged_system_ignores_its_batch_mates() -> None:
    """The first is solved in two iterations; the second takes many, in which rounding would move the first."""
    generator = torch.Generator().manual_seed(0)
    values = torch.stack([torch.cat([torch.ones(20), torch.zeros(20)]), torch.logspace(-6, 0, 40)])
    b = torch.randn(2, 1, 1, 40, generator=generator)

    def found(rows: slice) -> Tensor:
        diagonal, rhs = values[rows].view(-1, 1, 1, 40), b[rows]
        rhs = rhs * (diagonal > 0) + 1e-7  # no solution has this much of the null space
        return conjugate_gradients(lambda x: diagonal * x, torch.zeros_like(rhs), rhs, 200, tolerance=1e-10)

    torch.testing.assert_close(found(slice(0, 1)), found(slice(0, 2))[:1])


def test_a_direction_of_negative_curvature_is_not_followed() -> None:
    b = torch.ones(1, 1, 2, 2)
    assert torch.equal(conjugate_gradients(torch.neg, torch.zeros_like(b), b, 3), torch.zeros_like(b))


def solved(matrices: Tensor, b: Tensor, iterations: int) -> Tensor:
    """GMRES for matrices (B, D, D) and right-hand sides (B, D)."""
    shape = (len(b), 1, 1, b.shape[1])
    return gmres(lambda v: (matrices @ v.flatten(1)[..., None]).view_as(v), b.view(shape), iterations).flatten(1)


@pytest.mark.parametrize("symmetric", [True, False])
def test_gmres_solves_indefinite_systems_and_never_enlarges_the_residual(symmetric: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    matrices = torch.randn(4, 20, 20, generator=generator, dtype=torch.float64)
    matrices = matrices + matrices.mT if symmetric else matrices
    matrices[3, :, 12:] = matrices[3, 12:] = 0  # singular, and consistent
    b = (matrices @ torch.randn(4, 20, 1, generator=generator, dtype=torch.float64))[..., 0] * 10.0 ** torch.arange(4)[
        :, None
    ]
    exact = (torch.linalg.pinv(matrices) @ b[..., None])[..., 0]
    torch.testing.assert_close(solved(matrices, b, 30), exact, rtol=1e-8, atol=1e-8)
    before = b.norm(dim=1)
    for iterations in range(1, 21):
        x = solved(matrices, b, iterations)
        # The least squares over the Krylov space itself, by a dense solver.
        space = [b]
        while len(space) < iterations:
            space.append((matrices @ space[-1][..., None])[..., 0])
            space[-1] = space[-1] / space[-1].norm(dim=1, keepdim=True)
        after = (b - (matrices @ x[..., None])[..., 0]).norm(dim=1)
        assert (after <= before * (1 + 1e-9) + 1e-9).all()
        if iterations <= 6:
            images = matrices @ torch.stack(space, 2)
            least = b - (images @ torch.linalg.lstsq(images, b[..., None]).solution)[..., 0]
            torch.testing.assert_close(after, least.norm(dim=1), rtol=1e-6, atol=1e-8)
        before = after
