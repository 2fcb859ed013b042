"""Denoising diffusion restoration models: each component of an observation by itself (Kawar et al. 2022).

With A = U diag(a) V^T and y = A x0 + n, n of standard deviation noise_std, the observation tells the component i of
V^T x0 as y_i = (U^T y)_i / a_i, with noise of standard deviation tau_i = noise_std / a_i. A state at noise level
s = sigma / alpha is taken to the next level r by (arXiv 2201.11793, eq. 7, 8; D the denoised mean, z fresh noise)

    a_i = 0        D_i + sqrt(1 - eta^2) r (x_i - D_i) / s     + eta r z_i
    r < tau_i      D_i + sqrt(1 - eta^2) r (y_i - D_i) / tau_i + eta r z_i
    r >= tau_i     (1 - eta_b) D_i + eta_b y_i + sqrt(r^2 - eta_b^2 tau_i^2) z_i

all of x / alpha, so that it runs on any SDE. It approximates the posterior: well in few steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.operators import RANK_TOLERANCE, LinearOperator, check_noise_std
from scoreinv.prior import Prior
from scoreinv.samplers.base import State
from scoreinv.samplers.times import Spacing, karras_times
from scoreinv.samplers.walk import GridSampler, Walk
from scoreinv.sdes import SDE, broadcast


@dataclass(frozen=True, eq=False)
class DDRM(GridSampler):
    """Samples of a prior given an observation, an evaluation a step and no gradients.

    Attributes:
        operator: A, which must have a singular value decomposition (`LinearOperator.spectral`).
        y: the observation, of shape A(x), in the model's range.
        noise_std: standard deviation of the noise in y, at least 0, in the model's range. Without noise the end result
            agrees with y exactly.
        eta: share of fresh noise in what is not observed, or less clearly than the state is, from 0 to 1.
        eta_b: how far observed components are taken from y, from 0 to 1.
        steps, spacing, times: as in `PC`, of decreasing times.
    """

    operator: LinearOperator
    y: Tensor
    noise_std: float = 0.0
    eta: float = 0.85
    eta_b: float = 1.0
    steps: int = 20
    spacing: Spacing = karras_times
    times: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        self.operator.spectral()
        check_noise_std(self.noise_std)
        if not (0 <= self.eta <= 1 and 0 <= self.eta_b <= 1):
            raise InputError(f"eta and eta_b must be from 0 to 1, not {self.eta} and {self.eta_b}")

    def grid(self, prior: Prior, start: State | None) -> Tensor:
        times = super().grid(prior, start)
        if (times[1:] >= times[:-1]).any():
            raise InputError("DDRM goes down its times only")
        return times

    def begin(self, walk: Walk, shape: tuple[int, ...], start: State | None) -> Tensor:
        x = super().begin(walk, shape, start)
        walk.memory = _Observed(self, x)
        scale = broadcast(walk.sde.alpha(walk.times[0]), x)
        return scale * walk.memory.begin(x / scale, _level(walk.sde, walk.times[0]), walk.draw(x))

    def step(self, walk: Walk, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        sde = walk.sde
        mean = walk.prior.denoise(x, t)
        x = x / broadcast(sde.alpha(t), x)
        x = walk.memory.step(x, mean, _level(sde, t), _level(sde, s), walk.draw(x))
        return broadcast(sde.alpha(s), x) * x

    def end(self, walk: Walk, x: Tensor, t: Tensor) -> Tensor:
        x0 = super().end(walk, x, t)
        return x0 if self.noise_std else self.operator.replace(x0, self.y.to(x0))


def _level(sde: SDE, t: Tensor) -> float:
    return float(sde.noise_to_signal(t))


class _Observed:
    """The components that are observed: their values, and the noise in these, for states like x."""

    def __init__(self, settings: DDRM, x: Tensor) -> None:
        self.operator = settings.operator.spectral()
        self.eta, self.eta_b = settings.eta, settings.eta_b
        singular = self.operator.singular.to(x)
        self.known = singular > RANK_TOLERANCE * singular.max()
        safe = torch.where(self.known, singular, 1)
        self.values = self.operator.analyse_observation(settings.y.to(x)) / safe
        self.noise = settings.noise_std / safe

    def begin(self, x: Tensor, level: float, z: Tensor) -> Tensor:
        """The state x at the first level, with what is observed more clearly than that."""
        fresh = (level**2 - self.noise.square()).clamp_min(0).sqrt()
        target = self.values + fresh * self.operator.analyse(z)
        return self._with(x, target, self.known & (self.noise < level))

    def step(self, x: Tensor, mean: Tensor, level: float, lower: float, z: Tensor) -> Tensor:
        """The state at the lower level, from the state x and its denoised mean."""
        kept, share = (1 - self.eta**2) ** 0.5, self.eta_b
        free = mean + kept * lower / level * (x - mean) + self.eta * lower * z
        mean, z = self.operator.analyse(mean), self.operator.analyse(z)
        towards = (self.values - mean) / self.noise.clamp_min(torch.finfo(self.noise.dtype).tiny)
        unclear = mean + kept * lower * towards + self.eta * lower * z
        fresh = (lower**2 - (share * self.noise).square()).clamp_min(0).sqrt()
        clear = (1 - share) * mean + share * self.values + fresh * z
        return self._with(free, torch.where(lower < self.noise, unclear, clear), self.known)

    def _with(self, x: Tensor, target: Tensor, where: Tensor) -> Tensor:
        return x + self.operator.synthesise(torch.where(where, target - self.operator.analyse(x), 0))
