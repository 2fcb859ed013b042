"""Pseudoinverse-guided diffusion (Song et al. 2023): S = r^2 A A^T + noise_std^2, exact for white data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scoreinv.guidance.base import LikelihoodGuidance, Transpose
from scoreinv.operators import LinearOperator
from scoreinv.prior import Prior
from scoreinv.sdes import broadcast
from scoreinv.system.options import Number, check


class PiGDM(LikelihoodGuidance):
    """Pseudoinverse-guided diffusion (Song et al. 2023, ICLR, "Pseudoinverse-guided diffusion models", eq. 7, 8).

    S = r^2 A A^T + noise_std^2 with r^2 = s^2 v / (s^2 + v), s = sigma / alpha: exact for white Gaussian data of
    variance v. `LinearOperator.ridge` takes the true A A^T. If that is nearly singular, an observation without noise is
    ill-posed: give its noise. For coloured Gaussian fields, intervals are right from 36 steps on; with fewer steps
    samples may overshoot and vary too much.

    Args:
        variance: v, variance of the data's values in the model's range; the paper's is 1.
    """

    def __init__(
        self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0, variance: float = 1.0
    ) -> None:
        super().__init__(prior, operator, y, noise_std)
        check("variance", variance, Number(None))
        self.variance = variance

    def back_projected(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        noise_variance = self.sde.noise_to_signal(t).square()
        spread = noise_variance * self.variance / (noise_variance + self.variance)
        found = _Ridge.apply(mean, self.y.to(mean), self.operator, self.noise_std**2 / spread)
        return found / broadcast(spread, mean)


class _Ridge(torch.autograd.Function):
    """A^T (A A^T + level I)^-1 (y - A mean), differentiable in the mean by its closed form.

    The derivative -A^T (A A^T + level I)^-1 A is symmetric, so its transpose is the same function at y = 0. Backward
    solves the equations once more, instead of differentiating through the solver.
    """

    @staticmethod
    def forward(ctx: Any, mean: Tensor, y: Tensor, operator: LinearOperator, level: Tensor) -> Tensor:
        ctx.y, ctx.operator, ctx.level = y, operator, level
        return operator.ridge(y - operator(mean), level)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Ridge.apply(gradient, torch.zeros_like(ctx.y), ctx.operator, ctx.level), None, None, None
