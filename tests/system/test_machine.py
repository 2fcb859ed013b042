"""Memory, limits of containers, and whether bfloat16 is the faster number format."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
import torch

from scoreinv.system import machine, waiting
from scoreinv.system.machine import ALLOCATING, one_thread, set_threads, threads_that_pay, uses_bfloat16

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library, which is left as it is")

FAULTS = """
import resource, sys
from scoreinv.system.machine import keep_freed
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
from scoreinv.system.machine import available_bytes, keep_freed
keep_freed()
def held(): return 4096 * int(Path('/proc/self/statm').read_text().split()[1])
blocks = [bytearray(b'1') * (1 << 20) for _ in range(200)]
del blocks
kept = held()
available_bytes()
print(kept, held())
"""


IN_PROGRAMS = """
import resource, torch
from scoreinv.system.machine import pixels_at_once
pixels_at_once(torch.device("cpu"))
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(30 << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), faults())
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
def test_a_program_takes_maps_of_networks_again_without_the_system() -> None:
    tries = (numbers(IN_PROGRAMS) for _ in range(3))  # in one process of some forty it is not so
    assert any(second < first / 10 for first, second in tries)


@GLIBC
def test_what_is_kept_is_no_shortage() -> None:
    kept, left = numbers(HELD)
    assert kept > 150 << 20 > 3 * left


def test_a_shortage_is_told_in_gigabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_bytes", lambda enough=0: 2 * 10**9)
    assert machine.shortage(2 * 10**9) is None
    assert machine.shortage(31 * 10**8) == "takes about 3.1 GB of memory, and 2.0 GB are free"


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


@pytest.fixture
def spinning(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Have torch's threads spin; takes seconds of a convolution by two, that by one is 1 ms, and gives its calls."""
    now, calls, seconds = 0.0, [], 0.0

    def convolve(*_: torch.Tensor, padding: int) -> None:
        nonlocal now
        calls.append(torch.get_num_threads())
        now += 0.001 if calls[-1] == 1 else seconds

    def set_seconds(of_two: float, later: float = 0.0) -> list[int]:
        nonlocal now, seconds
        now, seconds = now + later, of_two
        calls.clear()
        return calls

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(torch.nn.functional, "conv2d", convolve)
    monkeypatch.setattr(waiting, "spinning", True)
    monkeypatch.setattr(machine, "_paid", (-math.inf, True))
    return set_seconds


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def threads_inside() -> int:
    with threads_that_pay():
        return torch.get_num_threads()


@pytest.mark.usefixtures("two_threads")
def test_beside_other_work_a_call_takes_one_of_the_threads_that_spin(
    spinning: Callable[..., list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    spinning(0.0006)
    assert threads_inside() == 2
    calls = spinning(0.005)
    assert (threads_inside(), calls) == (2, [])  # measured a moment ago
    spinning(0.005, later=61)
    assert (threads_inside(), torch.get_num_threads()) == (1, 2)
    with pytest.raises(ZeroDivisionError), threads_that_pay():
        raise ZeroDivisionError
    assert torch.get_num_threads() == 2
    spinning(0.005, later=61)
    assert threads_inside() == 1
    (line,) = caplog.messages
    assert "import scoreinv first, or set OMP_WAIT_POLICY=PASSIVE and GOMP_SPINCOUNT=3000" in line
    spinning(0.0006, later=61)
    assert threads_inside() == 2


@pytest.mark.usefixtures("two_threads")
def test_one_thread_ends_for_all_that_take_it_at_the_same_time() -> None:
    """In another Python thread, which begins and ends within the block or after it, and nested."""

    def inside(until: Event) -> tuple[int, int]:
        with one_thread():
            begun.set()
            assert until.wait(60)
            here = torch.get_num_threads()
        return here, torch.get_num_threads()

    begun, now, later = Event(), Event(), Event()
    now.set()
    with ThreadPoolExecutor() as pool:
        with one_thread():
            with one_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
            assert pool.submit(inside, now).result() == (1, 2)
            begun.clear()
            after = pool.submit(inside, later)
            assert begun.wait(60)
        assert torch.get_num_threads() == 2
        later.set()
        assert after.result()[1] == 2
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_threads_that_sleep_are_not_measured(
    spinning: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "spinning", False)
    assert (threads_inside(), spinning(0.005)) == (2, [])


def test_measuring_leaves_random_numbers_alone() -> None:
    state = torch.get_rng_state()
    uses_bfloat16.__wrapped__("auto", torch.device("cpu"))
    machine._several_do_more(2)
    assert torch.equal(torch.get_rng_state(), state)
