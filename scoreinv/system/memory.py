"""Free memory, the batch sizes that fit, and the limits of a container. Torch is imported within the functions."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from scoreinv.system.limits import limits

if TYPE_CHECKING:
    import torch

_FEWEST_AT_ONCE = 1 << 12
_MOST_ON_CPU, _MOST_AT_ONCE = 3 << 17, 1 << 21
"""Maximum number of pixels on a CPU and on a GPU. For the nine windows of a 512x512 picture on two threads, a third
took a quarter more time, and more were no faster."""
_MOST_IF_RETURNED = 15 << 14
"""Maximum on a CPU if freed memory returns to the system: float32 features of `photo` then fit in `_LARGEST_KEPT`."""
_LARGEST_KEPT = (32 << 20) - (1 << 13)
"""Size in bytes of the largest block that the GNU C library reuses by default, once such a block was freed."""
_BYTES_PER_PIXEL = 6000  # features of the paper's CIFAR-10 networks in float32; `photo` needs a quarter

ALLOCATING = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")
"""Environment variables that control when the GNU C library returns memory to the system."""
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of mallopt(3)

_GROUPS = Path("/sys/fs/cgroup")  # Linux's control groups, version 1 or 2
_MEMBERSHIP = Path("/proc/self/cgroup")
_GROUP_FILES = {
    "memory.max": "memory.limit_in_bytes",
    "memory.current": "memory.usage_in_bytes",
    "memory.stat": "memory.stat",
    "cpu.max": "cpu.cfs_quota_us",
    "cpu.period": "cpu.cfs_period_us",
}
"""File names in version 2, where cpu.max holds quota and period, and in version 1."""

_keeps_freed = False


def pixels_at_once(device: torch.device) -> int:
    """Return the number of pixels to evaluate together: enough to keep the device busy, in half of its free memory."""
    import torch

    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free, most = torch.cuda.mem_get_info(device)[0] + cached, _MOST_AT_ONCE
    else:
        most = _MOST_ON_CPU if _keeps_freed else _MOST_IF_RETURNED
        if not _keeps_freed:
            torch.empty(_LARGEST_KEPT, dtype=torch.uint8, device="cpu")  # freed immediately, see _LARGEST_KEPT
        free = available_bytes(enough=2 * _BYTES_PER_PIXEL * most) or sys.maxsize
    return max(_FEWEST_AT_ONCE, min(most, free // 2 // _BYTES_PER_PIXEL))


def available_bytes(enough: float = math.inf) -> int | None:
    """Return the memory available to this process within the machine's and container's limits; None if unknown.

    Args:
        enough: bytes that the caller needs. If fewer are free, return this process's own freed memory to the system.
    """
    free = _free_bytes()
    if _keeps_freed and free < enough:
        ctypes.CDLL(None).malloc_trim(0)
        free = _free_bytes()
    return None if math.isinf(free) else int(free)


def _free_bytes() -> float:
    """Return the system's free bytes for this process; inf if unknown."""
    free = min(limits().memory, container_limits()[0])
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = min(free, next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")))
    return free


def shortage(needed: int) -> str | None:
    """Return a phrase with the needed and the free memory if they do not suffice, else None."""
    free = available_bytes(enough=needed)
    if free is None or needed <= free:
        return None
    return f"needs about {needed / 1e9:.1f} GB of memory, but {free / 1e9:.1f} GB are free"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error of Python or torch, on any device, means that memory does not suffice."""
    # torch's OutOfMemoryError is a GPU's; its allocator on the CPU raises RuntimeError.
    is_torch = type(error).__name__ == "OutOfMemoryError" or "DefaultCPUAllocator" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and is_torch)


def keep_freed() -> None:
    """Keep freed memory for this process's next allocations, unless the user has set one of `ALLOCATING`.

    By default the GNU C library returns large blocks to the system, which clears their pages before reuse. That took a
    tenth of a training step, and a sixteenth of filling scratches. The process then stays at its peak memory. Other C
    libraries are left unchanged.
    """
    global _keeps_freed
    if sys.platform != "linux" or any(name in os.environ for name in ALLOCATING):
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # exists only in the GNU library
        library.mallopt(_TRIM_THRESHOLD, -1)
        library.mallopt(_MMAP_MAX, 0)
        _keeps_freed = True


def container_limits(groups: Path = _GROUPS, membership: Path = _MEMBERSHIP) -> tuple[float, float]:
    """Return the free memory in bytes and the number of processors within the container's limits; inf if unlimited.

    Each is the minimum over this process's control group and its parents.

    Args:
        groups: folder of all control groups.
        membership: file that lists this process's groups.
    """
    memory = processors = math.inf
    lines: list[str] = []
    with suppress(OSError):
        lines = membership.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)  # version 2 names no controllers
        root = groups / controllers
        group = root / path.lstrip("/")  # within a container the group itself may be mounted as the root
        for folder in (folder for folder in (group, *group.parents) if folder.is_relative_to(root)):
            found: dict[str, list[str]] = {}
            for names in _GROUP_FILES.items():
                for name in names:
                    with suppress(OSError):
                        found[names[0]] = (folder / name).read_text().split()
            most, used, stat = (found.get(name, []) for name in ("memory.max", "memory.current", "memory.stat"))
            if most and used and most[0].isdigit():
                pages = dict(zip(stat[::2], stat[1::2], strict=False))
                cached = pages.get("inactive_file", 0)  # the kernel drops cached file pages under memory pressure
                memory = min(memory, max(0, int(most[0]) - int(used[0]) + int(cached)))
            quota, period = (*found.get("cpu.max", []), *found.get("cpu.period", []), "max", "max")[:2]
            if quota.isdigit() and period.isdigit():
                processors = min(processors, max(1, math.ceil(int(quota) / int(period))))
    return memory, processors
