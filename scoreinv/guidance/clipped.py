"""A prior whose estimates of the picture stay within the range of pictures."""

from __future__ import annotations

import torch
from torch import Tensor

from scoreinv.prior import PriorWrapper
from scoreinv.sdes import as_time, broadcast


class Clipped(PriorWrapper):
    """noise(x, t) = (x - alpha(t) clip(D(x, t))) / sigma(t), with D = E[x0 | x_t = x] clipped to black and white.

    What samplers of DDPM do by default ("static thresholding": Ho et al. 2020, reference code; Saharia et al. 2022,
    section 2.3): estimates at large noise that leave the range would be carried through all later steps.
    """

    def noise(self, x: Tensor, t: float | Tensor) -> Tensor:
        t = as_time(t)
        alpha, sigma = broadcast(self.sde.alpha(t), x), broadcast(self.sde.sigma(t), x)
        noise = self.prior.noise(x, t)
        estimate = (x - sigma * noise) / alpha
        clipped = estimate.clamp(*self.data_range)
        # Where nothing is clipped the prediction stays as it is: sigma may be too small to divide by.
        return torch.where(clipped == estimate, noise, (x - alpha * clipped) / sigma)
