"""A Gaussian mixture as a prior in closed form, and a two-sample statistic: what samplers are measured against."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoreinv.operators import LinearOperator
from scoreinv.prior import Prior
from scoreinv.samplers import NoiseStream
from scoreinv.sdes import DDPM, SDE, VE, VP, SubVP, as_time, broadcast

SDES: dict[str, SDE] = {"ve": VE(0.01, 20.0), "vp": VP(), "subvp": SubVP(), "ddpm": DDPM()}
SHAPE = (3, 2, 2)


class Mixture(Prior):
    """p_0 = sum_k w_k N(m_k, U_k diag(v_k) U_k^T); diffused, sum_k w_k N(a m_k, U_k (a^2 diag(v_k) + s^2) U_k^T).

    means (K, C, H, W); variances (K, D), the eigenvalues; axes (K, D, D) with eigenvectors as columns, None = identity.
    """

    data_range = (-1.0, 1.0)

    def __init__(self, sde: SDE, weights: Tensor, means: Tensor, variances: Tensor, axes: Tensor | None = None) -> None:
        self.sde, self.axes = sde, axes
        self.weights, self.means, self.variances = weights, means, variances
        self.shape = tuple(means.shape[1:])

    def noise(self, x: Tensor, t: float | Tensor, *_: Tensor) -> Tensor:
        responsibility, gradients = self._components(x, t)[1:]
        score = (responsibility[:, :, None] * gradients).sum(1).reshape(x.shape)
        return -broadcast(self.sde.sigma(as_time(t)), x) * score

    def log_prob(self, x: Tensor, t: float | Tensor | None = None) -> Tensor:
        """log p_t(x) (B,); of the data itself without t."""
        return self._components(x, t)[0]

    def responsibilities(self, x: Tensor, t: float | Tensor) -> Tensor:
        """p_t(k | x), (B, K)."""
        return self._components(x, t)[1]

    def component(self, k: int) -> Mixture:
        pick = slice(k, k + 1)
        axes = None if self.axes is None else self.axes[pick]
        return Mixture(self.sde, torch.ones_like(self.weights[pick]), self.means[pick], self.variances[pick], axes)

    def sample(self, count: int, generator: torch.Generator, t: float | None = None) -> Tensor:
        """Exact draws of the data, or of p_t."""
        k = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        z = torch.randn(count, self.means[0].numel(), generator=generator, dtype=self.means.dtype)
        z = z * self.variances[k].sqrt()
        if self.axes is not None:
            for j, axes in enumerate(self.axes):
                z[k == j] = z[k == j] @ axes.T
        x = self.means[k] + z.reshape(count, *self.shape)
        if t is None:
            return x
        return self.sde.perturb(x, as_time(t), torch.randn(x.shape, generator=generator, dtype=x.dtype))

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean (D,) and covariance (D, D) of the data."""
        means = self.means.flatten(1)
        mean = self.weights @ means
        covariance = torch.einsum("k,kij->ij", self.weights, self.covariances())
        deviation = means - mean
        return mean, covariance + torch.einsum("k,ki,kj->ij", self.weights, deviation, deviation)

    def covariances(self) -> Tensor:
        if self.axes is None:
            return torch.diag_embed(self.variances)
        return torch.einsum("kij,kj,klj->kil", self.axes, self.variances, self.axes)

    def conditional(self, operator: LinearOperator, y: Tensor, noise_std: float = 0.0) -> Mixture:
        """The exact p(x0 | A x0 + noise_std z = y), y (1, C, h, w), by conditioning each Gaussian.

        Without noise its covariance is singular.
        """
        dimension = self.means[0].numel()
        unit = torch.eye(dimension, dtype=self.means.dtype).reshape(dimension, *self.shape)
        matrix = operator(unit).flatten(1).T
        seen = matrix.abs().sum(1) > 0
        matrix, y = matrix[seen], y.flatten()[seen]
        means, covariances = self.means.flatten(1), self.covariances()
        scatter = matrix @ covariances @ matrix.T + noise_std**2 * torch.eye(len(matrix), dtype=matrix.dtype)
        gain = covariances @ matrix.T @ torch.linalg.pinv(scatter)
        surprise, weights = y - means @ matrix.T, self.weights
        if len(weights) > 1:
            observed = torch.distributions.MultivariateNormal(means @ matrix.T, scatter)
            weights = (weights.log() + observed.log_prob(y)).softmax(0)
        means = means + torch.einsum("kij,kj->ki", gain, surprise)
        variances, axes = torch.linalg.eigh(covariances - gain @ matrix @ covariances)
        return Mixture(self.sde, weights, means.reshape(-1, *self.shape), variances.clamp(min=0), axes)

    def _components(self, x: Tensor, t: float | Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """log p_t (B,), responsibilities (B, K), grad log N_k (B, K, D)."""
        if t is None:
            alpha, sigma = torch.ones(1, 1, 1, dtype=x.dtype), torch.zeros(1, 1, 1, dtype=x.dtype)
        else:
            t = as_time(t).reshape(-1, 1, 1)
            alpha, sigma = self.sde.alpha(t).to(x.dtype), self.sde.sigma(t).to(x.dtype)
        deviation = x.flatten(1)[:, None] - alpha * self.means.flatten(1).to(x)
        if self.axes is not None:
            deviation = torch.einsum("bki,kij->bkj", deviation, self.axes.to(x))
        variance = alpha**2 * self.variances.to(x) + sigma**2
        gradient = -deviation / variance
        log_component = 0.5 * (deviation * gradient - (2 * math.pi * variance).log()).sum(2)
        joint = log_component + self.weights.to(x).log()
        if self.axes is not None:
            gradient = torch.einsum("bkj,kij->bki", gradient, self.axes.to(x))
        return joint.logsumexp(1), joint.softmax(1), gradient


def correlated(sde: SDE, spread: float = 1.0) -> Mixture:
    """Three correlated components in 12 dimensions, of standard deviations 0.2 to 0.7 (times `spread`)."""
    generator = torch.Generator().manual_seed(5)
    means = 0.8 * torch.randn(3, *SHAPE, generator=generator, dtype=torch.float64)
    axes = torch.linalg.qr(torch.randn(3, 12, 12, generator=generator, dtype=torch.float64))[0]
    stds = spread * torch.linspace(0.2, 0.7, 12, dtype=torch.float64).expand(3, 12)
    return Mixture(sde, torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), means, stds**2, axes)


def gaussian(sde: SDE, shape: tuple[int, ...] = SHAPE, std: float = 0.5, mean: float = 0.3) -> Mixture:
    """One isotropic Gaussian."""
    one = torch.ones(1, dtype=torch.float64)
    means = torch.full((1, *shape), mean, dtype=torch.float64)
    return Mixture(sde, one, means, torch.full((1, math.prod(shape)), std**2, dtype=torch.float64))


class BatchStream(NoiseStream):
    """float64 draws of thousands of samples from one stream: quick, where a sample's own stream does not matter."""

    def __init__(self, seed: int, count: int) -> None:
        super().__init__(seed, 1, dtype=torch.float64)
        self.count = count

    def __len__(self) -> int:
        return self.count

    def normal(
        self, shape: torch.Size | tuple[int, ...], device: torch.device | None = None, dtype: torch.dtype | None = None
    ) -> Tensor:
        return super().normal((1, *shape), device, dtype)[0]


def energy_distance(a: Tensor, b: Tensor) -> float:
    """2 E|a - b| - E|a - a'| - E|b - b'| (Szekely and Rizzo), unbiased; 0 for equal distributions."""
    a, b = a.flatten(1), b.flatten(1)
    within_a = torch.pdist(a).mean()
    within_b = torch.pdist(b).mean()
    return float(2 * torch.cdist(a, b).mean() - within_a - within_b)


def energy_threshold(prior: Mixture, count: int, pairs: int = 10) -> float:
    """Mean + 5 standard deviations of the statistic between two exact sample sets of `count`: the noise of the test."""
    generator = torch.Generator().manual_seed(99)
    null = torch.tensor(
        [energy_distance(prior.sample(count, generator), prior.sample(count, generator)) for _ in range(pairs)]
    )
    return float(null.mean() + 5 * null.std())
