"""Moment matching posterior sampling (Rozet et al. 2024): S = A Cov(x0 | x_t) A^T + noise_std^2."""

from __future__ import annotations

from torch import Tensor

from scoreinv.guidance.base import LikelihoodGuidance, Transpose
from scoreinv.guidance.observation import Observation
from scoreinv.operators.base import observation_like
from scoreinv.operators.linalg import gmres
from scoreinv.prior import Prior
from scoreinv.sdes import broadcast
from scoreinv.system.options import Whole, check


class MMPS(LikelihoodGuidance):
    """Moment matching posterior sampling (Rozet et al. 2024, arXiv 2405.13712, section 4.2).

    The covariance of x0 given x_t is (sigma^2 / alpha) J for the true score. GMRES applies S^-1 by one vector-Jacobian
    product per iteration. For Gaussian data it is exact after as many iterations as the covariance has distinct
    eigenvalues. A network's J, and therefore S, is neither symmetric nor definite: |J - J^T| is 0.3 to 0.5 of |J| for
    `denoiser`. The variance implied by this J is 1.1 times the squared error at noise of 5 grey levels, and 0.8 times
    at 50. The coverage of intervals is measured by `tests/benchmarks/restoration.py`.

    Args:
        iterations: iterations of GMRES, at least 1.
    """

    def __init__(self, prior: Prior, observation: Observation, iterations: int = 3) -> None:
        super().__init__(prior, observation)
        check("iterations", iterations, Whole(1))
        self.iterations = iterations
        self.vjps_per_noise = prior.vjps_per_noise + 1 + iterations

    def back_projected(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        predicted, operator = self.operator.linearised(mean)
        residual = observation_like(self.y, predicted) - predicted
        ratio = broadcast(self.sde.sigma(t).square() / self.sde.alpha(t), residual)

        def covariance(v: Tensor) -> Tensor:
            return self.noise_std**2 * v + ratio * operator(transpose(operator.adjoint(v)))

        return operator.adjoint(gmres(covariance, residual, self.iterations))
