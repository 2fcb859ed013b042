"""Self-ensemble: average the estimates for rotated and mirrored pictures (Timofte et al. 2016, arXiv 1511.02228).

The posterior mean of a turned picture is the turned posterior mean, but a network's estimates differ. Their average is
closer to it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoreinv.prior import Prior
from scoreinv.system.progress import part
from scoreinv.windows.transforms import Orientation, turn, turn_back

UPRIGHT: tuple[Orientation, ...] = ((False, 0),)
"""The picture itself."""
MIRRORED: tuple[Orientation, ...] = ((False, 0), (True, 0))
"""For scenes, whose mirror images are equally likely."""
ALL: tuple[Orientation, ...] = tuple((mirrored, quarters) for quarters in range(4) for mirrored in (False, True))
"""All eight, for texture, which has no upright orientation."""


def averaged(
    prior: Prior, x: Tensor, t: Tensor, maps: tuple[Tensor, ...], orientations: tuple[Orientation, ...]
) -> Tensor:
    """Return the mean over orientations T of T^-1 noise(T x, t, T maps), by one evaluation for each."""
    estimates = []
    for number, orientation in enumerate(orientations):
        with part(number, len(orientations)):
            turned = [turn(values, orientation) for values in (x, *maps)]
            estimates.append(turn_back(prior.noise(turned[0], t, *turned[1:]), orientation))
    return torch.stack(estimates).mean(0)
