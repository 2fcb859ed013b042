"""Moment matching posterior sampling (Rozet et al. 2024): S = A Cov(x0 | x_t) A^T + noise_std^2."""

from __future__ import annotations

import torch
from torch import Tensor

from scoreinv.guidance.base import LikelihoodGuidance, Transpose
from scoreinv.operators import LinearOperator
from scoreinv.operators.linalg import conjugate_gradients
from scoreinv.prior import Prior
from scoreinv.sdes import broadcast
from scoreinv.system.options import Whole, check


class MMPS(LikelihoodGuidance):
    """Moment matching posterior sampling (Rozet et al. 2024, arXiv 2405.13712, section 4.2).

    The covariance of x0 given x_t is (sigma^2 / alpha) J, where the score is the true one; S^-1 is applied by conjugate
    gradients, each step of which takes a vector-Jacobian product. Exact for Gaussian data, in as many steps as the
    covariance has levels. The J of a network is not even symmetric: of `denoiser` |J - J^T| is 0.3 to 0.5 of |J|, and
    the variance that J implies is 1.1 of the squared error in noise of 5 grey levels, and 0.8 of it in noise of 50, so
    that intervals by its samples are no better than measured (`tests/benchmarks/restoration.py`).

    Args:
        iterations: of conjugate gradients, at least 1.
    """

    def __init__(
        self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0, iterations: int = 3
    ) -> None:
        super().__init__(prior, operator, y, noise_std)
        check("iterations", iterations, Whole(1))
        self.iterations = iterations
        self.vjps_per_noise = prior.vjps_per_noise + 1 + iterations

    def back_projected(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        residual = self.y.to(mean) - self.operator(mean)
        ratio = broadcast(self.sde.sigma(t).square() / self.sde.alpha(t), residual)

        def covariance(v: Tensor) -> Tensor:
            return self.noise_std**2 * v + ratio * self.operator(transpose(self.operator.adjoint(v)))

        solution = conjugate_gradients(covariance, torch.zeros_like(residual), residual, self.iterations)
        return self.operator.adjoint(solution)
