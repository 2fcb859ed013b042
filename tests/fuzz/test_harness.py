"""The harness sees each way in which a case can fail, and goes on after it."""

from __future__ import annotations

import os
import random
import signal
import sys
import warnings
from pathlib import Path

import harness
import pytest
from harness import fuzz

from scoreinv.errors import InputError


def holds(generator: random.Random, folder: Path) -> None:
    (folder / "input").write_bytes(generator.randbytes(3))


def refuses(generator: random.Random, folder: Path) -> None:
    raise InputError("damaged")


def fails(generator: random.Random, folder: Path) -> None:
    raise ZeroDivisionError


def hangs(generator: random.Random, folder: Path) -> None:
    while True:
        pass


def waits(generator: random.Random, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "pipe").read_bytes()


def grows(generator: random.Random, folder: Path) -> None:
    bytearray(2 * harness.BYTES)


def grows_and_refuses(generator: random.Random, folder: Path) -> None:
    try:
        bytearray(2 * harness.BYTES)
    except MemoryError as error:
        raise InputError("damaged") from error


def warns(generator: random.Random, folder: Path) -> None:
    warnings.warn("hm", UserWarning, stacklevel=1)


def talks(generator: random.Random, folder: Path) -> None:
    sys.__stderr__.write("hm")
    sys.__stderr__.flush()


def dies(generator: random.Random, folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


CASES = (holds, refuses, fails, hangs, waits, grows, grows_and_refuses, warns, talks, dies, holds)


@pytest.mark.slow
def test_each_kind_of_fault_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/proc/self/statm").exists():
        pytest.skip("memory is bounded on Linux only")
    monkeypatch.setattr(harness, "SECONDS", 0.5)  # of the processor, busy or not
    monkeypatch.setattr(harness, "_STILL", 3.0)
    places = {random.Random(f"5/{number}").random(): number for number in range(len(CASES))}

    def case(generator: random.Random, folder: Path) -> None:
        CASES[places[generator.random()]](generator, folder)

    faults = list(fuzz(case, seed=5, numbers=range(len(CASES))))
    said = ["" if fault is None else fault.kind.partition(":")[0] for fault in faults]
    assert said == [
        *("", "", "ZeroDivisionError", "takes over 0.5 s", "stands still for 3 s"),
        *("MemoryError", "out of memory", "UserWarning of test_harness.py", "wrote to stderr", "ends the process", ""),
    ]
    assert [fault.case for fault in faults if fault is not None] == list(range(2, 10))


def test_no_case_is_started_when_time_is_over() -> None:
    assert list(fuzz(holds, seed=0, numbers=range(1000), seconds=0)) == []
