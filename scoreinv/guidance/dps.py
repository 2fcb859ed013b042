"""Diffusion posterior sampling (Chung et al. 2023): the uncertainty of the denoised mean is left out."""

from __future__ import annotations

from torch import Tensor

from scoreinv.guidance.base import LikelihoodGuidance, Transpose
from scoreinv.operators import LinearOperator
from scoreinv.prior import Prior
from scoreinv.system.errors import InputError


class DPS(LikelihoodGuidance):
    """Diffusion posterior sampling (Chung et al. 2023, arXiv 2209.14687, eq. 10): y given x_t as if D(x_t) were x0.

    Stated as a likelihood: with S = noise_std^2, where the paper's code has a step size that depends on the residual
    and the grid. An exact observation needs a noise_std all the same: smaller is stricter, and needs more steps.
    Samples need a sampler that adds noise, and some hundred steps: samples by an ODE hardly differ from one another. Of
    Gaussian fields intervals of a nominal 90 % then hold 83 to 90 %, unless it diverges, as it may where there is
    little noise.

    Raises InputError unless noise_std is positive.
    """

    def __init__(self, prior: Prior, operator: LinearOperator, y: Tensor, noise_std: float) -> None:
        super().__init__(prior, operator, y, noise_std)
        if noise_std == 0:
            raise InputError("DPS divides by the observation's noise: give a positive noise_std, such as 0.05")

    def back_projected(self, mean: Tensor, t: Tensor, transpose: Transpose) -> Tensor:
        return self.operator.adjoint(self.y.to(mean) - self.operator(mean)) / self.noise_std**2
