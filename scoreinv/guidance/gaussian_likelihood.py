"""Guidance by an approximate likelihood of the observation given a noisy state.

The prior gives the denoised mean D(x_t) = E[x0 | x_t] by Tweedie's formula. DPS, PiGDM and MMPS model y given x_t as a
Gaussian about A D(x_t), each with another covariance S:

    grad log p_t(x | y) ~ score + J^T A^T S^-1 (y - A D(x_t)),        J = dD/dx_t

    DPS     S = noise_std^2                          neglects the uncertainty of D(x_t)
    PiGDM   S = r^2 A A^T + noise_std^2              exact for white data
    MMPS    S = A Cov(x0 | x_t) A^T + noise_std^2    exact for Gaussian data
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from scoreinv.conditional.observation import GivenObservation, Observation
from scoreinv.operators import LinearOperator
from scoreinv.operators.linalg import gmres
from scoreinv.prior import Prior
from scoreinv.sdes import as_time, broadcast
from scoreinv.system.options import Number, Whole, check, require

Transpose = Callable[[Tensor], Tensor]
"""v -> J^T v, a vector-Jacobian product of the denoised mean."""


class LikelihoodGuidance(GivenObservation):
    """A prior given an observation by a Gaussian likelihood of the noisy state, for any linear A."""

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0) -> None:
        super().__init__(prior, Observation(operator, y, noise_std))
        self.vjps_per_noise = prior.vjps_per_noise + 1

    @abstractmethod
    def back_projected(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        """Return A^T S^-1 (y - A mean) for the denoised mean D(x_t) and times t (B,)."""

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t).expand(x.shape[0])
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            probe = x if differentiable and x.requires_grad else x.detach().requires_grad_()
            noise = self.prior.noise(probe, t)
            mean = (probe - sigma * noise) / alpha

            def transpose(v: Tensor) -> Tensor:
                return torch.autograd.grad(mean, probe, v, create_graph=differentiable, retain_graph=True)[0]

            given = mean if differentiable else mean.detach()  # the solvers of a subclass then keep no graph
            gradient = transpose(self.back_projected(given, t, transpose))
            guided = noise - sigma * gradient
        return guided if differentiable else guided.detach()


class DPS(LikelihoodGuidance):
    """Diffusion posterior sampling (Chung et al. 2023, arXiv 2209.14687, eq. 10): y given x_t as if D(x_t) were x0.

    It is a likelihood with S = noise_std^2; the paper's code has a step size that depends on the residual and the grid
    instead. Exact observations need a noise_std, too: a smaller one is stricter and needs more steps. Use a sampler
    that adds noise, with some hundred steps: samples by an ODE hardly vary. For Gaussian fields, nominal 90 % intervals
    then cover 83 to 90 %, unless it diverges, as it may with little noise.

    Raises InputError unless noise_std is positive.
    """

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float) -> None:
        super().__init__(prior, operator, y, noise_std)
        require(noise_std > 0, "DPS divides by the observation's noise: give a positive noise_std, such as 0.05")

    def back_projected(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        return self.operator.adjoint(self.y.to(mean) - self.operator(mean)) / self.noise_std**2


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
        found = self.operator.ridge(self.y.to(mean) - self.operator(mean), self.noise_std**2 / spread)
        return found / broadcast(spread, mean)


class MMPS(LikelihoodGuidance):
    """Moment matching posterior sampling (Rozet et al. 2024, arXiv 2405.13712, section 4.2).

    The covariance of x0 given x_t is (sigma^2 / alpha) J for the true score. GMRES applies S^-1 by one vector-Jacobian
    product per iteration. For Gaussian data it is exact after as many iterations as the covariance has distinct
    eigenvalues. A network's J is neither symmetric nor definite, and so S is not, either: |J - J^T| is 0.3 to 0.5 of
    |J| for `denoiser`. The variance implied by this J is 1.1 times the squared error at noise of 5 grey levels, and 0.8
    times at 50. Trust intervals of its samples only as far as measured (`tests/benchmarks/restoration.py`).

    Args:
        iterations: iterations of GMRES, at least 1.
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

        return self.operator.adjoint(gmres(covariance, residual, self.iterations))
