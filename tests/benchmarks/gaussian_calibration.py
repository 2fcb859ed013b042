"""How often samples hold the truth where the posterior is known: Gaussian fields, seen in part and with noise.

    python tests/benchmarks/gaussian_calibration.py [--fields 16] [--steps 4 8 12 36 100 400] [--only TEXT]

A field has 10x10 values in [0, 1] units, periodic, of mean .5 and deviation .25, with the spectrum 1 / f^2 of
photographs. Half of its pixels, its blur (gaussian:1) or its means of 2x2 pixels are observed, with noise of .05 or .1.
Held: the share of the true values between the second least and the second largest of 39 samples, which of exact ones
is 36 / 40 = 90 %. Behind it, the samples' deviation over that of the posterior. Prior, score and Jacobian are exact:
what is missing is the method's own. `exact score` is the posterior's, so that it lacks what the sampler's steps do;
`posterior flow` is given its mean and variances too.
"""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from scoreinv.guidance import DDRM, DPS, MMPS, DiffPIR, GivenObservation, Observation, PiGDM, PosteriorFlow
from scoreinv.operators import Blur, LinearOperator, downsampling, kernels, mask
from scoreinv.prior import Prior
from scoreinv.samplers import DPMpp2M, Sampler
from scoreinv.sdes import VE
from scoreinv.system.errors import ScoreinvError

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.mixture import BatchStream, Mixture

SIDE, MEAN, STD = 10, 0.5, 0.25
SAMPLES, LEFT_OUT = 39, 2
"""Order statistics: between the k-th least and the k-th largest of n are 1 - 2 k / (n + 1) of all draws."""


def field() -> Mixture:
    frequency = torch.fft.fftfreq(SIDE, dtype=torch.float64)
    power = 1 / (frequency[:, None] ** 2 + frequency**2).clamp_min(SIDE**-2.0)
    units = torch.eye(SIDE**2, dtype=torch.float64).reshape(-1, SIDE, SIDE)
    covariance = torch.fft.ifft2(power * torch.fft.fft2(units)).real.flatten(1)
    values, axes = torch.linalg.eigh(covariance * STD**2 / covariance[0, 0])
    mean = torch.full((1, 1, SIDE, SIDE), MEAN, dtype=torch.float64)
    return Mixture(VE(0.005, 25.0), torch.ones(1).double(), mean, values.clamp_min(0)[None], axes[None])


def operators() -> dict[str, LinearOperator]:
    seen = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) < 0.5
    blur = Blur(torch.from_numpy(kernels.gaussian(1.0)), SIDE, SIDE)
    return {"mask": mask(seen.double()), "blur": blur, "x2": downsampling(2, SIDE, SIDE)}


Method = Callable[[Mixture, Mixture, LinearOperator, Tensor, float, int], tuple[Prior, Sampler]]
"""Of the prior, its posterior, an operator, an observation, its noise and steps."""


def solver(steps: int) -> DPMpp2M:
    return DPMpp2M(eta=1.0, steps=steps)


def flow(posterior: Mixture, steps: int) -> PosteriorFlow:
    variance = posterior.covariances()[0].diagonal().reshape(1, 1, SIDE, SIDE)
    return PosteriorFlow(variance.expand(SAMPLES, -1, -1, -1), torch.eye(1), steps)


METHODS: dict[str, Method] = {
    "exact score": lambda p, q, a, y, s, n: (q, solver(n)),
    "posterior flow": lambda p, q, a, y, s, n: (q, flow(q, n)),
    "MMPS": lambda p, q, a, y, s, n: (MMPS(p, Observation(a, y, s)), solver(n)),
    "DiffPIR": lambda p, q, a, y, s, n: (DiffPIR(p, Observation(a, y, s)), solver(n)),
    "PiGDM": lambda p, q, a, y, s, n: (PiGDM(p, Observation(a, y, s), variance=STD**2), solver(n)),
    "DDRM": lambda p, q, a, y, s, n: (GivenObservation(p, Observation(a, y, s)), DDRM(steps=n)),
    "DPS": lambda p, q, a, y, s, n: (DPS(p, Observation(a, y, s)), solver(n)),
}


def calibration(method: Method, operator: LinearOperator, noise: float, steps: int, fields: int) -> tuple[float, float]:
    """The share of the true values that samples hold, and their deviation over the posterior's."""
    prior, generator = field(), torch.Generator().manual_seed(1)
    held, drawn, exact = [], [], []
    for number in range(fields):
        truth = prior.sample(1, generator)
        y = operator(truth)
        seen = operator(torch.ones_like(truth)) != 0
        y = y + noise * seen * torch.randn(y.shape, generator=generator, dtype=y.dtype)
        posterior = prior.conditional(operator, y, noise)
        wrapped, sampler = method(prior, posterior, operator, y, noise, steps)
        x0 = sampler.sample(wrapped, (SAMPLES, 1, SIDE, SIDE), rng=BatchStream(number, SAMPLES)).x0.sort(0).values
        held.append(((truth >= x0[LEFT_OUT - 1]) & (truth <= x0[-LEFT_OUT])).double().mean())
        drawn.append(x0.var(0).mean())
        exact.append(posterior.variances.mean())
    return float(sum(held) / fields), math.sqrt(sum(drawn) / sum(exact))


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
