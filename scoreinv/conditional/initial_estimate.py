"""The initial estimate of a conditional prior: a smooth interpolation of the observed values, with its expected error.

It approximately minimises the energy of a plate under tension, |Laplacian u|^2 + tension |gradient u|^2 over the
unobserved pixels, by a multilevel scheme. *Pull* averages the known values level by level into coarser pictures with
weights, down to one pixel. *Push* returns by bilinear interpolation (push-pull: Gortler et al., The Lumigraph, SIGGRAPH
1996, section 3.4.2). On each level a few steps of conjugate gradients relax the unknown values. In small holes this
equals biharmonic interpolation, the best classical fill there; the tension keeps large holes from overshooting.

The expected error follows the same levels. If a picture differs from its next coarser level by a detail of variance d_k
at level k, independent between levels, then a pixel interpolated from the coarser level has its error and lacks the
detail: v_k = (1 - w_k) (up(v_(k+1)) + a_k d_k). It is 0 at known pixels and the picture's total variance if nothing
is known. The activity a_k distinguishes a meadow from the sky: it is the mean of |detail|^2 / d_k over known values
around a pixel, or that of the coarser level if there are none.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.operators.linalg import conjugate_gradients
from scoreinv.system.progress import part

TENSION = 0.1
"""Tension of the plate in 1/pixel^2, fitted on held-out photographs; it dominates beyond 3 pixels."""

_LEAST_ACTIVITY = 0.02  # least expected activity, because flat surroundings may hide an edge

_STEPS = 10  # conjugate gradient steps at full size; further steps change the error by less than 1 %
_COARSE_STEPS = 6  # conjugate gradient steps on coarser levels


class InitialEstimate(NamedTuple):
    """A smooth interpolation of observed values.

    Attributes:
        mean: (B, C, H, W); equal to known values, smooth between them, and 0 in a channel without known values.
        variance: expected variance of the error, the shape of `mean`; 0 at known values.
    """

    mean: Tensor
    variance: Tensor


def smooth_estimate(
    values: Tensor, observed: Tensor, details: Tensor | None = None, coarse: Tensor | None = None
) -> InitialEstimate:
    """Return the initial estimate from observed values.

    Args:
        values: (B, C, H, W) float; unobserved values are not read and may be NaN.
        observed: (B or 1, C or 1, H, W), 0 or 1.
        details: (C or 1, K), variances d_k > 0 of a picture's details at each octave from the finest. The last entry is
            the variance of means over blocks of 2^(K - 1) pixels a side. None: one octave of unit variance.
        coarse: (B, C, ceil(H / 2), ceil(W / 2)), known means of blocks of 2x2 pixels; NaN where unknown.
    """
    details = (torch.ones(1, 1) if details is None else details).to(values)[..., None, None]
    levels = _pulled(values, observed, coarse)
    mean = levels[-1][0]
    filled, variance, activity = (torch.full_like(mean, value) for value in (0.0, 0.0, 1.0))
    for level in reversed(range(len(levels))):
        mean, weight = levels[level]
        detail = details[:, min(level, details.shape[1] - 1)]
        # missing: variance of the detail that an interpolation from the coarser level lacks.
        if level == len(levels) - 1:  # the top level represents all coarser ones
            missing: Tensor | float = details[:, level:].sum(1)
        else:
            filled, variance, activity = (push(value, mean.shape) for value in (filled, variance, activity))
            # Mean energy of the known values within 5x5 pixels; the coarser level's activity counts as two more values.
            energy = weight * (mean - filled).square() / detail
            total, known = (F.avg_pool2d(value, 5, 1, 2, divisor_override=1) for value in (energy, weight))
            activity = ((total + 2 * activity) / (known + 2)).clamp_min(_LEAST_ACTIVITY)
            missing = activity * detail if level < details.shape[1] else 0.0
        filled = mean * weight + filled * (1 - weight)
        free = 1 - weight
        if free.any():
            force = partial(_force, free=free, tension=TENSION * 4**level)
            steps = _COARSE_STEPS if level else _STEPS
            with part(len(levels) - 1 - level, len(levels)):
                filled = conjugate_gradients(force, filled, -force(filled), steps, dims=(-2, -1))
        variance = (variance + missing) * (1 - weight)
    return InitialEstimate(filled, variance)


def _pulled(values: Tensor, observed: Tensor, coarse: Tensor | None) -> list[tuple[Tensor, Tensor]]:
    """Return the means of known values and their weights on each level, the finest first; see `smooth_estimate`.

    A weight is 0 or 1 on every level: 1 if any pixel of the block is known.
    """
    weight = observed.to(values)
    mean = torch.where(weight > 0, values, 0.0)
    levels = [(mean, weight)]
    while max(mean.shape[-2:]) > 1:
        total = _sum_2x2(weight)
        mean, weight = _sum_2x2(mean * weight) / total.clamp_min(1e-12), total.clamp_max(1)
        if coarse is not None and len(levels) == 1:
            known = coarse.isfinite()
            mean, weight = torch.where(known, coarse.to(mean), mean), torch.where(known, 1.0, weight)
        levels.append((mean, weight))
    return levels


def _force(u: Tensor, free: Tensor, tension: float) -> Tensor:
    """Return the gradient of half the plate's energy at the `free` values."""
    bent = _laplacian(u)
    return _laplacian(bent).sub_(bent, alpha=tension).mul_(free)


def _laplacian(u: Tensor) -> Tensor:
    """Return the Laplacian with zero slope across the border: symmetric and negative semidefinite."""
    padded = F.pad(u, (1, 1, 1, 1), mode="replicate")
    sides = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    sides += padded[..., 1:-1, :-2]
    sides += padded[..., 1:-1, 2:]
    return sides.sub_(u, alpha=4)


def block_means(values: Tensor) -> Tensor:
    """Return means of blocks of 2x2 pixels, smaller at the border: (B, C, H, W) to half the size, rounded up."""
    return F.avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False)


def _sum_2x2(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, 2, ceil_mode=True, divisor_override=1)


def push(coarse: Tensor, shape: torch.Size) -> Tensor:
    """Return the picture at twice the size by bilinear interpolation, cropped to height x width."""
    doubled = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return doubled[..., : shape[-2], : shape[-1]]
