"""How often samples hold the truth where the posterior is known: Gaussian fields, seen in part and with noise.

    python tests/benchmarks/gaussian_calibration.py [--fields 16] [--steps 4 8 12 36 100 400] [--only TEXT]

A field has 10x10 values in [0, 1] units, periodic, of mean .5 and deviation .25, with the spectrum 1 / f^2 of
photographs. Half of its pixels, its blur (gaussian:1) or its means of 2x2 pixels are observed, with noise of .05 or .1.
Held: the share of the true values between the second least and the second largest of 39 samples, which of exact ones
is 36 / 40 = 90 %. Behind it, the samples' deviation over that of the posterior. Prior, score and Jacobian are exact:
what is missing is the method's own. `exact score` is the posterior's, so that it lacks what the sampler's steps do;
`posterior flow` is given its mean and variances too.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from scoreinv import kernels
from scoreinv.errors import ScoreinvError
from scoreinv.guidance import DPS, MMPS, DiffPIR, PiGDM
from scoreinv.operators import Blur, LinearOperator, downsampling, mask
from scoreinv.prior import Prior
from scoreinv.samplers import DDRM, DPMpp2M, PosteriorFlow, Sampler
from scoreinv.sdes import VE, as_time, broadcast

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from mixture import BatchStream

SIDE, MEAN, STD = 10, 0.5, 0.25
SAMPLES, LEFT_OUT = 39, 2
"""Order statistics: between the k-th least and the k-th largest of n are 1 - 2 k / (n + 1) of all draws."""


class Gaussian(Prior):
    """N(mean, axes diag(values) axes^T), mean (B or 1, D): noise = sigma (alpha^2 C + sigma^2)^-1 (x - alpha mean)."""

    data_range = (0.0, 1.0)

    def __init__(self, mean: Tensor, covariance: Tensor) -> None:
        self.sde = VE(0.005, 25.0)
        self.mean, self.covariance = mean, covariance
        values, self.axes = torch.linalg.eigh(covariance)
        self.values = values.clamp_min(0)

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t)
        alpha, sigma = (broadcast(f(t), x.flatten(1)) for f in (self.sde.alpha, self.sde.sigma))
        offset = (x.flatten(1) - alpha * self.mean) @ self.axes
        return (sigma * offset / (alpha**2 * self.values + sigma**2) @ self.axes.T).reshape(x.shape)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        z = torch.randn(count, len(self.values), generator=generator, dtype=torch.float64)
        return (self.mean + z * self.values.sqrt() @ self.axes.T).reshape(count, 1, SIDE, SIDE)

    def given(self, a: Tensor, y: Tensor, noise: float) -> Gaussian:
        """The posteriors of observations y (B, d) of A x + noise: of one covariance, whatever y is."""
        gain = self.covariance @ a.T @ torch.linalg.inv(a @ self.covariance @ a.T + noise**2 * torch.eye(len(a)))
        return Gaussian(self.mean + (y - self.mean @ a.T) @ gain.T, self.covariance - gain @ a @ self.covariance)


def field() -> Gaussian:
    frequency = torch.fft.fftfreq(SIDE, dtype=torch.float64)
    power = 1 / (frequency[:, None] ** 2 + frequency**2).clamp_min(SIDE**-2.0)
    units = torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, SIDE, SIDE)
    covariance = torch.fft.ifft2(power * torch.fft.fft2(units)).real.flatten(1)
    return Gaussian(torch.full((1, SIDE**2), MEAN).double(), covariance * STD**2 / covariance[0, 0])


def operators() -> dict[str, LinearOperator]:
    seen = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) < 0.5
    blur = Blur(torch.from_numpy(kernels.gaussian(1.0)), SIDE, SIDE)
    return {"mask": mask(seen.double()), "blur": blur, "x2": downsampling(2, SIDE, SIDE)}


Method = Callable[[Gaussian, Gaussian, LinearOperator, Tensor, float, int], tuple[Prior, Sampler]]
"""Of the prior, its posteriors, an operator, observations, their noise and steps."""


def solver(steps: int) -> DPMpp2M:
    return DPMpp2M(eta=1.0, steps=steps)


def flow(posterior: Gaussian, steps: int) -> PosteriorFlow:
    variance = posterior.covariance.diagonal().reshape(1, 1, SIDE, SIDE).expand(len(posterior.mean), -1, -1, -1)
    return PosteriorFlow(variance, torch.eye(1), steps)


METHODS: dict[str, Method] = {
    "exact score": lambda p, q, a, y, s, n: (q, solver(n)),
    "posterior flow": lambda p, q, a, y, s, n: (q, flow(q, n)),
    "MMPS": lambda p, q, a, y, s, n: (MMPS(p, a, y, s), solver(n)),
    "DiffPIR": lambda p, q, a, y, s, n: (DiffPIR(p, a, y, s), solver(n)),
    "PiGDM": lambda p, q, a, y, s, n: (PiGDM(p, a, y, s, variance=STD**2), solver(n)),
    "DDRM": lambda p, q, a, y, s, n: (p, DDRM(a, y, s, steps=n)),
    "DPS": lambda p, q, a, y, s, n: (DPS(p, a, y, s), solver(n)),
}


def calibration(method: Method, operator: LinearOperator, noise: float, steps: int, fields: int) -> tuple[float, float]:
    """The share of the true values that samples hold, and their deviation over the posterior's."""
    prior, generator = field(), torch.Generator().manual_seed(1)
    truth = prior.draw(fields, generator)
    units = torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, 1, SIDE, SIDE)
    a = operator(units).flatten(1).T
    y = operator(truth)
    seen = (a.abs().sum(1) > 0).reshape(1, *y.shape[1:])
    y = y + noise * seen * torch.randn(y.shape, generator=generator, dtype=y.dtype)
    posterior = prior.given(a, y.flatten(1), noise)
    rows = Gaussian(posterior.mean.repeat_interleave(SAMPLES, 0), posterior.covariance)
    wrapped, sampler = method(prior, rows, operator, y.repeat_interleave(SAMPLES, 0), noise, steps)
    shape = (fields * SAMPLES, 1, SIDE, SIDE)
    x0 = sampler.sample(wrapped, shape, rng=BatchStream(0, len(rows.mean))).x0
    samples = x0.reshape(fields, SAMPLES, *truth.shape[1:]).sort(1).values
    held = (truth >= samples[:, LEFT_OUT - 1]) & (truth <= samples[:, -LEFT_OUT])
    spread = samples.var(1).mean() / posterior.covariance.diagonal().mean()
    return float(held.double().mean()), math.sqrt(spread)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, default=16)
    parser.add_argument("--steps", type=int, nargs="+", default=[4, 8, 12, 36, 100, 400])
    parser.add_argument("--only", nargs="*", metavar="TEXT", default=[""], help="methods whose name contains one")
    options = parser.parse_args()
    problems = [(name, operator, noise) for name, operator in operators().items() for noise in (0.05, 0.1)]
    print("| method | steps | " + " | ".join(f"{name}, {noise}" for name, _, noise in problems) + " |")
    print("|---" * (2 + len(problems)) + "|")
    for name, method in METHODS.items():
        if not any(text in name for text in options.only):
            continue
        for steps in options.steps:
            cells = []
            for _, operator, noise in problems:
                try:
                    held, spread = calibration(method, operator, noise, steps, options.fields)
                    cells.append(f"{100 * held:.0f} % ({spread:.2f})")
                except ScoreinvError:
                    cells.append("diverges")
            print(f"| {name} | {steps} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
