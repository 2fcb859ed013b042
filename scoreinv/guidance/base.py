"""What wraps a prior given an observation, and guidance by an approximate likelihood of it.

What x_t says of the picture is its denoised mean D(x_t) = E[x0 | x_t], which the prior gives by Tweedie's formula. DPS,
PiGDM and MMPS each model y given x_t as Gaussian about A D(x_t), with a covariance S of their own:

    grad log p_t(x | y) ~ score + J^T A^T S^-1 (y - A D(x_t)),        J = dD/dx_t
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from scoreinv.operators import LinearOperator
from scoreinv.prior import Prior, PriorWrapper
from scoreinv.sdes import as_time, broadcast
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.system.options import Number, check

_BEYOND = 1000.0
"""A denoised mean farther out than so many times (the data's range + sigma / alpha) means divergence: good runs
reach 6, some that recovered 200."""
Transpose = Callable[[Tensor], Tensor]
"""v -> J^T v, a vector-Jacobian product of the denoised mean."""


class GivenObservation(PriorWrapper):
    """A prior given y = A x0 + noise_std n.

    Args:
        operator: A.
        y: the observation, of shape A(x), in the model's range: A applied to a picture in the model's range.
        noise_std: standard deviation of the noise in y, at least 0, in the model's range. Without noise the end result
            is made to agree with y exactly: finish(x0) = x0 - A^+ A x0 + A^+ y.

    Raises InputError for an observation that is no batch of pictures, and for a negative noise_std.
    """

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0) -> None:
        super().__init__(prior)
        if y.ndim != 4:
            raise InputError(f"an observation must have shape (B, C, H, W), not {tuple(y.shape)}")
        check("noise_std", noise_std, Number(0))
        self.operator = operator
        self.y = y
        self.noise_std = noise_std

    def finish(self, x0: Tensor) -> Tensor:
        x0 = self.prior.finish(x0)
        return x0 if self.noise_std else self.operator.replace(x0, self.y.to(x0))


class LikelihoodGuidance(GivenObservation):
    """A prior given an observation by a Gaussian likelihood of the noisy state, for any linear A.

    `noise` raises ScoreinvError where the guidance diverges: too long a step along a gradient lengthens the next.
    """

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0) -> None:
        super().__init__(prior, operator, y, noise_std)
        self.vjps_per_noise = prior.vjps_per_noise + 1

    @abstractmethod
    def back_projected(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
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

            gradient = transpose(self.back_projected(mean, t, transpose))
            guided = noise - sigma * gradient
        low, high = self.data_range
        most = _BEYOND * (high - low + sigma / alpha)
        if not (guided.isfinite().all() and (mean.detach().abs() < most).all()):
            raise ScoreinvError(
                f"{type(self).__name__}: the guidance diverges (at t = {float(t.max()):.3g}): give a larger noise_std, "
                "more steps, a prior in torch.float32, or take another method"
            )
        return guided if differentiable else guided.detach()
