"""Denoising diffusion null-space models: the observed part of every estimate is set to what was observed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.operators import LinearOperator, crops, select
from scoreinv.prior import Box, Prior, PriorWrapper
from scoreinv.sdes import as_time, broadcast


class DDNM(PriorWrapper):
    """The denoised mean corrected on the range of A^+, D' = D + w A^+ (y - A D) (Wang et al. 2023, arXiv 2212.00490).

    Without noise in y, w = 1 (eq. 10): only the null-space part of the estimate is the prior's. With noise,
    w = min(1, s / noise_std) at noise level s = sigma / alpha, so that the estimate takes no more noise from y than the
    state has (DDNM+, section 3.3, eq. 19).

    Arguments:
        operator: A.
        y: the observation, of shape A(x), in the model's range.
        noise_std: standard deviation of the noise in y, at least 0, in the model's range.

    Raises InputError for a negative noise_std.
    """

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0) -> None:
        super().__init__(prior)
        if noise_std < 0:
            raise InputError(f"the observation's noise must not be negative, as {noise_std} is")
        self.operator = operator
        self.y = y
        self.noise_std = noise_std

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t).expand(x.shape[0])
        noise = self.prior.noise(x, t)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        mean = (x - sigma * noise) / alpha
        level = self.sde.noise_to_signal(t)
        weight = broadcast((level / self.noise_std).clamp(max=1) if self.noise_std else torch.ones_like(level), x)
        correction = self.operator.pinv(self.y.to(x) - self.operator(mean))
        return noise - weight * alpha / sigma * correction

    def finish(self, x0: Tensor) -> Tensor:
        x0 = self.prior.finish(x0)
        return x0 if self.noise_std else self.operator.replace(x0, self.y.to(x0))

    def windows(self, boxes: Sequence[Box], samples: int) -> DDNM:
        operator, y = self.operator.windows(boxes, samples), crops(self.y, boxes, samples)
        return DDNM(self.prior.windows(boxes, samples), operator, y, self.noise_std)

    def rows(self, index: Tensor) -> DDNM:
        return DDNM(self.prior.rows(index), self.operator.rows(index), select(self.y, index), self.noise_std)
