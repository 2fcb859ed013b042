"""Memory and processor limits of this process's container: Linux's control groups, version 1 or 2."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")
_GROUP_FILES = {
    "memory.max": "memory.limit_in_bytes",
    "memory.current": "memory.usage_in_bytes",
    "memory.stat": "memory.stat",
    "cpu.max": "cpu.cfs_quota_us",
    "cpu.period": "cpu.cfs_period_us",
}
"""File names in version 2, where cpu.max holds quota and period, and in version 1."""


def container_limits() -> tuple[float, float]:
    """Return the free memory in bytes and the number of processors within the container's limits; inf if unlimited.

    Each is the minimum over this process's control group and its parents.
    """
    memory = processors = math.inf
    lines: list[str] = []
    with suppress(OSError):
        lines = _MEMBERSHIP.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)  # version 2 names no controllers
        root = _GROUPS / controllers
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
