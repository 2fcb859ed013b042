"""Damaged pictures are read or refused in one line, soon, in little memory and without a word on stderr."""

from __future__ import annotations

import fuzz_pictures
import fuzz_tiff
import pytest
from harness import Case, fuzz
from pictures import others, tiffs

from scoreinv.imaging.read import read_picture

CASES = pytest.mark.parametrize("case", [fuzz_tiff.case, fuzz_pictures.case], ids=["tiff", "others"])


def faults(case: Case, **limits: int | float) -> list[str]:
    return [f"{fault.case}: {fault.kind}" for fault in fuzz(case, seed=1, **limits) if fault is not None]


@pytest.mark.parametrize("data", [*tiffs(), *others()])
def test_the_pictures_are_whole(data: bytes) -> None:
    assert read_picture(data, frame=0).pixels.size


@CASES
def test_some_damaged_pictures(case: Case) -> None:
    assert faults(case, numbers=range(400)) == []


@pytest.mark.slow
@CASES
def test_many_damaged_pictures(case: Case) -> None:
    assert faults(case, numbers=range(1000, 100_000), seconds=30) == []
