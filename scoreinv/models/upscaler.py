"""The network that enlarges photographs, for tasks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from scoreinv.networks.span import SPAN
from scoreinv.prior import Model


class Upscaler(Model):
    """An estimate of the large picture of a small one; the training crops are the small ones."""

    network: SPAN

    @property
    def reach(self) -> int:
        """Return the radius of the receptive field, in pixels of the small picture."""
        return self.network.reach

    def enlarged(self, x: Tensor, factor: int, *, means: bool) -> Tensor:
        """Return the large pictures, (B, 3, factor H, factor W), of small ones (B, 3, H, W) in [0, 1].

        Args:
            factor: 2, 3 or 4; a result of 3 is that of 4, reduced.
            means: whether the pixels of x are block means of the large picture; if not, it was reduced by a cubic.
        """
        level, kind = x.new_zeros(len(x)), x.new_full((len(x),), float(means))
        x = x.contiguous(memory_format=torch.channels_last)
        large = self.network(x, 2 if factor == 2 else 4, level, kind)
        if factor == 3:
            size = [factor * side for side in x.shape[2:]]
            large = F.interpolate(large, size, mode="bicubic", antialias=True)
        return large
