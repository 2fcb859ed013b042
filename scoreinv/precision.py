"""Where bfloat16 pays."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F

_GAIN = 0.8
"""Of float32's time: bfloat16 has fewer digits, so it must be faster by more than the noise of a measurement."""


def uses_bfloat16(precision: Literal["auto", "float32", "bfloat16"], device: torch.device) -> bool:
    """Whether inner layers are computed in bfloat16: when asked for, or (`auto`) where that is faster.

    On a CPU this is measured, once a process and in some tens of milliseconds: a processor may have instructions that
    its virtual machine masks, or that are slower than those of float32.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _faster_in_bfloat16()


@lru_cache(maxsize=1)
def _faster_in_bfloat16() -> bool:
    return _convolution_seconds(torch.bfloat16) < _GAIN * _convolution_seconds(torch.float32)


def _convolution_seconds(dtype: torch.dtype) -> float:
    """The shortest of a few runs of what the networks mostly do: a 3x3 convolution of 64 features."""
    features = torch.ones(4, 64, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last)
    filters = torch.ones(64, 64, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    seconds = []
    with torch.no_grad():
        for _ in range(3):
            begun = time.perf_counter()
            F.conv2d(features, filters, padding=1)
            seconds.append(time.perf_counter() - begun)
    return min(seconds)
