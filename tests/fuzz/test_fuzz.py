"""A few damaged inputs of each kind; by hand more (fuzz.py). And the fuzzer sees how a case can fail."""

import os
import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from damaged_pictures import a_tiff, another, others, tiffs
from fuzz import BYTES, Case, fuzz

from scoreinv.files.read import read_picture
from scoreinv.system.errors import InputError

PICTURES = pytest.mark.parametrize("case", [a_tiff, another], ids=["tiffs", "pictures"])


@pytest.mark.parametrize("data", [*tiffs(), *others()])
def test_a_picture_that_is_cut_off_is_refused_or_whole(data: bytes) -> None:
    """No missing part is shown black; without its last byte a number of a plain PNM may be another."""
    pixels = read_picture(data, frame=0).pixels
    for length in random.Random(1).sample(range(len(data) - 1), 8):
        with suppress(InputError):
            np.testing.assert_array_equal(read_picture(data[:length], frame=0).pixels, pixels)


@PICTURES
def test_some_damaged_pictures(case: Case) -> None:
    assert fuzz(case, 1, range(200)) == ""


@pytest.mark.slow
@PICTURES
def test_many_damaged_pictures(case: Case) -> None:
    assert fuzz(case, 1, range(1000, 100_000), seconds=30) == ""


def refuses(generator: random.Random, folder: Path) -> None:
    raise InputError("damaged")


def fails(generator: random.Random, folder: Path) -> None:
    raise ZeroDivisionError


def hangs(generator: random.Random, folder: Path) -> None:
    while True:
        pass


def grows_and_refuses(generator: random.Random, folder: Path) -> None:
    try:
        bytearray(2 * BYTES)
    except MemoryError as error:
        raise InputError("damaged") from error


def writes(generator: random.Random, folder: Path) -> None:
    os.write(2, b"hm")


@pytest.mark.parametrize(
    ("case", "told"),
    [
        *((refuses, ""), (fails, "ZeroDivisionError"), (hangs, "SIGPROF"), (writes, "wrote to stderr: hm")),
        (grows_and_refuses, "a lack of memory"),
    ],
)
def test_kinds_of_faults_are_seen(monkeypatch, case: Case, told: str) -> None:
    if case is grows_and_refuses and not Path("/proc/self/statm").exists():
        pytest.skip("memory is bounded on Linux only")
    monkeypatch.setattr("fuzz.SECONDS", 0.2)
    found = fuzz(case, 1, range(7, 9))
    assert told in found
    assert found.startswith("case 7 of seed 1\n" if told else "")
    assert bool(found) == bool(told)


def test_no_case_is_started_when_time_is_over() -> None:
    assert fuzz(fails, 1, range(1000), seconds=0) == ""
