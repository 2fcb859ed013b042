"""deepinv (Tachella et al. 2023): its samplers with a prior of ours, and its physics as an operator of ours.

    denoiser = Denoiser(scoreinv.load("denoiser"))
    estimate = deepinv.sampling.DDRM(denoiser)(y, physics)

    operator = operator_of(physics, (3, 256, 256))
    result = scoreinv.solve(operator, y, prior=prior, noise_std=0.05)

Needs deepinv: pip install 'scoreinv[bench]'.
"""

from __future__ import annotations

from dataclasses import dataclass

import deepinv
import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.errors import InputError
from scoreinv.operators import LinearOperator
from scoreinv.prior import Prior, check_prior
from scoreinv.sdes import as_time, broadcast, time_at
from scoreinv.text import shown


class Denoiser(deepinv.models.Denoiser):
    """E[x0 | x0 + sigma z = x] by a prior (Tweedie's formula), for pictures in [0, 1]: one evaluation, differentiable.

    Below the least noise that the prior knows it is denoised as if it had that much, and above the largest it is first
    shrunk towards mid-grey until it has that. Sides that are no multiples of the prior's stride are continued.

    Arguments:
        prior: unconditional; wrapped where it is to see windows (`Tiled`) or several orientations (`SelfEnsemble`).
    """

    def __init__(self, prior: Prior) -> None:
        check_prior(prior)
        super().__init__()
        self.prior = prior

    def forward(self, x: Tensor, sigma: float | Tensor, **_: object) -> Tensor:
        """The denoised picture, of the shape and dtype of x (B, C, H, W).

        Args:
            sigma: standard deviation of the noise in [0, 1] units, at least 0: a number, or of each picture, (B,).

        Raises InputError for another sigma.
        """
        low, high = self.prior.data_range
        middle, scale, sde = (low + high) / 2, high - low, self.prior.sde
        level = scale * _levels(sigma, len(x))
        largest = sde.noise_to_signal(as_time(1.0))
        t = time_at(sde, torch.minimum(level, largest)).clamp(min=sde.sampling_end)
        shrunk = broadcast((largest / level.clamp(min=1e-12)).clamp(max=1), x)
        state = middle + shrunk * (low + scale * x - middle)
        height, width = x.shape[-2:]
        below, right = -height % self.prior.stride, -width % self.prior.stride
        state = F.pad(broadcast(sde.alpha(t), x) * state, (0, right, 0, below), mode="replicate")
        x0 = self.prior.denoise(state, t)[..., :height, :width]
        return ((x0 - low) / scale).to(x.dtype)


def operator_of(physics: deepinv.physics.LinearPhysics, shape: tuple[int, int, int]) -> LinearOperator:
    """The linear operator A of deepinv's physics, without its noise, on pictures of `shape` (C, H, W).

    It works in the physics' dtype and on its device; A^+ and what else is inverted is by conjugate gradients. Physics
    with a parameter for each picture of a batch are not taken.

    Raises InputError for physics that are not linear, not for such pictures, or whose observation is not one tensor of
    real values.
    """
    if not isinstance(physics, deepinv.physics.LinearPhysics):
        raise InputError(f"an operator is made of deepinv's linear physics, not of {shown(physics)}")
    try:
        y = physics.A(torch.zeros(1, *shape, device=next(physics.buffers(), torch.empty(0)).device))
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{type(physics).__name__} is not for pictures of {tuple(shape)}: {reason}") from error
    if not (isinstance(y, Tensor) and y.is_floating_point() and len(y) == 1):
        raise InputError(f"{type(physics).__name__} does not give one observation of real values for one picture")
    return _Physics(physics)


@dataclass(frozen=True, eq=False)
class _Physics(LinearOperator):
    physics: deepinv.physics.LinearPhysics

    def __call__(self, x: Tensor) -> Tensor:
        return self.physics.A(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.physics.A_adjoint(y)


def _levels(sigma: float | Tensor, count: int) -> Tensor:
    """Noise levels as float64 () or (B,) on the CPU."""
    levels = torch.as_tensor(sigma, dtype=torch.float64, device="cpu").flatten()
    if len(levels) not in (1, count) or not (levels >= 0).all():
        raise InputError(f"sigma is one number of at least 0, or {count} of them, not {shown(sigma)}")
    return levels
