"""Conjugate gradients against a direct solution, each system by itself."""

from __future__ import annotations

import torch
from torch import Tensor

from scoreinv.operators.linalg import conjugate_gradients


def test_each_system_is_solved_by_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    roots = torch.randn(3, 12, 12, generator=generator, dtype=torch.float64)
    matrices = roots @ roots.mT + torch.eye(12, dtype=torch.float64)
    b = torch.randn(3, 1, 3, 4, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 0.0, 1e6]).view(
        3, 1, 1, 1
    )

    def image(x: Tensor) -> Tensor:
        return (matrices @ x.flatten(1)[..., None]).view_as(x)

    exact = torch.linalg.solve(matrices, b.flatten(1)).view_as(b)
    found = conjugate_gradients(image, torch.zeros_like(b), b, 40, tolerance=1e-24)
    torch.testing.assert_close(found, exact)


def test_a_direction_of_negative_curvature_is_not_followed() -> None:
    b = torch.ones(1, 1, 2, 2)
    assert torch.equal(conjugate_gradients(torch.neg, torch.zeros_like(b), b, 3), torch.zeros_like(b))
