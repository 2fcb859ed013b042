"""Correctors: Langevin dynamics at one noise level, towards p_t (Song et al. 2021, appendix G, algorithms 4 and 5).

    x <- x + e score(x, t) + sqrt(2 e) z

The factor a in the step size e is 1 - beta_i of the *training* grid, 1 + 2 (d ln alpha/dt) / N, which is 1 for VE.
`step` raises InputError where it is not positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.prior import Prior
from scoreinv.samplers.rng import NoiseStream
from scoreinv.sdes import DDPM, SDE, broadcast


class Corrector(Protocol):
    def step(self, prior: Prior, x: Tensor, t: Tensor, snr: float, noise: NoiseStream) -> Tensor:
        """One step at time t, float64 of shape (), with signal-to-noise ratio `snr`."""
        ...


@dataclass(frozen=True)
class Langevin:
    """e = 2 a (snr |z| / |score|)^2, the norms taken sample by sample.

    In few dimensions the random norms inflate the variance: 1.6 times at 8, 1.05 times at 192.
    """

    def step(self, prior: Prior, x: Tensor, t: Tensor, snr: float, noise: NoiseStream) -> Tensor:
        z = noise.normal(x.shape, x.device, x.dtype)
        score = prior.score(x, t)
        ratio = _norm(z) / _norm(score).clamp(min=torch.finfo(x.dtype).tiny)
        size = 2 * broadcast(_training_step(prior.sde, t), x) * (snr * ratio).square()
        return x + size * score + (2 * size).sqrt() * z


@dataclass(frozen=True)
class AnnealedLangevin:
    """e = 2 a (snr sigma(t))^2: the step of NCSN, proportional to the noise level's variance."""

    def step(self, prior: Prior, x: Tensor, t: Tensor, snr: float, noise: NoiseStream) -> Tensor:
        size = 2 * _training_step(prior.sde, t) * (snr * prior.sde.sigma(t)).square()
        z = noise.normal(x.shape, x.device, x.dtype)
        return x + broadcast(size, x) * prior.score(x, t) + broadcast((2 * size).sqrt(), x) * z


@dataclass(frozen=True)
class NoCorrector:
    """Leaves the state as it is: sampling by the predictor alone."""

    def step(self, prior: Prior, x: Tensor, t: Tensor, snr: float, noise: NoiseStream) -> Tensor:
        return x


def _training_step(sde: SDE, t: Tensor) -> Tensor:
    """a = 1 - beta(t) / N; InputError for a grid so coarse that a step keeps nothing of the picture."""
    if isinstance(sde, DDPM):  # its alpha^2 itself falls by 1 - beta_i from each of the N times to the next
        return (2 * sde.drift_rate(t) / (sde.steps - 1)).exp()
    kept = 1 + 2 * sde.drift_rate(t) / sde.steps
    if not (kept > 0).all():
        raise InputError(f"{sde} has steps that keep nothing of the picture: give more of them, or take no corrector")
    return kept


def _norm(x: Tensor) -> Tensor:
    """Euclidean norm of each sample, (B, 1, 1, 1)."""
    return torch.linalg.vector_norm(x.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1))
