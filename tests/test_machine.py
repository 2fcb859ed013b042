"""Memory, limits of containers, and what a network is evaluated fastest in, measured once and kept."""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from scoreinv import machine
from scoreinv.machine import ALLOCATING, fastest, known_speed, measure, uses_bfloat16
from scoreinv.networks.ncsnpp import NCSNppConfig

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


def test_a_container_that_sees_its_own_group_as_the_root(root: Path) -> None:
    belong(root, "0::/docker/4711")  # which lies nowhere in here
    write(root, memory_DOT_max="1000", memory_DOT_current="100", cpu_DOT_max="100000 100000")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert machine.usable_threads() == 1
    finally:
        torch.set_num_threads(before)
    assert machine.available_bytes() == 900


def test_nothing_is_said_where_there_are_no_groups(root: Path) -> None:
    assert machine.container_limits() == (math.inf, math.inf)


@pytest.fixture
def _forget() -> None:
    machine._convolves_faster_in_bfloat16.cache_clear()


@pytest.mark.usefixtures("_forget")
@pytest.mark.parametrize(("half", "full", "expected"), [(0.5, 1.0, True), (0.95, 1.0, False), (1.5, 1.0, False)])
def test_auto_takes_bfloat16_only_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, half: float, full: float, expected: bool
) -> None:
    monkeypatch.setattr(machine, "_rounds", lambda first, second, clock: ([full], [half]))
    assert uses_bfloat16("auto", torch.device("cpu")) is expected
    assert uses_bfloat16("bfloat16", torch.device("cpu"))
    assert not uses_bfloat16("float32", torch.device("cpu"))
    machine._convolves_faster_in_bfloat16.cache_clear()


@pytest.mark.usefixtures("_forget")
def test_measured_without_leaving_a_trace() -> None:
    state = torch.get_rng_state()
    uses_bfloat16("auto", torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), state)


CONFIG = NCSNppConfig(width=8, multipliers=(1, 1), blocks=1, attention_levels=(), progressive_input="none")
Queue = list[list[float]]
"""What rounds are to have taken, one pair of lists after another."""


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Seconds of the rounds of float32 and bfloat16, then of all and half of the threads; taken one after another."""
    queue: Queue = []
    monkeypatch.setattr(machine, "_rounds", lambda first, second, clock: (queue.pop(0), queue.pop(0)))
    monkeypatch.setattr(machine, "usable_threads", lambda: 2)
    return queue


@pytest.mark.parametrize(
    ("full", "half", "precision", "sure"),
    [
        ([1.0, 1.1], [0.5, 0.6], "bfloat16", True),
        ([1.0, 1.1], [0.9, 1.0], "float32", True),
        ([1.0, 1.0], [1.5, 1.6], "float32", True),
        ([1.0, 3.0], [0.9, 0.9], "float32", False),  # another program took the processor
    ],
)
def test_a_network_takes_bfloat16_only_where_it_is_faster(
    taken: Queue, full: list[float], half: list[float], precision: str, sure: bool
) -> None:
    taken += [full, half]
    found, is_sure = measure(CONFIG.build(), 16)
    assert (found.precision, found.threads, is_sure) == (precision, 2, sure)


@pytest.mark.parametrize(("some", "threads"), [([0.5, 0.5], 4), ([0.5, 1.2], 8), ([1.2, 1.2], 8)])
def test_half_of_the_threads_are_taken_where_they_are_faster(
    taken: Queue, monkeypatch: pytest.MonkeyPatch, some: list[float], threads: int
) -> None:
    monkeypatch.setattr(machine, "usable_threads", lambda: 8)
    taken += [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], some]
    assert measure(CONFIG.build(), 16)[0].threads == threads


def test_an_answer_is_kept_for_the_next_process_unless_it_was_unsure(taken: Queue) -> None:
    taken += [[1.0, 3.0], [0.9, 0.9]]
    fastest(CONFIG.build(), 16)
    assert known_speed(CONFIG) is None
    taken += [[1.0, 1.0], [0.5, 0.5]]
    assert known_speed(CONFIG) is None
    found = fastest(CONFIG.build(), 16)
    assert known_speed(CONFIG) == found == fastest(CONFIG.build(), 16)  # which measures no more: nothing is queued


@pytest.mark.parametrize("change", ["processor", "usable_threads", "network"])
def test_an_answer_is_of_one_processor_and_network(taken: Queue, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    taken += [[1.0, 1.0], [0.5, 0.5]]
    fastest(CONFIG.build(), 16)
    config = CONFIG
    if change == "network":
        config = NCSNppConfig(width=16, multipliers=(1, 1), blocks=1, attention_levels=(), progressive_input="none")
    else:
        monkeypatch.setattr(machine, change, lambda: ("another", "") if change == "processor" else 7)
    assert known_speed(config) is None


def test_an_answer_is_of_the_instructions_that_are_used(taken: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    taken += [[1.0, 1.0], [0.5, 0.5]]
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    fastest(CONFIG.build(), 16)
    assert known_speed(CONFIG) is not None
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert known_speed(CONFIG) is None


@pytest.mark.parametrize(
    "text", ["", "[1]", '{"precision": "float8", "threads": 1}', "\udcff".encode("utf8", "replace")]
)
def test_a_damaged_answer_is_measured_anew(taken: Queue, text: str | bytes) -> None:
    taken += [[1.0, 1.0], [0.5, 0.5]]
    found = fastest(CONFIG.build(), 16)
    place = machine._cache_file(CONFIG)
    place.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert known_speed(CONFIG) is None
    taken += [[1.0, 1.0], [0.5, 0.5]]
    assert fastest(CONFIG.build(), 16) == found == known_speed(CONFIG)


def test_a_cache_that_cannot_be_written_is_done_without(taken: Queue, cache: Path) -> None:
    (cache / "scoreinv").write_text("a file where the folder would be")
    taken += [[1.0, 1.0], [0.5, 0.5]]
    assert fastest(CONFIG.build(), 16).precision == "bfloat16"


def test_a_user_without_a_home_is_done_without(taken: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LOCALAPPDATA")
    monkeypatch.setattr(Path, "home", homeless)
    taken += [[1.0, 1.0], [0.5, 0.5]]
    assert fastest(CONFIG.build(), 16).precision == "bfloat16"


def test_measuring_leaves_the_process_as_it_was() -> None:
    network, state, threads = CONFIG.build().eval(), torch.get_rng_state(), torch.get_num_threads()
    found, _ = measure(network, 16)
    assert found.float32_seconds > 0
    assert found.bfloat16_seconds > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32}
