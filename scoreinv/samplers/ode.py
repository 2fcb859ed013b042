"""The probability-flow ODE: deterministic sampling, encoding and decoding (Song et al. 2021, section 4.3, D.2).

    dx/dt = f(x, t) - g(t)^2/2 grad log p_t(x) = (d ln alpha/dt) x + g(t)^2 / (2 sigma(t)) noise(x, t)

The solver's state is float64 and the prior is evaluated in the dtype of the given picture (float32): rounding in the
state would multiply the adaptive steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoreinv.prior import Prior
from scoreinv.samplers.base import Callback, Progress, Samples, State, initial_state, report
from scoreinv.samplers.noise import NoiseStream
from scoreinv.samplers.runge_kutta import Monitor, rk45
from scoreinv.sdes import TRAINING_START, broadcast


@dataclass(frozen=True)
class ODE:
    """Sampling by the probability-flow ODE with adaptive RK45, each sample with its own error control.

    A conditional prior constrains the states that it is evaluated at, with one noise for the whole trajectory. The end
    is denoised by Tweedie's formula, which is one more evaluation.

    Attributes:
        rtol, atol: relative and absolute tolerance of a step, as scipy's RK45 has them.
    """

    rtol: float = 1e-5
    atol: float = 1e-5

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
        begin = 1.0 if start is None else start.t
        end = prior.sde.sampling_end
        x = initial_state(prior, shape, torch.tensor(begin, dtype=torch.float64), noise, start)
        z = noise.normal(x.shape, x.device, x.dtype)

        def flow(t: Tensor, y: Tensor, index: Tensor) -> Tensor:
            some = prior.rows(index)
            state = y.reshape(-1, *x.shape[1:]).to(x)
            return velocity(some, some.constrain(state, t, z[index.to(z.device)]), t).to(y).flatten(1)

        y, nfe = rk45(flow, to_state(x), begin, end, self.rtol, self.atol, monitor(callback, x, begin, end))
        x = prior.constrain(y.reshape(x.shape).to(x), torch.tensor(end, dtype=torch.float64), z)
        calls = nfe + 1
        x0 = prior.finish(prior.denoise(x, end))
        return Samples(x0, calls * prior.evaluations_per_noise, calls * prior.vjps_per_noise)


@dataclass(frozen=True)
class Latent:
    """The latent code of a picture under the probability-flow ODE.

    Attributes:
        z: the state at t = 1, (B, C, H, W).
        nfe: evaluations of the noise prediction for each sample, int64 (B,).
    """

    z: Tensor
    nfe: Tensor


@torch.no_grad()
def encode(
    prior: Prior, x: Tensor, *, rtol: float = 1e-5, atol: float = 1e-5, callback: Callback | None = None
) -> Latent:
    """The latent code of x (B, C, H, W) in the model's range: the ODE from t = 1e-5 to 1."""
    return Latent(*_solve(prior, x, TRAINING_START, 1.0, rtol, atol, callback))


@torch.no_grad()
def decode(
    prior: Prior, z: Tensor, *, rtol: float = 1e-5, atol: float = 1e-5, callback: Callback | None = None
) -> Samples:
    """The picture of a latent code z (B, C, H, W): the ODE from t = 1 to the SDE's `sampling_end`, not denoised."""
    x, calls = _solve(prior, z, 1.0, prior.sde.sampling_end, rtol, atol, callback)
    return Samples(x, calls * prior.evaluations_per_noise, calls * prior.vjps_per_noise)


def velocity(prior: Prior, x: Tensor, t: Tensor) -> Tensor:
    """dx/dt of the probability flow at times t (B,), the shape and dtype of x."""
    sde = prior.sde
    strength = sde.diffusion_squared(t) / (2 * sde.sigma(t))
    return broadcast(sde.drift_rate(t), x) * x + broadcast(strength, x) * prior.noise(x, t)


def to_state(x: Tensor) -> Tensor:
    """The solver's state (B, D) in float64; on the CPU where the device has no float64."""
    x = x.cpu() if x.device.type == "mps" else x
    return x.flatten(1).double()


def monitor(callback: Callback | None, x: Tensor, start: float, end: float) -> Monitor:
    """What tells `callback` of an adaptive solution from `start` to `end`, for pictures like x."""
    rounds = 0

    def tell(t: Tensor, y: Tensor, nfe: Tensor) -> None:
        nonlocal rounds
        rounds += 1
        mean = float(t.mean())
        state = y[:, : x[0].numel()].reshape(x.shape).to(x)
        report(callback, Progress((mean - start) / (end - start), rounds, None, mean, state, int(nfe.max())))

    return tell


def _solve(
    prior: Prior, x: Tensor, start: float, end: float, rtol: float, atol: float, callback: Callback | None
) -> tuple[Tensor, Tensor]:
    def flow(t: Tensor, y: Tensor, index: Tensor) -> Tensor:
        return velocity(prior.rows(index), y.reshape(-1, *x.shape[1:]).to(x), t).to(y).flatten(1)

    y, nfe = rk45(flow, to_state(x), start, end, rtol, atol, monitor(callback, x, start, end))
    return y.reshape(x.shape).to(x), nfe
