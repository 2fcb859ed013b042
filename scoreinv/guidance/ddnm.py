"""Denoising diffusion null-space model: the observed part of every estimate is what was observed (Wang et al. 2023)."""

from __future__ import annotations

from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.guidance.base import GivenObservation
from scoreinv.operators import LinearOperator
from scoreinv.prior import Prior
from scoreinv.sdes import as_time, broadcast


class DDNM(GivenObservation):
    """The denoised mean D corrected on the range of A^+, D' = D + A^+ (y - A D) (arXiv 2212.00490, eq. 10).

    Only the null-space part of the estimate is the prior's.

    Raises InputError for an observation with noise, which it would take for exact.
    """

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float = 0.0) -> None:
        super().__init__(prior, operator, y, noise_std)
        if noise_std:
            raise InputError(
                "DDNM takes the observation for exact, and there is noise in it: use DiffPIR, DDRM, MMPS or DPIR"
            )

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t).expand(x.shape[0])
        noise = self.prior.noise(x, t)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        mean = (x - sigma * noise) / alpha
        return noise - alpha / sigma * self.operator.pinv(self.y.to(x) - self.operator(mean))
