"""What Linux's control groups allow this process: containers set their limits there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def memory_bytes() -> int | None:
    """Memory that the groups of this process leave it; None where they set no limit."""
    left = []
    for folder in _folders("memory"):
        for limit, usage in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            most, used = _number(folder / limit), _number(folder / usage)
            if most is not None and used is not None:
                left.append(max(0, most - used + _reclaimable(folder)))
    return min(left, default=None)


def cores() -> int | None:
    """How many processors the groups of this process let it use at once, rounded up; None where they set no limit."""
    found = []
    for folder in _folders("cpu"):
        quota, period = (_text(folder / "cpu.max") or "max 1").split()[:2]  # version 2
        if quota == "max":
            quota, period = ((_text(folder / f"cpu.cfs_{name}_us") or "-1").strip() for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(period) > 0:
            found.append(max(1, math.ceil(int(quota) / int(period))))
    return min(found, default=None)


def _folders(controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those around it, of version 2 and of the controller in version 1."""
    for line in (_text(_MEMBERSHIP) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = _ROOT / controllers if controllers else _ROOT
        group = root / path.lstrip("/")  # a container may see its own group as the root, whatever its name says
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(root))


def _reclaimable(folder: Path) -> int:
    """Pages of files, which the system takes back when memory is wanted."""
    lines = (line.split() for line in (_text(folder / "memory.stat") or "").splitlines())
    return next((int(words[1]) for words in lines if words[0] in ("inactive_file", "total_inactive_file")), 0)


def _number(path: Path) -> int | None:
    text = (_text(path) or "").strip()
    return int(text) if text.isdigit() else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
