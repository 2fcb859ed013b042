"""Limits of control groups, as the files of several Linux versions state them."""

import math
from pathlib import Path

import pytest

from scoreinv.system.memory import container_limits

ONE = {"memory/job/memory.limit_in_bytes": "1000", "memory/job/memory.usage_in_bytes": "400"}
"""Memory in version 1."""


@pytest.mark.parametrize(
    ("membership", "files", "limits"),
    [
        (
            ["0::/slice/job"],
            {
                **{"slice/memory.max": "1000", "slice/memory.current": "900", "slice/cpu.max": "250000 100000"},
                **{"slice/job/memory.max": "max", "slice/job/memory.current": "800", "slice/job/cpu.max": "max 100000"},
            },
            (100, 3),
        ),
        (
            ["0::/"],  # pages of files are free
            {"memory.max": "1000", "memory.current": "900", "memory.stat": "anon 500\ninactive_file 300"},
            (400, math.inf),
        ),
        (
            ["0::/docker/4711"],  # which lies nowhere in the container: its group is the root
            {"memory.max": "1000", "memory.current": "100", "cpu.max": "100000 100000"},
            (900, 1),
        ),
        (
            ["5:cpu,cpuacct:/job", "4:memory:/job", "3:pids:/job"],
            ONE | {"cpu,cpuacct/job/cpu.cfs_quota_us": "150000", "cpu,cpuacct/job/cpu.cfs_period_us": "100000"},
            (600, 2),
        ),
        (
            ["5:cpu,cpuacct:/job", "4:memory:/job"],
            ONE | {"cpu,cpuacct/job/cpu.cfs_quota_us": "-1", "cpu,cpuacct/job/cpu.cfs_period_us": "100000"},
            (600, math.inf),
        ),
        (None, {}, (math.inf, math.inf)),
    ],
    ids=["around", "pages", "root", "version 1", "unlimited", "none"],
)
def test_limits_of_control_groups(
    tmp_path: Path, membership: list[str] | None, files: dict[str, str], limits: tuple[float, float]
) -> None:
    if membership is not None:
        (tmp_path / "membership").write_text("\n".join(membership) + "\n")
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text + "\n")
    assert container_limits(tmp_path / "groups", tmp_path / "membership") == limits
