"""Predictors: one step of the reverse process from t to s < t.

The reverse process, written once with eta from 0 (probability-flow ODE) to 1 (reverse SDE):

    dx = [f(x, t) - (1 + eta)/2 g(t)^2 grad log p_t(x)] dt + sqrt(eta) g(t) dw        (time running backwards)

(Song et al. 2021, eq. 6 and 13; every eta has the same marginals.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.prior import Prior
from scoreinv.samplers.base import forward_kernel
from scoreinv.samplers.rng import NoiseStream
from scoreinv.sdes import VE, VP, broadcast


class Predictor(Protocol):
    @property
    def eta(self) -> float:
        """eta, from 0 (no noise is added) to 1."""
        ...

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, noise: NoiseStream) -> Tensor:
        """The state at time s < t from the state x at time t; t and s are float64 of shape ()."""
        ...


def check_eta(eta: float) -> None:
    """InputError unless eta is in [0, 1]."""
    if not 0 <= eta <= 1:
        raise InputError(f"eta must lie in [0, 1], not {eta}")


@dataclass(frozen=True)
class EulerMaruyama:
    """x + [f - (1 + eta)/2 g^2 score] (s - t) + sqrt(eta (t - s)) g z, with f and g at t."""

    eta: float = 1.0

    def __post_init__(self) -> None:
        check_eta(self.eta)

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, noise: NoiseStream) -> Tensor:
        eta, dt = self.eta, s - t
        g2 = prior.sde.diffusion_squared(t)
        x_next = broadcast(1 + prior.sde.drift_rate(t) * dt, x) * x
        x_next = x_next - broadcast((1 + eta) / 2 * g2 * dt, x) * prior.score(x, t)
        if eta > 0:
            x_next = x_next + broadcast((-eta * g2 * dt).sqrt(), x) * noise.normal(x.shape, x.device, x.dtype)
        return x_next


@dataclass(frozen=True)
class ReverseDiffusion:
    """(2 - a) x + (1 + eta)/2 G^2 score + sqrt(eta) G z, with the forward step x_t = a x_s + G z reversed.

    Song et al. 2021, eq. 46, with the discretisation of SMLD (VE) and DDPM (VP); for other SDEs the exact forward
    kernel in their place. With eta = 0 it is the discretised probability flow of appendix E.
    """

    eta: float = 1.0

    def __post_init__(self) -> None:
        check_eta(self.eta)

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, noise: NoiseStream) -> Tensor:
        eta = self.eta
        ratio, variance = forward_kernel(prior.sde, s, t)
        x_next = broadcast(2 - ratio, x) * x + broadcast((1 + eta) / 2 * variance, x) * prior.score(x, t)
        if eta > 0:
            x_next = x_next + broadcast((eta * variance).sqrt(), x) * noise.normal(x.shape, x.device, x.dtype)
        return x_next


@dataclass(frozen=True)
class ProbabilityFlow(ReverseDiffusion):
    """The discretised probability flow, (2 - a) x + G^2 score / 2 (Song et al. 2021, appendix E)."""

    eta: float = 0.0


@dataclass(frozen=True)
class Ancestral:
    """The reverse Markov chain of SMLD and DDPM: (x + G^2 score) / a + std z (Song et al. 2021, eq. 4, 47).

    Of the two variances of Ho et al. 2020, section 3.2, `posterior` is that of x_s given x_t and the picture, std =
    sigma_s G / sigma_t, and `forward` that of the forward step, std = G = sqrt(beta_i), beta_i = 1 - a^2 on the grid
    actually used. `paper` is Song et al.'s: posterior for VE, forward for VP.

    Raises InputError for another variance, and for other SDEs, which have no such chain.
    """

    variance: Literal["paper", "forward", "posterior"] = "paper"
    eta: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if self.variance not in ("paper", "forward", "posterior"):
            raise InputError(f"the variance must be paper, forward or posterior, not {self.variance}")

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, noise: NoiseStream) -> Tensor:
        sde = prior.sde
        if not isinstance(sde, VE | VP):
            raise InputError(f"ancestral sampling is for VE and VP, not for {type(sde).__name__}")
        ratio, variance = forward_kernel(sde, s, t)
        std = variance.sqrt()
        if self.variance == "posterior" or (self.variance == "paper" and isinstance(sde, VE)):
            std = std * sde.sigma(s) / sde.sigma(t)
        mean = (x + broadcast(variance, x) * prior.score(x, t)) / broadcast(ratio, x)
        return mean + broadcast(std, x) * noise.normal(x.shape, x.device, x.dtype)


@dataclass(frozen=True)
class NoPredictor:
    """Leaves the state as it is: sampling by the corrector alone (annealed Langevin dynamics)."""

    eta: ClassVar[float] = 0.0

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, noise: NoiseStream) -> Tensor:
        return x
