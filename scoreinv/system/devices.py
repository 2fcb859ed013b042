"""Devices and their precision. Torch is imported within the functions."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from scoreinv.system.errors import SettingError

if TYPE_CHECKING:
    import torch

_GAIN = 0.6
"""Maximum ratio of a convolution's times in bfloat16 and in float32 for choosing bfloat16: at this ratio whole networks
(`photo`, `cifar10`) take 0.8 of their time in float32."""
_ROUNDS = 4

_tf32 = Lock()
_blocks = 0
_before: list[tuple[Any, str, Any]] = []


def device_of(choice: Literal["auto", "cpu", "cuda", "mps"]) -> str:
    """Return the device to use; `auto` prefers CUDA, then MPS, then the CPU. Raise SettingError if it is missing."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if choice == "auto":
        return next(name for name, available in present.items() if available)
    if not present[choice]:
        names = ", ".join(name for name, available in present.items() if available)
        raise SettingError("device", f"{choice}: not available (available: {names})")
    return choice


@cache
def uses_bfloat16(precision: Literal["auto", "float32", "bfloat16"], device: torch.device) -> bool:
    """Return whether inner layers compute in bfloat16: if requested, or with `auto` if it is clearly faster.

    On a CPU this times a 3x3 convolution, the main cost of networks, for some hundredths of a second: a virtual machine
    may mask the processor's instructions, or these may be slower than float32.
    """
    import torch

    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    clock = time.perf_counter if sys.platform == "win32" else time.process_time  # independent of other programs
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        x, weight = (
            torch.ones(shape, dtype=dtype).contiguous(memory_format=torch.channels_last)
            for shape in ((4, 64, 32, 32), (64, 64, 3, 3))
        )
        rounds = []
        for _ in range(_ROUNDS):
            begun = clock()
            torch.nn.functional.conv2d(x, weight, padding=1)
            rounds.append(clock() - begun)
        seconds.append(min(rounds[1:]))  # the first round prepares the kernel
    return seconds[1] < _GAIN * seconds[0]


@contextmanager
def true_float32() -> Iterator[None]:
    """Disable TF32 within the block: by default torch on CUDA rounds the inputs of convolutions to 10-bit mantissas.

    An adaptive solver mistakes that rounding for curvature, and a latent code moves by 0.03. The settings are global to
    the process; the last of several concurrent blocks restores them.
    """
    global _blocks
    import torch

    backends: Any = torch.backends  # some of its modules are created at run time, unknown to type hints
    cudnn, products, mkldnn = backends.cudnn, backends.cuda.matmul, backends.mkldnn
    places = [(cudnn, "allow_tf32"), (products, "allow_tf32")]
    if hasattr(cudnn, "conv"):  # torch 2.9 adds a second set of settings, and both apply
        newer = (cudnn.conv, cudnn.rnn, products, mkldnn.conv, mkldnn.matmul)
        places += [(holder, "fp32_precision") for holder in newer]
    with _tf32:
        if _blocks == 0:
            for holder, name in places:
                with suppress(RuntimeError):  # the old ones are unreadable once the new ones are set
                    _before.append((holder, name, getattr(holder, name)))
            for holder, name, value in _before:
                setattr(holder, name, "ieee" if isinstance(value, str) else False)
        _blocks += 1
    try:
        yield
    finally:
        with _tf32:
            _blocks -= 1
            if _blocks == 0:
                for holder, name, value in _before:
                    setattr(holder, name, value)
                _before.clear()
