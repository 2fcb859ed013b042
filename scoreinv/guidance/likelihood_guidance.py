"""Guidance by an approximate likelihood of the observation given a noisy state.

By Tweedie's formula, the prior predicts the denoised mean D(x_t) = E[x0 | x_t]. DPS, PiGDM and MMPS model y given x_t
as a Gaussian about A D(x_t), with different covariances S:

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

from scoreinv.guidance.observation import GivenObservation, Observation
from scoreinv.operators.linalg import gmres
from scoreinv.prior import Prior
from scoreinv.sdes import as_time, broadcast
from scoreinv.system.errors import ScoreinvError
from scoreinv.system.options import Number, Whole, check, require

_DIVERGED = 1000.0
"""Ratio of a denoised mean to (the data's range + sigma / alpha) above which the guidance has diverged. Good runs reach
6, and some that recovered reached 200."""
Transpose = Callable[[Tensor], Tensor]
"""v -> J^T v, a vector-Jacobian product of the denoised mean."""


class LikelihoodGuidance(GivenObservation):
    """A prior given an observation, with y given x_t modelled as a Gaussian, for any linear or differentiable A.

    `noise` raises ScoreinvError if the guidance diverges: each overlong step along a gradient makes the next longer.
    """

    def __init__(self, prior: Prior, observation: Observation) -> None:
        super().__init__(prior, observation)
        self.vjps_per_noise = prior.vjps_per_noise + 1

    @abstractmethod
    def back_projected(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        """Return A^T S^-1 (y - A mean) for the denoised mean D(x_t) and times t (B,)."""

    def noise(self, x: Tensor, t: float | Tensor, *maps: Tensor) -> Tensor:
        t = as_time(t).expand(x.shape[0])
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            probe = x if differentiable and x.requires_grad else x.detach().requires_grad_()
            noise = self.prior.noise(probe, t, *maps)
            mean = (probe - sigma * noise) / alpha

            def transpose(v: Tensor) -> Tensor:
                return torch.autograd.grad(mean, probe, v, create_graph=differentiable, retain_graph=True)[0]

            estimate = mean if differentiable else mean.detach()  # solvers in subclasses then build no graph
            gradient = transpose(self.back_projected(estimate, t, transpose))
            guided = noise - sigma * gradient
        low, high = self.data_range
        limit = _DIVERGED * (high - low + sigma / alpha)
        if not (guided.isfinite().all() and (mean.detach().abs() < limit).all()):
            raise ScoreinvError(
                f"{type(self).__name__}: the guidance diverges (at t = {float(t.max()):.3g}): give a larger noise_std, "
                "more steps, a prior in torch.float32, or take another method"
            )
        return guided if differentiable else guided.detach()


class DPS(LikelihoodGuidance):
    """Diffusion posterior sampling (Chung et al. 2023, arXiv 2209.14687, eq. 10): y given x_t as if D(x_t) were x0.

    The likelihood has S = noise_std^2; the paper's code instead uses a step size that depends on the residual and the
    grid. Exact observations need a positive noise_std, too: a smaller one is stricter and needs more steps. Use a
    sampler that adds noise, with a few hundred steps, because samples by an ODE hardly vary. For Gaussian fields,
    nominal 90 % intervals then cover 83 to 90 %. With little noise the method may diverge.

    Raises InputError unless noise_std is positive.
    """

    def __init__(self, prior: Prior, observation: Observation) -> None:
        super().__init__(prior, observation)
        require(self.noise_std > 0, "DPS divides by the observation's noise: give a positive noise_std, such as 0.05")

    def back_projected(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        residual, operator = self.residual(mean)
        return operator.adjoint(residual) / self.noise_std**2


class PiGDM(LikelihoodGuidance):
    """Pseudoinverse-guided diffusion (Song et al. 2023, ICLR, "Pseudoinverse-guided diffusion models", eq. 7, 8).

    S = r^2 A A^T + noise_std^2 with r^2 = s^2 v / (s^2 + v), s = sigma / alpha: exact for white Gaussian data of
    variance v. `LinearOperator.ridge` uses the true A A^T. If that is nearly singular, the problem without noise is
    ill-posed: set `noise_std` above 0. For coloured Gaussian fields, intervals are right from 36 steps on. With fewer
    steps samples may overshoot and vary too much.

    Args:
        variance: v, variance of the data's values in the model's range; the paper's is 1.
    """

    def __init__(self, prior: Prior, observation: Observation, variance: float = 1.0) -> None:
        super().__init__(prior, observation)
        check("variance", variance, Number(None))
        self.variance = variance

    def back_projected(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        noise_variance = self.sde.noise_to_signal(t).square()
        r_squared = noise_variance * self.variance / (noise_variance + self.variance)
        residual, operator = self.residual(mean)
        return operator.ridge(residual, self.noise_std**2 / r_squared) / broadcast(r_squared, mean)


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
        residual, operator = self.residual(mean)
        ratio = broadcast(self.sde.sigma(t).square() / self.sde.alpha(t), residual)

        def covariance(v: Tensor) -> Tensor:
            return self.noise_std**2 * v + ratio * operator(transpose(operator.adjoint(v)))

        return operator.adjoint(gmres(covariance, residual, self.iterations))
