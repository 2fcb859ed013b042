"""What the tests of samplers share: SDEs, single steps, and the error against the exact flow of a Gaussian."""

from typing import Any

import pytest
import torch
from torch import Tensor

from scoreinv.prior import Prior
from scoreinv.samplers import State
from scoreinv.sdes import SDE, time_at
from support.mixture import SDES, BatchStream, correlated

CONTINUOUS = pytest.mark.parametrize("sde", [SDES["ve"], SDES["vp"], SDES["subvp"]], ids=["ve", "vp", "subvp"])
EVERY_SDE = pytest.mark.parametrize("sde", SDES.values(), ids=SDES.keys())


def exact_flow(prior: Prior, x: Tensor, t: float | Tensor, s: float | Tensor) -> Tensor:
    """The probability flow of `gaussian` from t to s: (x - alpha m) / std is kept."""
    times = torch.stack([torch.as_tensor(t, dtype=torch.float64), torch.as_tensor(s, dtype=torch.float64)])
    alpha, sigma = prior.sde.alpha(times), prior.sde.sigma(times)
    mean, std = alpha * 0.3, (alpha**2 * 0.25 + sigma**2).sqrt()
    return mean[1] + std[1] / std[0] * (x - mean[0])


def one_step(step: Any, sde: SDE, t: float = 0.6, s: float = 0.55) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, score, z and the state after one step of a predictor."""
    prior = correlated(sde)
    x = prior.sample(4, torch.Generator().manual_seed(0), t)
    now, then = torch.tensor([t, s], dtype=torch.float64)
    z = BatchStream(5, 4).normal(x.shape)
    return x, prior.score(x, now), z, step.step(prior, x, now, then, BatchStream(5, 4))


def grid_error(sampler: Any, prior: Prior, x: Tensor) -> float:
    """Error of a sampler's end, which is the denoised state at .2, against the exact flow."""
    result = sampler.sample(prior, x.shape, rng=BatchStream(0, len(x)), start=State(x, 0.8))
    expected = prior.denoise(exact_flow(prior, x, 0.8, 0.2), 0.2)
    return float((result.x0 - expected).abs().max())


def logarithmic(sde: SDE, n: int) -> tuple[float, ...]:
    """n + 1 times from .8 to .2, even in the logarithm of the noise level."""
    low, high = sde.noise_to_signal(torch.tensor([0.2, 0.8], dtype=torch.float64)).log()
    return (0.8, *time_at(sde, torch.linspace(high, low, n + 1, dtype=torch.float64).exp())[1:].tolist())
