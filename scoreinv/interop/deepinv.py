"""deepinv (Tachella et al. 2023): our priors as its denoisers, and its physics as our operators.

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

_ROUNDED = 1e-5  # smaller squared singular values, relative to the largest, are lost in float32 rounding


class Denoiser(deepinv.models.Denoiser):
    """E[x0 | x0 + sigma z = x] of a prior (Tweedie's formula), for pictures in [0, 1]: one evaluation, differentiable.

    Noise below the prior's smallest level is treated as that level. For noise above the largest level, the picture is
    first shrunk towards mid-grey. Sides that are not multiples of the prior's stride are padded.

    Args:
        prior: an unconditional prior; wrap it to use windows and orientations (`Tiled`).
    """

    def __init__(self, prior: Prior) -> None:
        check_prior(prior)
        super().__init__()
        self.prior = prior

    def forward(self, x: Tensor, sigma: float | Tensor, **_: object) -> Tensor:
        """Return the denoised picture, in the shape and dtype of x (B, C, H, W).

        Args:
            sigma: standard deviation of the noise in [0, 1] units, at least 0: a number, or one per picture, (B,).

        Raises InputError for an invalid sigma.
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
    """Return the linear operator A of deepinv's physics, without its noise, on pictures of `shape` (C, H, W).

    It works in the physics' dtype and on its device, and is inverted by conjugate gradients. It has a singular value
    decomposition (`spectral`, for `ddrm`) if A A^T is diagonal: in pixels, as for `Inpainting` with a mask of 1 =
    observed, or in frequencies, as for `BlurFFT`, and for `Blur` and `Downsampling` with circular padding. `solve`
    accepts observations (B, C, H, W): for compressed sensing use `StructuredRandom`, not `CompressedSensing`. Physics
    with different parameters for the pictures of a batch are not supported.

    Raises InputError for physics that are not linear, do not fit the shape, or whose observation is not one tensor of
    real values.
    """
    if not isinstance(physics, deepinv.physics.LinearPhysics):
        raise InputError(f"an operator needs deepinv's linear physics, not {shown(physics)}")
    try:
        y = physics.A(torch.zeros(1, *shape, device=next(physics.buffers(), torch.empty(0)).device))
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{type(physics).__name__} does not accept pictures of {tuple(shape)}: {reason}") from error
    if not (isinstance(y, Tensor) and y.is_floating_point() and len(y) == 1):
        raise InputError(f"{type(physics).__name__} must return one observation of real values for one picture")
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
        """Return the operator with its singular value decomposition, if A A^T is diagonal for a random y."""
        y = torch.randn(self.observed, generator=torch.Generator().manual_seed(0))
        if y.ndim == 4:
            y = y.to(next(self.physics.buffers(), y))
            image = self(self.adjoint(y))
            for frequencies in (False, True):
                found = _Diagonal(self, frequencies)
                if torch.allclose(found.squared(y), image, rtol=0, atol=1e-4 * float(image.abs().max())):
                    return found
        return super().spectral()


@dataclass(frozen=True, eq=False)
class _Diagonal(SpectralOperator):
    """A with A A^T = F^-1 diag(s^2) F: U = F^-1, and V^T x = F A x / s for the observed components.

    Attributes:
        frequencies: whether F is the unitary Fourier transform of each channel, or the identity.
    """

    physics: _Physics
    frequencies: bool

    def __call__(self, x: Tensor) -> Tensor:
        return self.physics(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.physics.adjoint(y)

    @cached_property
    def singular(self) -> Tensor:
        """s, or 0 below the rounding of s^2; read off A A^T applied to ones, or to a point."""
        shape = self.physics.observed
        y = torch.zeros(shape) if self.frequencies else torch.ones(shape)
        y = y.to(next(self.physics.physics.buffers(), y))
        if self.frequencies:
            y[..., 0, 0] = 1
        image = self.physics(self.physics.adjoint(y))
        squares = torch.fft.rfft2(image).real if self.frequencies else image
        return torch.where(squares > _ROUNDED * squares.max(), squares, 0).sqrt()

    def squared(self, y: Tensor) -> Tensor:
        """Return A A^T y, if it is diagonal."""
        return self._synthesised(scaled(self.singular.square(), self.analyse_observation(y)))

    def analyse(self, x: Tensor) -> Tensor:
        return scaled(damped_inverse(self.singular, 0.0), self.analyse_observation(self.physics(x)))

    def synthesise(self, spectrum: Tensor) -> Tensor:
        return self.physics.adjoint(self._synthesised(scaled(damped_inverse(self.singular, 0.0), spectrum)))

    def analyse_observation(self, y: Tensor) -> Tensor:
        return torch.fft.rfft2(y, norm="ortho") if self.frequencies else y

    def _synthesised(self, spectrum: Tensor) -> Tensor:
        """Return U spectrum."""
        return torch.fft.irfft2(spectrum, s=self.physics.observed[-2:], norm="ortho") if self.frequencies else spectrum


def _levels(sigma: float | Tensor, count: int) -> Tensor:
    """Return noise levels as float64 () or (B,) on the CPU."""
    levels = torch.as_tensor(sigma, dtype=torch.float64, device="cpu").flatten()
    if len(levels) not in (1, count) or not (levels >= 0).all():
        raise InputError(f"sigma must be a number of at least 0, or {count} of them, not {shown(sigma)}")
    return levels
