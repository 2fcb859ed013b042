"""What a sampler is, takes, tells and returns, and the forward kernel that samplers reverse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scoreinv.checks import says_stop
from scoreinv.errors import Cancelled
from scoreinv.prior import Prior, PriorWrapper
from scoreinv.samplers.rng import NoiseStream
from scoreinv.sdes import SDE, as_time, broadcast


@dataclass(frozen=True)
class Samples:
    """What a sampler returns.

    Attributes:
        x0: the samples, (B, C, H, W), in the model's range, not clipped.
        nfe: evaluations of the network for each sample, int64 (B,), the final denoising included.
        vjps: vector-Jacobian products for each sample, int64 (B,), those of guidance included.
    """

    x0: Tensor
    nfe: Tensor
    vjps: Tensor


@dataclass(frozen=True)
class State:
    """A state x (B, C, H, W) at time t: where a sampler starts in place of the prior at t = 1."""

    x: Tensor
    t: float


@dataclass(frozen=True)
class Progress:
    """What a callback is told after each step.

    Attributes:
        fraction: share of the work that is done, in (0, 1].
        step: steps done.
        steps: steps in all; None where the solver chooses them.
        t: the time that the state is at; the mean over the samples where each has its own.
        x: the state, (B, C, H, W).
        nfe: evaluations so far (the most of any sample).
    """

    fraction: float
    step: int
    steps: int | None
    t: float
    x: Tensor
    nfe: int


Callback = Callable[[Progress], bool | None]
"""Told of each step; the work stops with `Cancelled` when it returns False."""


class Sampler(Protocol):
    """Settings of a way to draw samples of any prior, conditional or not."""

    def sample(
        self,
        prior: Prior,
        shape: tuple[int, ...],
        *,
        rng: NoiseStream,
        callback: Callback | None = None,
        start: State | None = None,
    ) -> Samples:
        """Samples of shape (B, C, H, W), on the device and in the dtype of `rng`, or of `start` when given.

        Arguments:
            rng: a stream of noise for each sample.
            callback: told of each step; may stop the work.
            start: where to begin; None: at a draw of the SDE's prior, at t = 1.

        Raises InputError where the settings do not go with the prior or the start, Cancelled when the callback stopped.
        """
        ...


def report(callback: Callback | None, progress: Progress) -> None:
    """Tell the callback; raises Cancelled when it returns False."""
    if callback is not None and says_stop(callback(progress)):
        raise Cancelled(f"stopped after step {progress.step}")


class CountedPrior(PriorWrapper):
    """A prior that counts the calls of `noise`."""

    def __init__(self, prior: Prior) -> None:
        super().__init__(prior)
        self.calls = 0

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        self.calls += 1
        return self.prior.noise(x, t)

    @property
    def evaluations(self) -> int:
        """Evaluations of the network for each sample so far."""
        return self.calls * self.evaluations_per_noise

    def samples(self, x0: Tensor) -> Samples:
        """The result, with what the calls took."""
        evaluations, vjps = (torch.full((len(x0),), n) for n in (self.evaluations, self.calls * self.vjps_per_noise))
        return Samples(self.finish(x0), evaluations, vjps)


def diffuse(sde: SDE, x: Tensor, s: Tensor, t: Tensor, z: Tensor) -> Tensor:
    """A draw from the forward kernel p(x_t | x_s = x), s < t, with standard normal z."""
    ratio, variance = forward_kernel(sde, s, t)
    return broadcast(ratio, x) * x + broadcast(variance.sqrt(), x) * z


def forward_kernel(sde: SDE, s: float | Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
    """Scale a and variance G^2 of p(x_t | x_s) = N(a x_s, G^2 I), s < t.

    a = alpha(t) / alpha(s), G^2 = sigma(t)^2 - a^2 sigma(s)^2: for VE the steps of SMLD, sigma_i^2 - sigma_{i-1}^2; for
    VP those of DDPM, a = sqrt(1 - beta_i), G^2 = beta_i (Song et al. 2021, appendix B, E).
    """
    s, t = as_time(s), as_time(t)
    ratio = sde.alpha(t) / sde.alpha(s)
    variance = sde.sigma(t).square() - (ratio * sde.sigma(s)).square()
    return ratio, variance.clamp(min=0)
