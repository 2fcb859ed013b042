"""Predictor-corrector sampling (Song et al. 2021, section 4.2, algorithms 1 to 3), its predictors and correctors.

As in the authors' code, and unlike the paper's algorithms, the corrector comes before the predictor at each time.

**Predictors** take a step of the reverse process from t to s < t. `EulerMaruyama` and `ReverseDiffusion` have a
parameter eta from 0 (probability-flow ODE) to 1 (reverse SDE); every eta has the same marginals (eq. 6 and 13):

    dx = [f(x, t) - (1 + eta)/2 g(t)^2 grad log p_t(x)] dt + sqrt(eta) g(t) dw        (time running backwards)

`Ancestral` reverses the Markov chain whose limit is the SDE, and has no eta.

**Correctors** are Langevin dynamics at one noise level, towards p_t (appendix G, algorithms 4 and 5):

    x <- x + e score(x, t) + sqrt(2 e) z

The factor k in their step size e is 1 - beta_i of the *training* grid of N times, 1 + 2 (d ln alpha/dt) / N, which is
1 for VE. For `DDPM` it is exp(2 (d ln alpha/dt) / (N - 1)), the ratio of alpha^2 at consecutive times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Annotated, Literal, Protocol

import torch
from torch import Tensor

from scoreinv.prior import Prior
from scoreinv.samplers.base import GridSampler, constrain, jump, last_state
from scoreinv.samplers.rng import NoiseStream
from scoreinv.samplers.times import Spacing, Steps, Times, uniform_times
from scoreinv.sdes import DDPM, SDE, VE, VP, broadcast
from scoreinv.system.errors import InputError
from scoreinv.system.options import Checked, Number, Whole, require


@dataclass(frozen=True)
class EulerMaruyama(Checked):
    """A predictor: x + [f - (1 + eta)/2 g^2 score] (s - t) + sqrt(eta (t - s)) g z, with f and g at t."""

    eta: Annotated[float, Number(0, 1)] = 1.0

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        g2, dt = prior.sde.diffusion_squared(t), s - t
        x_next = broadcast(1 + prior.sde.drift_rate(t) * dt, x) * x
        x_next = x_next - broadcast((1 + self.eta) / 2 * g2 * dt, x) * prior.score(x, t)
        return x_next + broadcast((-self.eta * g2 * dt).sqrt(), x) * rng.like(x) if self.eta else x_next


@dataclass(frozen=True)
class ReverseDiffusion(Checked):
    """A predictor: (2 - a) x + (1 + eta)/2 G^2 score + sqrt(eta) G z, the forward step x_t = a x_s + G z reversed.

    Song et al. 2021, eq. 46, with a and G of the exact forward kernel: those of SMLD for VE and of DDPM for `DDPM`.
    eta = 0 is the discretised probability flow of appendix D.3.
    """

    eta: Annotated[float, Number(0, 1)] = 1.0

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        ratio, variance = prior.sde.transition(s, t)
        x_next = broadcast(2 - ratio, x) * x + broadcast((1 + self.eta) / 2 * variance, x) * prior.score(x, t)
        return x_next + broadcast((self.eta * variance).sqrt(), x) * rng.like(x) if self.eta else x_next


@dataclass(frozen=True)
class Ancestral(Checked):
    """A predictor: the reverse Markov chain of SMLD and DDPM, (x + G^2 score) / a + std z (eq. 4, 47).

    Of the two variances of Ho et al. 2020, section 3.2, `posterior` is the variance of x_s given x_t and the picture,
    std = sigma_s G / sigma_t. `forward` is the variance of the forward step, std = G = sqrt(beta_i), with beta_i =
    1 - a^2 on the grid of the sampler. `paper` is Song et al.'s choice: posterior for VE, forward for VP.

    Raises InputError for another variance, and for `paper` with SDEs other than VE and VP.
    """

    variance: Literal["paper", "forward", "posterior"] = "paper"

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        sde = prior.sde
        require(
            self.variance != "paper" or isinstance(sde, VE | VP),
            f"the paper's ancestral sampling is for VE and VP, not for {type(sde).__name__}: choose another variance",
        )
        ratio, variance = sde.transition(s, t)
        std = variance.sqrt()
        if self.variance == "posterior" or (self.variance == "paper" and isinstance(sde, VE)):
            std = std * sde.sigma(s) / sde.sigma(t)
        mean = (x + broadcast(variance, x) * prior.score(x, t)) / broadcast(ratio, x)
        return mean + broadcast(std, x) * rng.like(x)


@dataclass(frozen=True)
class DDIM(Checked):
    """A predictor: combines the estimates of picture and noise at t into the state at s (Song, Meng and Ermon 2021).

        x_s = alpha_s D + sqrt(sigma_s^2 - std^2) noise(x, t) + std z,   std = eta sigma_s G / sigma_t

    (arXiv 2010.02502, eq. 12 and 16), with D the denoised mean and G^2 the variance of the forward step, for any SDE.
    eta = 0 is Euler's method for the probability flow of x / alpha in sigma / alpha. eta = 1 is the reverse Markov
    chain of DDPM, `Ancestral("posterior")`. `PC(DDIM(eta), corrector_steps=0, steps=50)` is the sampler DDIM, with one
    evaluation a step.

    Attributes:
        eta: noise added by a step, from 0 (none) to 1 (ancestral sampling).
    """

    eta: Annotated[float, Number(0, 1)] = 0.0

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        sde = prior.sde
        ratio, variance = sde.transition(s, t)
        std = self.eta * sde.sigma(s) * variance.sqrt() / sde.sigma(t)
        kept = (sde.sigma(s).square() - std.square()).clamp(min=0).sqrt()
        x_next = (x + broadcast(ratio * kept - sde.sigma(t), x) * prior.noise(x, t)) / broadcast(ratio, x)
        return x_next + broadcast(std, x) * rng.like(x) if self.eta else x_next


@dataclass(frozen=True)
class NoPredictor:
    """Leaves the state unchanged: sampling by the corrector alone (annealed Langevin dynamics)."""

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        return x


class Predictor(Protocol):
    """Moves a state from one time to the next."""

    def step(self, prior: Prior, x: Tensor, t: Tensor, s: Tensor, rng: NoiseStream) -> Tensor:
        """Return the state at time s < t from the state x at time t; t and s are float64 of shape ()."""
        ...


class Corrector(Protocol):
    """Moves a state towards p_t at a constant time t."""

    def step(self, prior: Prior, x: Tensor, t: Tensor, snr: float, rng: NoiseStream) -> Tensor:
        """Take one step at time t, float64 of shape (), with signal-to-noise ratio `snr`."""
        ...


@dataclass(frozen=True)
class Langevin:
    """A corrector: e = 2 k (snr |z| / |score|)^2, with norms per sample (the authors' code averages them).

    If the score is 0, e is 0.

    In few dimensions D the random norms inflate the variance, for small steps by ((D + 2) / D)^2: 1.56 at D = 8, 1.02
    at 192. The finite step adds 3 % at snr = 0.16.
    """

    def step(self, prior: Prior, x: Tensor, t: Tensor, snr: float, rng: NoiseStream) -> Tensor:
        z = rng.like(x)
        score = prior.score(x, t)
        norm = _norm(score)
        ratio = torch.where(norm > 0, _norm(z) / norm, 0)
        size = 2 * broadcast(one_minus_beta(prior.sde, t), x) * (snr * ratio).square()
        return x + size * score + (2 * size).sqrt() * z


@dataclass(frozen=True)
class AnnealedLangevin:
    """A corrector: e = 2 k (snr sigma(t))^2, the step of NCSN, proportional to the variance of the noise level."""

    def step(self, prior: Prior, x: Tensor, t: Tensor, snr: float, rng: NoiseStream) -> Tensor:
        size = 2 * one_minus_beta(prior.sde, t) * (snr * prior.sde.sigma(t)).square()
        z = rng.like(x)
        return x + broadcast(size, x) * prior.score(x, t) + broadcast((2 * size).sqrt(), x) * z


def one_minus_beta(sde: SDE, t: Tensor) -> Tensor:
    """Return k = 1 - beta_i of the training grid; raise InputError if a step of this grid keeps nothing of x."""
    if isinstance(sde, DDPM):
        return (2 * sde.drift_rate(t) / (sde.steps - 1)).exp()
    kept = 1 + 2 * sde.drift_rate(t) / sde.steps
    if not (kept > 0).all():
        raise InputError(f"a step of {sde} keeps nothing of the picture: use an SDE of more steps, or no corrector")
    return kept


def _norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm of each sample, (B, 1, 1, 1)."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1))


@dataclass(frozen=True)
class PC(GridSampler):
    """Predictor-corrector sampling: at each time of the grid `corrector_steps` of the corrector, then the predictor.

    The last time is corrected and then denoised by Tweedie's formula. So a grid of N decreasing times takes
    N (corrector_steps + 1) evaluations: 2,000 for the paper's N = 1000 with one corrector step. With `NoPredictor` it
    takes N corrector_steps + 1.

    A conditional prior constrains the initial state, the state after each corrector step at t, and the state after
    the predictor at s. Each constraint takes fresh noise, whatever the predictor's eta.

    Attributes:
        predictor: the step from each time to the next.
        corrector: the step at each time.
        corrector_steps: corrector steps at each time; 0: the predictor alone.
        snr: signal-to-noise ratio of the corrector (.16 for CIFAR-10, .075 at 256 px, .15 at 1024 px).
        steps: number of times in the grid, if `times` is not given.
        spacing: spacing of the grid.
        times: the grid; an increasing pair of times is a jump up by the forward process (resampling).
    """

    predictor: Predictor = field(default_factory=ReverseDiffusion)
    corrector: Corrector = field(default_factory=Langevin)
    corrector_steps: Annotated[int, Whole()] = 1
    snr: Annotated[float, Number()] = 0.16
    steps: Steps = 1000
    spacing: Spacing = uniform_times
    times: Times = None

    def states(self, prior: Prior, x: Tensor, times: Tensor, rng: NoiseStream) -> Iterator[tuple[Tensor, Tensor]]:
        x = constrain(prior, x, times[0], rng)
        for t, s in pairwise(times):
            if s > t:
                x = jump(prior, x, t, s, rng)
            else:
                x = self.predictor.step(prior, self.correct(prior, x, t, rng), t, s, rng)
            x = constrain(prior, x, s, rng)
            yield s, x
        yield last_state(prior, self.correct(prior, x, times[-1], rng), times[-1])

    def correct(self, prior: Prior, x: Tensor, t: Tensor, rng: NoiseStream) -> Tensor:
        """Apply the corrector's steps to the state x at time t."""
        for _ in range(self.corrector_steps):
            x = constrain(prior, self.corrector.step(prior, x, t, self.snr, rng), t, rng)
        return x
