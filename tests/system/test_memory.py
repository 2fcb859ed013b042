"""Memory that is free, kept and reported as missing."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

from scoreinv.system import memory
from scoreinv.system.memory import ALLOCATING

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library, which is left as it is")

FAULTS = """
import resource, sys
from scoreinv.system.memory import keep_freed
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
from scoreinv.system.memory import available_bytes, keep_freed
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
from scoreinv.system.memory import pixels_at_once
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
def test_memory_that_is_kept_is_no_shortage() -> None:
    kept, left = numbers(HELD)
    assert kept > 150 << 20 > 3 * left


def test_a_shortage_is_told_in_gigabytes(limit: Callable[..., None]) -> None:
    limit(memory=2 * 10**8)
    assert memory.shortage(2 * 10**8) is None
    assert memory.shortage(31 * 10**8) == "needs about 3.1 GB of memory, but 0.2 GB are free"
