"""Limits of control groups, as the files of several Linux versions state them."""

import math
from pathlib import Path

import pytest
import torch

from scoreinv.system.memory import available_bytes, container_limits
from scoreinv.system.threads import processors, set_threads

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
        (["0::/"], {"memory.max": "1000", "memory.current": "1200"}, (0, math.inf)),
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
    ids=["around", "pages", "exhausted", "root", "version 1", "unlimited", "none"],
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


def test_memory_and_threads_keep_within_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"/proc/self/cgroup": "0::/", "memory.max": "1000", "memory.current": "100", "cpu.max": "100000 100000"}
    told |= {f"/sys/fs/cgroup/{name}": text for name, text in told.items()}
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path, *given: told.get(str(path)) or read(path, *given))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        set_threads(None)
        assert (torch.get_num_threads(), processors(), available_bytes()) == (1, 1, 900)
    finally:
        torch.set_num_threads(before)
