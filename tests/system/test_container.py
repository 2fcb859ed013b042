"""Limits of control groups, as the files of several Linux versions state them."""

import math
from pathlib import Path

import pytest
import torch

from scoreinv.system import memory as container
from scoreinv.system.memory import available_bytes, container_limits
from scoreinv.system.threads import set_threads


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of control groups."""
    monkeypatch.setattr(container, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(container, "_MEMBERSHIP", tmp_path / "membership")
    return tmp_path / "cgroup"


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_DOT_", ".")).write_text(text + "\n")


def belong(root: Path, *lines: str) -> None:
    write(root.parent, membership="\n".join(lines))


def test_version_2_with_the_limits_of_the_groups_around(root: Path) -> None:
    belong(root, "0::/slice/job")
    write(root / "slice", memory_DOT_max="1000", memory_DOT_current="900", cpu_DOT_max="250000 100000")
    write(root / "slice" / "job", memory_DOT_max="max", memory_DOT_current="800", cpu_DOT_max="max 100000")
    assert available_bytes() == 100
    assert container_limits()[1] == 3


def test_pages_of_files_are_free(root: Path) -> None:
    belong(root, "0::/")
    write(root, memory_DOT_max="1000", memory_DOT_current="900", memory_DOT_stat="anon 500\ninactive_file 300")
    assert available_bytes() == 400


def test_version_1(root: Path) -> None:
    belong(root, "5:cpu,cpuacct:/job", "4:memory:/job", "3:pids:/job")
    write(root / "memory" / "job", memory_DOT_limit_in_bytes="1000", memory_DOT_usage_in_bytes="400")
    write(root / "cpu,cpuacct" / "job", cpu_DOT_cfs_quota_us="150000", cpu_DOT_cfs_period_us="100000")
    assert available_bytes() == 600
    assert container_limits()[1] == 2
    write(root / "cpu,cpuacct" / "job", cpu_DOT_cfs_quota_us="-1")
    assert container_limits()[1] == math.inf


def test_a_container_that_sees_its_own_group_as_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    belong(root, "0::/docker/4711")  # which lies nowhere in here
    write(root, memory_DOT_max="1000", memory_DOT_current="100", cpu_DOT_max="100000 100000")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        set_threads(None)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert available_bytes() == 900


def test_nothing_is_said_where_there_are_no_groups(root: Path) -> None:
    assert container_limits() == (math.inf, math.inf)
