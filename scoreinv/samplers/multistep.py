"""DPM-Solver++(2M): an exponential integrator of the reverse process with a memory of one step.

In data prediction, with lambda = log(alpha / sigma) and h = lambda(s) - lambda(t) > 0, the reverse process with
stochasticity eta has the exact solution for a denoised mean D that is linear in lambda up to second order

    x_s = sigma_s/sigma_t e^(-eta h) x_t + alpha_s (1 - e^(-(1 + eta) h)) D + sigma_s sqrt(1 - e^(-2 eta h)) z,
    D   = D_t + (D_t - D_r) h / (2 (lambda(t) - lambda(r)))

where D_r is the denoised mean at the time r visited before t (Lu et al. 2022, arXiv 2211.01095, eq. 12 and section 5).
Only alpha and sigma enter, so it runs on any SDE.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch

from scoreinv.prior import Prior
from scoreinv.samplers.base import (
    Callback,
    CountedPrior,
    Progress,
    Samples,
    State,
    check_noise,
    constrained,
    diffuse,
    fresh,
    initial_state,
    report,
    time_grid,
)
from scoreinv.samplers.noise import NoiseStream
from scoreinv.samplers.predictors import check_stochasticity
from scoreinv.samplers.times import Spacing, karras_times
from scoreinv.sdes import broadcast


@dataclass(frozen=True)
class Multistep:
    """DPM-Solver++(2M): good samples in 10 to 50 evaluations, one a step.

    The first step, the step after a jump up, the one from where a constraint lets go (before it the state was not on
    the trajectory that begins there) and the last (to the denoised mean) are of first order. A conditional prior
    constrains the state at every time: with one noise for the whole trajectory when eta = 0, afresh when eta > 0.

    Attributes:
        stochasticity: eta, from 0 (probability-flow ODE) to 1 (reverse SDE).
        steps, spacing, times: as in `PC`.
    """

    stochasticity: float = 0.0
    steps: int = 25
    spacing: Spacing = karras_times
    times: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_stochasticity(self.stochasticity)

    @torch.no_grad()
    def sample(
        self,
        prior: Prior,
        shape: tuple[int, ...],
        *,
        noise: NoiseStream,
        callback: Callback | None = None,
        start: State | None = None,
    ) -> Samples:
        """Samples of shape (B, C, H, W), on the device and in the dtype of the noise, or of `start` when given."""
        prior = CountedPrior(prior)
        sde, eta = prior.sde, self.stochasticity
        check_noise(prior, eta)
        times = time_grid(sde, self.spacing, self.steps, self.times, start, prior.release)
        level = -sde.noise_to_signal(times).log()
        x = initial_state(prior, shape, times[0], noise, start)
        z = fresh(prior, x, noise)
        x = constrained(prior, x, times[0], z)
        previous = None
        for i, (t, s) in enumerate(pairwise(times)):
            if s < t:
                h = level[i + 1] - level[i]
                mean = current = prior.denoise(x, t)
                if previous is not None:
                    mean = current + broadcast(h / (2 * (level[i] - level[i - 1])), x) * (current - previous)
                previous = None if t > prior.release >= s else current
                x = broadcast(sde.sigma(s) / sde.sigma(t) * (-eta * h).exp(), x) * x
                x = x - broadcast(sde.alpha(s) * torch.expm1(-(1 + eta) * h), x) * mean
                if eta > 0:
                    std = sde.sigma(s) * (-torch.expm1(-2 * eta * h)).sqrt()
                    x = x + broadcast(std, x) * noise.normal(x.shape, x.device, x.dtype)
            else:
                x = diffuse(sde, x, t, s, noise.normal(x.shape, x.device, x.dtype))
                previous = None
            if eta > 0:
                z = fresh(prior, x, noise)
            x = constrained(prior, x, s, z)
            report(callback, Progress((i + 1) / len(times), i + 1, len(times), float(s), x, prior.calls))
        result = prior.samples(prior.denoise(x, times[-1]))
        report(callback, Progress(1.0, len(times), len(times), 0.0, result.x0, prior.calls))
        return result
