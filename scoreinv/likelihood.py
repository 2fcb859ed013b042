"""Exact likelihood by the instantaneous change of variables along the probability flow (Song et al. 2021, D.2).

    log p_0(x) = log p_1(x(1)) + integral from 0 to 1 of div v(x(t), t) dt,        v = dx/dt of the ODE,

with the Hutchinson-Skilling estimate div v = E[e^T (dv/dx) e] for probes e of mean 0 and covariance I. Integration
starts at t = 1e-5, with the picture as the state. `encode` and `decode` follow the same flow without the divergence.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field

from torch import Tensor

from scoreinv.prior import Prior, check_prior
from scoreinv.samplers.base import Callback
from scoreinv.samplers.ode import ODE, check_states
from scoreinv.samplers.rng import NoiseStream
from scoreinv.sdes import TRAINING_START
from scoreinv.system.errors import SettingError
from scoreinv.system.options import require
from scoreinv.system.text import shown

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Likelihood:
    """Likelihoods of a batch of pictures.

    Attributes:
        bits_per_dim: bits per dimension of 8-bit data, float64 (B,).
        log_likelihood: log p_0(x) of the picture in the model's range, in nats, float64 (B,).
        latent: the latent code, the state at t = 1, (B, C, H, W).
        nfe: network evaluations, int64 (B,).
        vjps: vector-Jacobian products, of the divergence and of guidance, int64 (B,).
    """

    bits_per_dim: Tensor
    log_likelihood: Tensor
    latent: Tensor = field(repr=False)
    nfe: Tensor
    vjps: Tensor


def bits_per_dim(
    prior: Prior,
    x: Tensor,
    *,
    probe: Tensor | None = None,
    steps: int | None = None,
    rtol: float = 1e-5,
    atol: float = 1e-5,
    callback: Callback | None = None,
) -> Likelihood:
    """Compute the exact likelihood of pictures in bits per dimension: -log2 p_0(x) / D + log2(256 / (hi - lo)).

        x = prior.to_model((levels + torch.rand(levels.shape)) / 256)  # of levels (B, C, H, W) from 0 to 255
        scoreinv.bits_per_dim(prior, x, steps=16).bits_per_dim

    This is the likelihood of 8-bit data k for x = (k + u) / 256, mapped to the prior's range [lo, hi]. The caller must
    dequantise, that is, add u uniform on [0, 1). A warning is logged if the prior's range extends below 0 and no value
    does: pictures left in [0, 1] would get the likelihood of paler ones.

    Args:
        x: pictures (B, C, H, W) in the model's range; `prior.to_model` maps [0, 1] to it.
        probe: e, of the shape of x, or (K, B, C, H, W) for the mean over K probes. None: Rademacher, seed 0.
        steps: steps of a fixed grid, four evaluations each (`samplers.ode`); 16 are within 0.005 bits of RK45.
            None: adaptive RK45.
        rtol, atol: tolerances of the adaptive RK45, which controls the error of each sample separately.
        callback: called after each step; may stop the work.

    The probe estimates only the divergence in the scaled variables of `samplers.ode`; the volume change of the scaling
    is exact.

    Raises InputError if x is not a float tensor (B, C, H, W) or empty, the probe has another shape, `steps` is below 1,
    or the prior replaces observed components (`ConstrainedPC`) and so has no density.
    """
    check_states(x)
    check_prior(prior)
    low, high = prior.data_range
    if low < 0 <= x.min():
        _log.warning(
            "bits_per_dim: no value is negative, and the prior's range is [%g, %g]: map pictures in [0, 1] by "
            "prior.to_model first",
            low,
            high,
        )
    return flow_likelihood(prior, x, probe=probe, steps=steps, rtol=rtol, atol=atol, callback=callback)


def flow_likelihood(
    prior: Prior,
    x: Tensor,
    *,
    probe: Tensor | None,
    steps: int | None,
    rtol: float,
    atol: float,
    callback: Callback | None,
) -> Likelihood:
    """Compute `bits_per_dim` without its warning, for pictures that the caller has mapped to the prior's range."""
    if probe is not None and not isinstance(probe, Tensor):
        raise SettingError("probe", f"must be a tensor, not {shown(probe)}")
    if probe is None:
        probe = NoiseStream(0, len(x)).rademacher(x.shape, x.device, x.dtype)
    probes = probe[None] if probe.ndim == x.ndim else probe
    require(probes.shape[1:] == x.shape, f"the probe has shape {tuple(probe.shape)}, the pictures {tuple(x.shape)}")
    solver = ODE(rtol, atol, steps)
    z, log_volume, nfe = solver.flow(prior, x, TRAINING_START, 1.0, callback, probes=probes.to(x))
    log_p = (prior.sde.prior_log_prob(z) + log_volume).cpu()
    low, high = prior.data_range
    bits = -log_p / (math.log(2) * x[0].numel()) + math.log2(256 / (high - low))
    vjps = nfe * (len(probes) + prior.vjps_per_noise)
    return Likelihood(bits, log_p, z.to(x), nfe * prior.evaluations_per_noise, vjps)
