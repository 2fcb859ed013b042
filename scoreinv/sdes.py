"""Forward SDEs, each defined by its marginal.

A forward process `dx = f(x, t) dt + g(t) dw`, t in [0, 1], with linear drift has the marginal

    p_t(x | x0) = N(alpha(t) x0, sigma(t)^2 I),

and the marginal determines the process:

    f(x, t) = (d ln alpha / dt) x,        g(t)^2 = d sigma^2 / dt - 2 (d ln alpha / dt) sigma^2.

So an SDE **is** the two functions `alpha` and `sigma`. Drift, diffusion and prior follow from them, and every
sampler, loss and likelihood works with any SDE defined here (Song et al. 2021, section 3.4, appendices B and C).

Times are float64 tensors of any shape on the CPU. Coefficients are float64 too, to keep sigma accurate near t = 0;
`broadcast` casts them to the picture's dtype and device.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch
from torch import Tensor

from scoreinv.system.options import GRID, Checked, Number, require

TRAINING_START = 1e-5
"""Smallest time of training, likelihood and encoding (Song et al. 2021, appendix C)."""


def as_time(t: float | Tensor) -> Tensor:
    """Return the time as a float64 tensor on the CPU."""
    return torch.as_tensor(t, dtype=torch.float64, device="cpu")


def broadcast(coefficient: Tensor, x: Tensor) -> Tensor:
    """Cast a coefficient of shape () or (B,) to x's dtype and device, shaped to multiply x of shape (B, ...)."""
    coefficient = coefficient.to(device=x.device, dtype=x.dtype)
    return coefficient.reshape(-1, *[1] * (x.ndim - 1)) if coefficient.ndim else coefficient


class SDE(Checked, ABC):
    """Base of forward processes with marginal N(alpha(t) x0, sigma(t)^2 I); subclasses define `alpha` and `sigma`."""

    steps: int = 1000
    """Number of times N in the grid of the paper's discrete methods."""

    sampling_end: float
    """The time at which sampling and decoding end."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Return the scale of the data at time t, > 0, in the shape of t."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Return the standard deviation of the noise at time t, in the shape of t."""

    @property
    @abstractmethod
    def prior_std(self) -> float:
        """Standard deviation of the prior N(0, prior_std^2 I), which replaces the marginal at t = 1."""

    def drift_rate(self, t: Tensor) -> Tensor:
        """Return d ln alpha / dt; the drift is f(x, t) = drift_rate(t) x."""
        return _derivative(lambda s: self.alpha(s).log(), t)

    def diffusion_squared(self, t: Tensor) -> Tensor:
        """Return g(t)^2 = d sigma^2/dt - 2 (d ln alpha/dt) sigma^2."""
        growth = _derivative(lambda s: self.sigma(s).square(), t)
        return growth - 2 * self.drift_rate(t) * self.sigma(t).square()

    def noise_to_signal(self, t: Tensor) -> Tensor:
        """Return sigma(t) / alpha(t), the noise level of x / alpha."""
        return self.sigma(t) / self.alpha(t)

    def transition(self, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return a and G^2 of the transition kernel p(x_t | x_s) = N(a x_s, G^2 I), s < t.

        a = alpha(t) / alpha(s), G^2 = sigma(t)^2 - a^2 sigma(s)^2. For VE, G^2 is SMLD's sigma_i^2 - sigma_{i-1}^2.
        For `DDPM`, a = sqrt(1 - beta_i) and G^2 = beta_i; for VP this holds to first order in beta_i
        (Song et al. 2021, appendices B and E).
        """
        ratio = self.alpha(t) / self.alpha(s)
        variance = self.sigma(t).square() - (ratio * self.sigma(s)).square()
        return ratio, variance.clamp(min=0)

    def diffuse(self, x: Tensor, s: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Return a sample of p(x_t | x_s = x), s < t, given standard normal z of the shape of x."""
        ratio, variance = self.transition(s, t)
        return broadcast(ratio, x) * x + broadcast(variance.sqrt(), x) * z

    def perturb(self, x0: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Return alpha(t) x0 + sigma(t) z, a sample of p_t(x | x0), given standard normal z of x0's shape (B, ...)."""
        return broadcast(self.alpha(t), x0) * x0 + broadcast(self.sigma(t), x0) * z

    def prior_log_prob(self, x: Tensor) -> Tensor:
        """Return log N(x; 0, prior_std^2 I) in nats, shape (B,), summed in float64 (float32 on MPS)."""
        flat = x.flatten(1)
        flat = flat if flat.device.type == "mps" else flat.double()
        normaliser = 0.5 * flat.shape[1] * math.log(2 * math.pi * self.prior_std**2)
        return -0.5 * flat.square().sum(1) / self.prior_std**2 - normaliser


@dataclass(frozen=True)
class VE(SDE):
    """Variance exploding: alpha = 1, sigma = sigma_min (sigma_max / sigma_min)^t (Song et al. 2021, eq. 9, 30).

    On the grid t = i / (N - 1) this equals the noise scale of SMLD, so discrete-time VE models use it too.
    """

    sampling_end = 1e-5

    sigma_min: Annotated[float, Number(1e-9, 1e9)] = 0.01
    sigma_max: Annotated[float, Number(1e-9, 1e9)] = 50.0
    steps: Annotated[int, GRID] = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.sigma_min < self.sigma_max, "the VE SDE needs sigma_min below sigma_max")

    @property
    def prior_std(self) -> float:
        return self.sigma_max

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min * (t * math.log(self.sigma_max / self.sigma_min)).exp()


@dataclass(frozen=True)
class _LinearBeta(SDE):
    """Base of VP and sub-VP: alpha^2 = exp(-B), B the integral of beta(t) = beta_min + t (beta_max - beta_min)."""

    sampling_end = 1e-3
    prior_std = 1.0

    beta_min: Annotated[float, Number(None)] = 0.1
    beta_max: Annotated[float, Number(0, 160)] = 20.0  # keeps alpha(1) >= e^-80, representable in float32
    steps: Annotated[int, GRID] = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta_min <= self.beta_max, "an SDE of linear beta needs beta_min of at most beta_max")

    def integral(self, t: Tensor) -> Tensor:
        """Return B(t), the integral of beta from 0 to t."""
        return self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t.square()

    def alpha(self, t: Tensor) -> Tensor:
        return (-0.5 * self.integral(t)).exp()


@dataclass(frozen=True)
class VP(_LinearBeta):
    """Variance preserving: sigma^2 = 1 - alpha^2 (Song et al. 2021, eq. 11, 33)."""

    def sigma(self, t: Tensor) -> Tensor:
        return (-torch.expm1(-self.integral(t))).sqrt()

    def noise_to_signal(self, t: Tensor) -> Tensor:
        return torch.expm1(self.integral(t)).sqrt()


@dataclass(frozen=True)
class SubVP(_LinearBeta):
    """Sub-variance preserving: sigma = 1 - alpha^2 (Song et al. 2021, eq. 12, 34)."""

    def sigma(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self.integral(t))


@dataclass(frozen=True)
class DDPM(VP):
    """The discrete chain of DDPM (Ho et al. 2020), interpolated to an SDE in continuous time.

    The chain is alpha_i = prod (1 - beta_j)^(1/2), sigma_i = (1 - alpha_i^2)^(1/2), with beta_j linear from beta_min /
    N to beta_max / N. This is VP with B = -2 ln alpha interpolated between the indices i = t (N - 1) by a monotone
    cubic (PCHIP). At grid points it equals the training noise of a discrete-time model. The continuous sigma of VP is 0
    at the first step, where the chain has 0.01, and 1.4 times too small at the second. The interpolation is smooth: the
    kinks of a piecewise linear one cost an adaptive solver thousands of evaluations.

    Raises InputError if beta_max is not below `steps`: the last step would then keep nothing of the picture.
    """

    sampling_end = 0.0  # the first step of the chain: `steps` uniform times are exactly the chain

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.beta_max < self.steps, "a chain of DDPM needs beta_max below its number of steps")

    def integral(self, t: Tensor) -> Tensor:
        """Return B(t) = -2 ln alpha(t), interpolated from the chain's."""
        pieces = torch.from_numpy(_ddpm_pieces(self.beta_min, self.beta_max, self.steps))
        position = t * (self.steps - 1)
        index = position.long().clamp(0, self.steps - 2)
        cubic, square, slope, value = pieces[index].unbind(-1)
        offset = position - index
        return ((cubic * offset + square) * offset + slope) * offset + value


@lru_cache(maxsize=8)
def _ddpm_pieces(beta_min: float, beta_max: float, steps: int) -> np.ndarray:
    """Return the cubic's coefficients between consecutive indices, highest power first, (steps - 1, 4), float64."""
    from scipy.interpolate import PchipInterpolator  # slow to import, and only DDPM needs it

    beta = np.linspace(beta_min / steps, beta_max / steps, steps)
    return PchipInterpolator(np.arange(steps), -np.log1p(-beta).cumsum()).c.T.copy()


def _derivative(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """Return the exact derivative of an elementwise function of time, by autograd, detached."""
    with torch.inference_mode(False), torch.enable_grad():
        s = t.detach().clone().requires_grad_()
        value = function(s)
        return torch.autograd.grad(value.sum(), s)[0] if value.requires_grad else torch.zeros_like(t)


_BRANCHES, _ROUNDS = 16, 15  # `time_at` resolves [0, 1] to 16^-15 = 2^-60


def time_at(sde: SDE, ratio: Tensor) -> Tensor:
    """Return the times at which sigma / alpha equals `ratio` (any shape, float64), by a 16-ary search on [0, 1]."""
    inner = torch.arange(1, _BRANCHES, dtype=torch.float64) / _BRANCHES
    low, length = torch.zeros_like(ratio), 1.0
    for _ in range(_ROUNDS):
        below = sde.noise_to_signal(low[..., None] + length * inner) < ratio[..., None]
        length /= _BRANCHES
        low = low + length * below.sum(-1)
    return low + length / 2
