"""deepinv (Tachella et al. 2023): its samplers with a prior of ours, and its physics as an operator of ours.

    denoiser = Denoiser(scoreinv.load("denoiser"))
    estimate = deepinv.sampling.DDRM(denoiser)(y, physics)

    operator = operator_of(physics, (3, 256, 256))
    result = scoreinv.solve(operator, y, prior=prior, noise_std=0.05, method="ddrm")

Needs deepinv: pip install 'scoreinv[bench]'.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import deepinv
import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.operators import LinearOperator, SpectralOperator
from scoreinv.operators.base import damped_inverse, scaled
from scoreinv.prior import Prior, check_prior
from scoreinv.sdes import as_time, broadcast, time_at
from scoreinv.system.errors import InputError
from scoreinv.system.text import shown

_ROUNDED = 1e-5  # of the largest squared singular value: smaller ones are lost in the rounding of float32


class Denoiser(deepinv.models.Denoiser):
    """E[x0 | x0 + sigma z = x] by a prior (Tweedie's formula), for pictures in [0, 1]: one evaluation, differentiable.

    Below the least noise that the prior knows it is denoised as if it had that much, and above the largest it is first
    shrunk towards mid-grey until it has that. Sides that are no multiples of the prior's stride are continued.

    Args:
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

    It works in the physics' dtype and on its device; A^+ and what else is inverted is by conjugate gradients. It has a
    singular value decomposition (`spectral`, for `ddrm`) where A A^T is diagonal, in pixels as for `Inpainting`, whose
    mask is 1 where a pixel is observed, or in frequencies as for `BlurFFT`, and `Blur` and `Downsampling` with circular
    padding. `solve` takes observations (B, C, H, W): for compressed sensing use `StructuredRandom`, not
    `CompressedSensing`. Physics with a parameter for each picture of a batch are not taken.

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
    return _Physics(physics, y.shape)


@dataclass(frozen=True, eq=False)
class _Physics(LinearOperator):
    physics: deepinv.physics.LinearPhysics
    observed: torch.Size

    def __call__(self, x: Tensor) -> Tensor:
        return self.physics.A(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.physics.A_adjoint(y)

    def spectral(self) -> SpectralOperator:
        """The operator with its singular value decomposition where A A^T is diagonal, which a random y tells."""
        y = torch.randn(self.observed, generator=torch.Generator().manual_seed(0))
        if y.ndim == 4:
            y = y.to(next(self.physics.buffers(), y))
            seen = self(self.adjoint(y))
            for frequencies in (False, True):
                found = _Diagonal(self, frequencies)
                if torch.allclose(found.squared(y), seen, rtol=0, atol=1e-4 * float(seen.abs().max())):
                    return found
        return super().spectral()


@dataclass(frozen=True, eq=False)
class _Diagonal(SpectralOperator):
    """A of A A^T = F^-1 diag(s^2) F: U = F^-1, and V^T x = F A x / s, of the components that are observed.

    Attributes:
        frequencies: F is the unitary Fourier transform of each channel; else pixels are kept.
    """

    physics: _Physics
    frequencies: bool

    @cached_property
    def singular(self) -> Tensor:
        """s, 0 where the rounding of s^2 is more: A A^T is read off from what it makes of ones, or of a point."""
        shape = self.physics.observed
        y = torch.zeros(shape) if self.frequencies else torch.ones(shape)
        y = y.to(next(self.physics.physics.buffers(), y))
        if self.frequencies:
            y[..., 0, 0] = 1
        seen = self.physics(self.physics.adjoint(y))
        squares = torch.fft.rfft2(seen).real if self.frequencies else seen
        return torch.where(squares > _ROUNDED * squares.max(), squares, 0).sqrt()

    def squared(self, y: Tensor) -> Tensor:
        """A A^T y, if it is diagonal."""
        return self.synthesise_observation(scaled(self.singular.square(), self.analyse_observation(y)))

    def analyse(self, x: Tensor) -> Tensor:
        return scaled(damped_inverse(self.singular, 0.0), self.analyse_observation(self.physics(x)))

    def synthesise(self, spectrum: Tensor) -> Tensor:
        return self.physics.adjoint(self.synthesise_observation(scaled(damped_inverse(self.singular, 0.0), spectrum)))

    def analyse_observation(self, y: Tensor) -> Tensor:
        return torch.fft.rfft2(y, norm="ortho") if self.frequencies else y

    def synthesise_observation(self, spectrum: Tensor) -> Tensor:
        return torch.fft.irfft2(spectrum, s=self.physics.observed[-2:], norm="ortho") if self.frequencies else spectrum


def _levels(sigma: float | Tensor, count: int) -> Tensor:
    """Noise levels as float64 () or (B,) on the CPU."""
    levels = torch.as_tensor(sigma, dtype=torch.float64, device="cpu").flatten()
    if len(levels) not in (1, count) or not (levels >= 0).all():
        raise InputError(f"sigma is one number of at least 0, or {count} of them, not {shown(sigma)}")
    return levels
