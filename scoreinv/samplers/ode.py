"""The probability-flow ODE: deterministic sampling, encoding and decoding (Song et al. 2021, section 4.3, D.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from scoreinv.checks import check_number
from scoreinv.errors import InputError
from scoreinv.precision import true_float32
from scoreinv.prior import Prior, check_prior
from scoreinv.samplers.base import Callback, Samples, State
from scoreinv.samplers.flow import check_states, flow
from scoreinv.samplers.walk import Walk, WalkingSampler, check_start
from scoreinv.sdes import TRAINING_START, as_time


@dataclass(frozen=True)
class ODE(WalkingSampler):
    """Sampling by the probability-flow ODE with adaptive RK45, each sample with its own error control.

    A conditional prior constrains the states that it is evaluated at, with one noise for the whole trajectory. The end
    is denoised by Tweedie's formula, which is one more evaluation.

    Attributes:
        rtol, atol: relative and absolute tolerance of a step, as scipy's RK45 has them, for states of unit variance
            (`samplers.flow`).
    """

    rtol: float = 1e-5
    atol: float = 1e-5

    eta: ClassVar[float] = 0.0

    def grid(self, prior: Prior, start: State | None) -> Tensor:
        check_start(prior.sde, start)
        return torch.tensor([1.0 if start is None else start.t, prior.sde.sampling_end], dtype=torch.float64)

    @true_float32()
    def run(self, walk: Walk, x: Tensor) -> Samples:
        prior, z = walk.prior, walk.constraint_noise(x)
        begin, end = walk.times.tolist()
        found = flow(prior, x, begin, end, constraint=z, rtol=self.rtol, atol=self.atol, callback=walk.callback)
        x = walk.constrain(found.x.to(x), walk.times[1])
        calls = found.nfe + 1
        x0 = prior.finish(prior.denoise(x, end))
        return Samples(x0, calls * prior.evaluations_per_noise, calls * prior.vjps_per_noise)


@dataclass(frozen=True)
class Latent:
    """The latent code of a picture under the probability-flow ODE.

    Attributes:
        z: the state at t = 1, (B, C, H, W).
        nfe: evaluations of the network for each sample, int64 (B,).
    """

    z: Tensor
    nfe: Tensor


@torch.no_grad()
def encode(
    prior: Prior,
    x: Tensor,
    *,
    steps: int | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    callback: Callback | None = None,
) -> Latent:
    """The latent code of x (B, C, H, W) in the model's range: the ODE from t = 1e-5 to 1.

    Arguments:
        steps: of a fixed grid, four evaluations each, 16 being good; None for adaptive RK45.
        rtol, atol: tolerances of RK45, each sample with its own error control.
        callback: told of each step; may stop the work.

    Returns the code with the evaluations that it took. Raises InputError for what is no such picture or setting,
    ScoreinvError where the prior is not finite, and Cancelled when the callback stopped.
    """
    end = flow(prior, x, TRAINING_START, 1.0, steps=steps, rtol=rtol, atol=atol, callback=callback)
    return Latent(end.x.to(x), end.nfe * prior.evaluations_per_noise)


@torch.no_grad()
def decode(
    prior: Prior,
    z: Tensor,
    *,
    temperature: float = 1.0,
    end: float | None = None,
    steps: int | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    callback: Callback | None = None,
) -> Samples:
    """The picture of a latent code z (B, C, H, W): the ODE from t = 1 to `end`, not denoised.

    Arguments:
        temperature: the code is multiplied by it, at least 0; below 1 pictures are smoother and more alike (Song et al.
            2021, D.4).
        end: a time from 0 to below 1 at which the SDE has noise. None: the SDE's `sampling_end`, as the paper's
            samples; `TRAINING_START`, where `encode` begins, makes this its inverse.
        steps, rtol, atol: as in `encode`.

    Raises InputError for a negative temperature, and an end that is not such.
    """
    check_prior(prior)
    check_number("temperature", temperature, 0)
    if end is not None:
        check_number("end", end)
    check_states(z)
    end = prior.sde.sampling_end if end is None else end
    if not (0 <= end < 1 and prior.sde.sigma(as_time(end)) > 0):
        raise InputError(f"decoding ends at a time between 0 and 1, not {end}")
    found = flow(prior, temperature * z, 1.0, end, steps=steps, rtol=rtol, atol=atol, callback=callback)
    return Samples(found.x.to(z), found.nfe * prior.evaluations_per_noise, found.nfe * prior.vjps_per_noise)
