"""Memory of this machine, and how much of it is taken at once."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scoreinv import cgroups

if TYPE_CHECKING:
    import torch

PIXELS_AT_ONCE = 1 << 17
"""Pixels that a CPU evaluates together at most, in windows of one or in several pictures: more are no faster."""

_FEWEST_AT_ONCE = 1 << 12
_MOST_AT_ONCE = 1 << 21
"""Of a GPU."""
_BYTES_OF_A_PIXEL = 6000
"""What an evaluation holds: the features of the paper's networks for CIFAR-10 in float32; `photo` takes a quarter."""

ALLOCATING = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")
"""Variables by which users decide when the GNU C library gives memory back."""
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of mallopt(3)."""

_kept = False
"""Whether this process keeps what it frees."""


def pixels_at_once(device: torch.device) -> int:
    """How many pixels to evaluate together: as many as keep the device busy, if half of its free memory holds them."""
    if device.type == "cuda":
        import torch

        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # for the next, by torch
        free, most = torch.cuda.mem_get_info(device)[0] + kept, _MOST_AT_ONCE
    else:
        free, most = available_bytes() or sys.maxsize, PIXELS_AT_ONCE
    return max(_FEWEST_AT_ONCE, min(most, free // 2 // _BYTES_OF_A_PIXEL))


def available_bytes() -> int | None:
    """Memory that this process can have, of the machine's and its container's; None where the system tells neither."""
    if _kept:
        _c_library().malloc_trim(0)  # what is kept is no shortage
    return min((some for some in (_of_machine(), cgroups.memory_bytes()) if some is not None), default=None)


def _of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def shortage(needed: int) -> str | None:
    """What is needed and what is free, in words, where memory is lacking; None where not or where nobody knows."""
    free = available_bytes()
    if free is None or needed <= free:
        return None
    return f"takes about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"


def keep_freed() -> None:
    """Let this process keep the memory that it frees, for what it allocates next, unless the user has decided.

    By default the GNU C library gives large blocks back to the system, which has to clear their pages when they are
    taken again: a step of training, which frees all that it has allocated, spent a tenth of its time on that, and
    filling scratches a sixteenth. The process holds on to the most that it has taken. Other C libraries are left as
    they are.
    """
    global _kept
    if sys.platform != "linux" or any(name in os.environ for name in ALLOCATING):
        return
    with suppress(OSError, AttributeError):
        library = _c_library()
        library.gnu_get_libc_version  # noqa: B018  # no other has it
        library.mallopt(_TRIM_THRESHOLD, -1)
        library.mallopt(_MMAP_MAX, 0)
        _kept = True


def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
