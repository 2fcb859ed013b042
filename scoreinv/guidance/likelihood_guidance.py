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
from scoreinv.prior import Prior
from scoreinv.sdes import as_time, broadcast
from scoreinv.system.errors import ScoreinvError

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
