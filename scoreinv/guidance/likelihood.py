"""Guidance by an approximate likelihood of the observation: grad log p_t(x | y) = score + grad log p(y | x_t).

What x_t says of the picture is its denoised mean D(x_t) = E[x0 | x_t], which the prior gives by Tweedie's formula. Each
method models y given x_t as Gaussian about A D(x_t), with a covariance S of its own:

    grad log p(y | x_t) = J^T A^T S^-1 (y - A D(x_t)),        J = dD/dx_t

    DPS      S = noise_std^2                  the uncertainty of D is left out
    PiGDM    S = r^2 A A^T + noise_std^2      r^2 = s^2 v / (s^2 + v), s = sigma / alpha: for white data of variance v
    MMPS     S = A C A^T + noise_std^2        C = (sigma^2 / alpha) J: the covariance of x0 given x_t itself
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from scoreinv.errors import InputError, ScoreinvError
from scoreinv.guidance.observed import GivenObservation
from scoreinv.operators import LinearOperator
from scoreinv.prior import Prior
from scoreinv.sdes import as_time, broadcast

_BEYOND = 1000.0
"""Widths of the data's range that no denoised mean has, beside as many noise levels sigma / alpha, by which errors of a
network count in it: 6 in runs that went well, 200 in some that came back."""
Transpose = Callable[[Tensor], Tensor]
"""v -> J^T v, a vector-Jacobian product of the denoised mean."""


class LikelihoodGuidance(GivenObservation):
    """A prior given an observation by a Gaussian likelihood of the noisy state, for any linear A.

    `noise` raises ScoreinvError where the guidance diverges: too long a step along a gradient lengthens the next.
    """

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0) -> None:
        super().__init__(prior, operator, y, noise_std)
        self.vjps_per_noise = prior.vjps_per_noise + 1

    @abstractmethod
    def pulled(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        """A^T S^-1 (y - A mean), for the denoised mean D(x_t) and times t (B,)."""

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

            gradient = transpose(self.pulled(mean, t, transpose))
            guided = noise - sigma * gradient
        low, high = self.data_range
        most = _BEYOND * (high - low + sigma / alpha)
        if not (guided.isfinite().all() and (mean.detach().abs() < most).all()):
            raise ScoreinvError(
                f"{type(self).__name__}: the guidance diverges (at t = {float(t.max()):.3g}): give a larger noise_std, "
                "more steps, a prior in torch.float32, or take another method"
            )
        return guided if differentiable else guided.detach()


class DPS(LikelihoodGuidance):
    """Diffusion posterior sampling (Chung et al. 2023, arXiv 2209.14687, eq. 10): y given x_t as if D(x_t) were x0.

    Stated as a likelihood: with S = noise_std^2, where the paper's code has a step size that depends on the residual
    and the grid. An exact observation needs a noise_std all the same: smaller is stricter, and needs more steps.
    Samples need a sampler that adds noise, and some hundred steps: those of an ODE hardly differ from one another.

    Raises InputError unless noise_std is positive.
    """

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float) -> None:
        super().__init__(prior, operator, y, noise_std)
        if noise_std == 0:
            raise InputError("DPS divides by the observation's noise: give a positive noise_std, such as 0.05")

    def pulled(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        return self.operator.adjoint(self.y.to(mean) - self.operator(mean)) / self.noise_std**2


class PiGDM(LikelihoodGuidance):
    """Pseudoinverse-guided diffusion (Song et al. 2023, ICLR, "Pseudoinverse-guided diffusion models", eq. 7, 8).

    Exact for white Gaussian data of the given variance. S has the true A A^T, by `LinearOperator.ridge`; where this is
    near singular, an observation without noise is ill-posed: give the noise that it has.

    Arguments:
        variance: v, of the data's values, in the model's range; the paper's is 1.
    """

    def __init__(
        self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0, variance: float = 1.0
    ) -> None:
        super().__init__(prior, operator, y, noise_std)
        if not variance > 0:
            raise InputError(f"the data's variance must be positive, not {variance}")
        self.variance = variance

    def pulled(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        level = self.sde.noise_to_signal(t).square()
        spread = level * self.variance / (level + self.variance)
        found = _Ridge.apply(mean, self.y.to(mean), self.operator, self.noise_std**2 / spread)
        return found / broadcast(spread, mean)


class _Ridge(torch.autograd.Function):
    """A^T (A A^T + level I)^-1 (y - A mean), differentiable in the mean by its closed form.

    The derivative -A^T (A A^T + level I)^-1 A is symmetric, so that its transpose is the same function at y = 0: the
    equations are solved once more, and nothing is differentiated through their solution.
    """

    @staticmethod
    def forward(ctx: Any, mean: Tensor, y: Tensor, operator: LinearOperator, level: Tensor) -> Tensor:
        ctx.y, ctx.operator, ctx.level = y, operator, level
        return operator.ridge(y - operator(mean), level)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _Ridge.apply(gradient, torch.zeros_like(ctx.y), ctx.operator, ctx.level), None, None, None


class MMPS(LikelihoodGuidance):
    """Moment matching posterior sampling (Rozet et al. 2024, arXiv 2405.13712, section 4.2).

    The covariance of x0 given x_t is (sigma^2 / alpha) J, exactly; S^-1 is applied by conjugate gradients, each step
    of which takes a vector-Jacobian product. Exact for Gaussian data, in as many steps as the covariance has levels.

    Arguments:
        iterations: of conjugate gradients, at least 1.
    """

    def __init__(
        self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0, iterations: int = 3
    ) -> None:
        super().__init__(prior, operator, y, noise_std)
        if iterations < 1:
            raise InputError(f"at least one iteration is needed, not {iterations}")
        self.iterations = iterations
        self.vjps_per_noise = prior.vjps_per_noise + 1 + iterations

    def pulled(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        residual = self.y.to(mean) - self.operator(mean)
        ratio = broadcast(self.sde.sigma(t).square() / self.sde.alpha(t), residual)

        def covariance(v: Tensor) -> Tensor:
            return self.noise_std**2 * v + ratio * self.operator(transpose(self.operator.adjoint(v)))

        def dot(a: Tensor, b: Tensor) -> Tensor:
            return (a * b).flatten(1).sum(1)

        solution, direction = torch.zeros_like(residual), residual
        size = dot(residual, residual)
        for _ in range(self.iterations):
            image = covariance(direction)
            # An estimated Jacobian need not be positive: such a direction is not followed.
            curvature = dot(direction, image)
            step = torch.where(curvature > 0, size / curvature.clamp_min(1e-30), 0.0)
            solution = solution + broadcast(step, residual) * direction
            residual = residual - broadcast(step, residual) * image
            before, size = size, dot(residual, residual)
            direction = residual + broadcast(size / before.clamp_min(1e-30), residual) * direction
        return self.operator.adjoint(solution)
