"""Between arrays and tensors, and the spread of samples."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor

from scoreinv.errors import ScoreinvError


def to_tensor(pictures: list[np.ndarray], device: torch.device) -> Tensor:
    """HxWxC arrays of one size as (B, C, H, W) float32."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).to(device, torch.float32).contiguous()


def to_arrays(batch: Tensor) -> list[np.ndarray]:
    """(B, C, H, W) as HxWxC float32 arrays, clipped to [0, 1]."""
    return list(batch.clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy())


def fingerprint(values: np.ndarray) -> int:
    """A 64-bit number that keys the draws of a picture, so that those of different pictures are independent."""
    return int.from_bytes(hashlib.blake2b(values.tobytes(), digest_size=8).digest())


def spread(samples: np.ndarray, ddof: int = 1) -> np.ndarray:
    """Standard deviation over the first axis, root mean square over the last: (S, ..., C) to (...)."""
    return np.sqrt(samples.var(axis=0, ddof=ddof).mean(axis=-1)).astype(np.float32)


def finite(x: Tensor) -> Tensor:
    """x itself; ScoreinvError unless every value is finite."""
    if not x.isfinite().all():
        raise ScoreinvError(
            "the model gave values that are not finite: its weights are damaged, its precision is too low (take "
            "`torch.float32`), or the guidance is too strong"
        )
    return x


class RunningSpread:
    """Mean and spread of pictures, HxWxC float32, that come one by one (Welford 1962).

    They are held in the pictures' type, which is closer than their levels: of a large picture each copy counts.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self._squares = np.zeros((), np.float32)

    def add(self, rgb: np.ndarray) -> None:
        self.count += 1
        if self.count == 1:
            self.mean, self._squares = rgb.copy(), np.zeros_like(rgb)
            return
        gap = rgb - self.mean
        self.mean += gap / self.count
        gap *= rgb - self.mean
        self._squares += gap

    @property
    def std(self) -> np.ndarray:
        """HxW: standard deviation, root mean square over the channels."""
        return np.sqrt(self._squares.mean(axis=-1) / (self.count - 1))
