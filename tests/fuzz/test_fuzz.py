"""A few damaged inputs of each kind; by hand more (fuzz.py). And the fuzzer sees each way in which a case can fail."""

from __future__ import annotations

import os
import random
import signal
import warnings
from pathlib import Path

import pytest
from damaged_pictures import a_tiff, another, others, tiffs
from fuzz import BYTES, Case, fuzz

from scoreinv.errors import InputError
from scoreinv.imaging.read import read_picture

PICTURES = pytest.mark.parametrize("case", [a_tiff, another], ids=["tiffs", "pictures"])


@pytest.mark.parametrize("data", [*tiffs(), *others()])
def test_the_pictures_are_whole(data: bytes) -> None:
    assert read_picture(data, frame=0).pixels.size


@PICTURES
def test_some_damaged_pictures(case: Case) -> None:
    assert fuzz(case, 1, range(400)) == ""


@pytest.mark.slow
@PICTURES
def test_many_damaged_pictures(case: Case) -> None:
    assert fuzz(case, 1, range(1000, 100_000), seconds=30) == ""


@pytest.mark.slow
def test_damaged_models() -> None:
    import damaged_models

    damaged_models.prepare()
    assert fuzz(damaged_models.case, 1, range(1000), seconds=5) == ""


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
    bytearray(2 * BYTES)


def grows_and_refuses(generator: random.Random, folder: Path) -> None:
    try:
        bytearray(2 * BYTES)
    except MemoryError as error:
        raise InputError("damaged") from error


def talks_long(generator: random.Random, folder: Path) -> None:
    raise InputError("x" * 3000)


def warns(generator: random.Random, folder: Path) -> None:
    warnings.warn("hm", UserWarning, stacklevel=1)


def writes(generator: random.Random, folder: Path) -> None:
    os.write(2, b"hm")


def dies(generator: random.Random, folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@pytest.mark.parametrize(
    ("case", "told"),
    [
        *((holds, ""), (refuses, ""), (fails, "ZeroDivisionError"), (warns, "UserWarning of")),
        *((hangs, "SIGPROF"), (waits, "SIGALRM"), (dies, "SIGSEGV"), (writes, "wrote to stderr: hm")),
        *((grows, "MemoryError"), (grows_and_refuses, "a lack of memory"), (talks_long, "so long a message")),
    ],
)
def test_each_kind_of_fault_is_seen(monkeypatch, case: Case, told: str) -> None:
    if case in (grows, grows_and_refuses) and not Path("/proc/self/statm").exists():
        pytest.skip("memory is bounded on Linux only")
    monkeypatch.setattr("fuzz.SECONDS", 0.2)
    monkeypatch.setattr("fuzz.STILL", 0.5 if case is waits else 60.0)
    found = fuzz(case, 1, range(7, 9))
    assert told in found
    assert found.startswith("case 7 of seed 1\n" if told else "")
    assert bool(found) == bool(told)


def test_no_case_is_started_when_time_is_over() -> None:
    assert fuzz(fails, 1, range(1000), seconds=0) == ""
