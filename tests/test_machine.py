"""Memory, limits of containers, and whether bfloat16 is the faster number format."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from scoreinv import machine
from scoreinv.machine import ALLOCATING, set_threads, uses_bfloat16

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library, which is left as it is")

FAULTS = """
import resource, sys
from scoreinv.machine import keep_freed
keep_freed()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(b"1") * (50 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
print(first, min(faults() for _ in range(3)))
"""
HELD = """
from pathlib import Path
from scoreinv.machine import available_bytes, keep_freed
keep_freed()
def held(): return 4096 * int(Path('/proc/self/statm').read_text().split()[1])
blocks = [bytearray(b'1') * (1 << 20) for _ in range(200)]
del blocks
kept = held()
available_bytes()
print(kept, held())
"""


def numbers(code: str, **given: str) -> tuple[int, int]:
    """What a process of its own prints."""
    environment = {name: value for name, value in os.environ.items() if name not in ALLOCATING} | given
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    first, second = map(int, done.stdout.split())
    return first, second


@GLIBC
def test_freed_memory_is_taken_again_without_the_system() -> None:
    first, later = numbers(FAULTS)
    assert later < first / 10
    assert numbers(FAULTS, MALLOC_MMAP_THRESHOLD_="1000000")[1] > later  # the user's word goes before


@GLIBC
def test_what_is_kept_is_no_shortage() -> None:
    kept, left = numbers(HELD)
    assert kept > 150 << 20 > 3 * left


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of control groups."""
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "membership")
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
    assert machine.available_bytes() == 100
    assert machine.container_limits()[1] == 3


def test_pages_of_files_are_free(root: Path) -> None:
    belong(root, "0::/")
    write(root, memory_DOT_max="1000", memory_DOT_current="900", memory_DOT_stat="anon 500\ninactive_file 300")
    assert machine.available_bytes() == 400


def test_version_1(root: Path) -> None:
    belong(root, "5:cpu,cpuacct:/job", "4:memory:/job", "3:pids:/job")
    write(root / "memory" / "job", memory_DOT_limit_in_bytes="1000", memory_DOT_usage_in_bytes="400")
    write(root / "cpu,cpuacct" / "job", cpu_DOT_cfs_quota_us="150000", cpu_DOT_cfs_period_us="100000")
    assert machine.available_bytes() == 600
    assert machine.container_limits()[1] == 2
    write(root / "cpu,cpuacct" / "job", cpu_DOT_cfs_quota_us="-1")
    assert machine.container_limits()[1] == math.inf


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
    assert machine.available_bytes() == 900


def test_nothing_is_said_where_there_are_no_groups(root: Path) -> None:
    assert machine.container_limits() == (math.inf, math.inf)


@pytest.mark.parametrize(("half", "expected"), [(0.5, True), (0.95, False), (1.5, False)])
def test_auto_takes_bfloat16_only_where_a_convolution_is_faster(
    monkeypatch: pytest.MonkeyPatch, half: float, expected: bool
) -> None:
    now = 0.0

    def convolve(x: torch.Tensor, weight: torch.Tensor, padding: int) -> None:
        nonlocal now
        now += half if x.dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(time, "process_time", lambda: now)
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(torch.nn.functional, "conv2d", convolve)
    decide, cpu = uses_bfloat16.__wrapped__, torch.device("cpu")
    assert decide("auto", cpu) is expected
    assert decide("bfloat16", cpu)
    assert not decide("float32", cpu)


def test_measuring_leaves_random_numbers_alone() -> None:
    state = torch.get_rng_state()
    uses_bfloat16.__wrapped__("auto", torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), state)
