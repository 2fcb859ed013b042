"""Memory that a process keeps for what it allocates next."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from scoreinv.memory import ALLOCATING

MEASURED = """
import resource, sys
from scoreinv.memory import keep_freed
keep_freed()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(b"1") * (50 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = faults()
print(first, min(faults() for _ in range(3)))
"""


def first_and_later(**given: str) -> tuple[int, int]:
    """Page faults of taking fifty megabytes for the first time, and again."""
    environment = {name: value for name, value in os.environ.items() if name not in ALLOCATING} | given
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True, env=environment)
    first, later = map(int, done.stdout.split())
    return first, later


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library, which is left as it is")
def test_freed_memory_is_taken_again_without_the_system():
    first, later = first_and_later()
    assert later < first / 10
    assert first_and_later(MALLOC_MMAP_THRESHOLD_="1000000")[1] > later  # the user's word goes before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library, which is left as it is")
def test_what_is_kept_is_no_shortage():
    code = (
        "from pathlib import Path; from scoreinv.memory import available_bytes, keep_freed; keep_freed()\n"
        "def held(): return 4096 * int(Path('/proc/self/statm').read_text().split()[1])\n"
        "blocks = [bytearray(b'1') * (1 << 20) for _ in range(200)]; del blocks; kept = held(); available_bytes()\n"
        "print(kept, held())"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ALLOCATING}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    kept, left = map(int, done.stdout.split())
    assert kept > 150 << 20 > 3 * left
