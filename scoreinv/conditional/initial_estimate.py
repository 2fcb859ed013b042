"""What a conditional prior begins with: a smooth estimate of what is not observed, and how wrong that may be.

The initial estimate minimises the energy of a plate under tension, |Laplacian u|^2 + tension |gradient u|^2 over the
pixels that are not observed, approximately: a multilevel scheme. *Pull* averages the known values level by level into
coarser pictures with a weight each, until one pixel is left, and *push* goes back by bilinear interpolation (push-pull:
Gortler et al., The Lumigraph, SIGGRAPH 1996, section 3.4.2); on each level a few steps of conjugate gradients then
relax what is unknown. Small holes come out as by biharmonic interpolation, which is the best of the classical
fills there; the tension keeps large ones from overshooting.

The error follows the same way. If a picture differs from the next coarser level by a detail of variance d_k at level k,
independent from level to level, then what a pixel takes from the coarser level brings that level's error and the detail
that it lacks: v_k = (1 - w_k) (up(v_(k+1)) + a_k d_k). It is 0 at known pixels and the picture's whole variance where
nothing is known. The activity a_k, which tells a meadow from the sky, is the mean of |detail|^2 / d_k over the known
values around, and that of the coarser level where there are none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.operators.linalg import conjugate_gradients

TENSION = 0.1
"""The plate's tension, in 1/pixel^2, fitted on held-out photographs; it dominates beyond 3 pixels."""

_LEAST_ACTIVITY = 0.02  # the least activity that is expected: flat surroundings may hide an edge

_STEPS = 10  # steps of conjugate gradients on the picture itself; further ones change the error by under 1 %
_COARSE_STEPS = 6  # the same on coarser levels


@dataclass(frozen=True)
class InitialEstimate:
    """What is made of an observation.

    Attributes:
        mean: (B, C, H, W); known values as they were, the others smooth between them; 0 where a channel has no known
            value at all.
        variance: as `mean`; of the initial estimate's error, expected from the details' variances; 0 at known values.
        fine: the first channel at a multiple of the size, (B, 1, sH, sW), as far as it is known; NaN where not.
            None: nowhere.
        features: maps of what the picture shows, each over all of it, (B or 1, D, h, w); zeros where it was not looked
            at. None: nowhere.
    """

    mean: Tensor
    variance: Tensor
    fine: Tensor | None = None
    features: tuple[Tensor, ...] | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> InitialEstimate:
        """With all of its parts changed alike."""
        fine = None if self.fine is None else change(self.fine)
        features = None if self.features is None else tuple(change(value) for value in self.features)
        return InitialEstimate(change(self.mean), change(self.variance), fine, features)


def smooth_estimate(
    values: Tensor, observed: Tensor, details: Tensor | None = None, coarse: Tensor | None = None
) -> InitialEstimate:
    """Interpolate smoothly what is not observed.

    Args:
        values: (B, C, H, W) float; not looked at where not observed (NaN may stand there).
        observed: (B or 1, C or 1, H, W), 0 or 1.
        details: (C or 1, K) variances d_k > 0 of a picture's details at each octave from the finest, the last one that
            of the mean of a block of 2^(K - 1) pixels a side; None: a unit variance in all.
        coarse: (B, C, ceil(H / 2), ceil(W / 2)) means of blocks of 2x2 pixels that are known besides; NaN where not.
    """
    details = (torch.ones(1, 1) if details is None else details).to(values)[..., None, None]
    weight = observed.to(values)  # 0 or 1 on every level: 1 where anything is known
    mean = torch.where(weight > 0, values, 0.0)
    levels = [(mean, weight)]
    while max(mean.shape[-2:]) > 1:
        total = _sum_2x2(weight)
        mean, weight = _sum_2x2(mean * weight) / total.clamp_min(1e-12), total.clamp_max(1)
        if coarse is not None and len(levels) == 1:
            known = coarse.isfinite()
            mean, weight = torch.where(known, coarse.to(mean), mean), torch.where(known, 1.0, weight)
        levels.append((mean, weight))
    filled, variance, activity = (torch.full_like(mean, value) for value in (0.0, 0.0, 1.0))
    for level in reversed(range(len(levels))):
        mean, weight = levels[level]
        detail = details[:, min(level, details.shape[1] - 1)]
        if level == len(levels) - 1:  # the top stands for all that is coarser
            missing: Tensor | float = details[:, level:].sum(1)
        else:
            filled, variance, activity = (push(value, mean.shape) for value in (filled, variance, activity))
            # Mean of the energy over the known values of 5x5 pixels, with the coarser level's counted as two of them.
            energy = weight * (mean - filled).square() / detail
            total, known = (F.avg_pool2d(value, 5, 1, 2, divisor_override=1) for value in (energy, weight))
            activity = ((total + 2 * activity) / (known + 2)).clamp_min(_LEAST_ACTIVITY)
            missing = activity * detail if level < details.shape[1] else 0.0
        filled = mean * weight + filled * (1 - weight)
        free = 1 - weight
        if free.any():
            force = partial(_force, free=free, tension=TENSION * 4**level)
            steps = _COARSE_STEPS if level else _STEPS
            filled = conjugate_gradients(force, filled, -force(filled), steps, dims=(-2, -1))
        variance = (variance + missing) * (1 - weight)
    return InitialEstimate(filled, variance.expand_as(filled))


def _force(u: Tensor, free: Tensor, tension: float) -> Tensor:
    """The gradient of half the plate's energy, at the values that are `free`."""
    bent = _laplacian(u)
    return _laplacian(bent).sub_(bent, alpha=tension).mul_(free)


def _laplacian(u: Tensor) -> Tensor:
    """Of the pixel grid, where the border has no slope across it: symmetric, at most 0."""
    padded = F.pad(u, (1, 1, 1, 1), mode="replicate")
    sides = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    sides += padded[..., 1:-1, :-2]
    sides += padded[..., 1:-1, 2:]
    return sides.sub_(u, alpha=4)


def block_means(values: Tensor) -> Tensor:
    """Means of blocks of 2x2 pixels (at the border of what is there), (B, C, H, W) to half the size, rounded up."""
    return F.avg_pool2d(values, 2, ceil_mode=True, count_include_pad=False)


def _sum_2x2(values: Tensor) -> Tensor:
    return F.avg_pool2d(values, 2, ceil_mode=True, divisor_override=1)


def push(coarse: Tensor, shape: torch.Size) -> Tensor:
    """Twice the size by bilinear interpolation, cut to height x width."""
    doubled = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    return doubled[..., : shape[-2], : shape[-1]]
