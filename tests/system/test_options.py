"""Settings are stated once: ranges and choices check themselves, and errors speak the library's words."""

import ast
import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest

import scoreinv
from scoreinv.system.errors import SettingError
from scoreinv.system.options import Number, Setting, Whole, check, check_noise_share, check_settings

PACKAGE = Path(scoreinv.__file__).parent
OPTION = r"(?<!`scoreinv train )--[a-z]"


@dataclass(frozen=True)
class Cooking:
    heat: Annotated[Literal["low", "high"] | None, Setting("How hot.")] = None
    minutes: Annotated[int, Setting("How long.", Whole(1, 60))] = 5
    salt: Annotated[float | None, Setting("How much.", Number(None, 10.0))] = None
    lid: Annotated[bool, Setting("Covered.")] = False
    stirs: Annotated[tuple[int, ...], Whole(1)] = (3, 6)
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"heat": "medium"}, "heat must be low or high, not 'medium'"),
        ({"minutes": 0}, "minutes must be from 1 to 60, not 0"),
        ({"minutes": None}, "minutes must be a whole number from 1 to 60, not None"),
        ({"salt": 0.0}, "salt must be positive, not 0.0"),
        ({"salt": 11.0}, "salt must be at most 10, not 11.0"),
        ({"lid": 1}, "lid must be True or False, not 1"),
        ({"stirs": (3, 0)}, "each of stirs must be at least 1, not 0"),
    ],
)
def test_settings_check_themselves(wrong, said):
    with pytest.raises(SettingError, match=f"^{re.escape(said)}$"):
        Cooking(**wrong)
    Cooking(heat="low", minutes=60, salt=10.0, lid=True)


def test_numbers_of_every_kind_are_taken():
    for value in (3, np.int64(3), np.uint8(3)):
        check("n", value, Whole(1, 3))
    for value in (0.5, np.float32(0.5), Fraction(1, 2), 1, np.int32(1)):
        check("x", value, Number(0, 1))
        check("x", value, Number(None))
    for value in (True, np.bool_(False)):
        check("f", value, bool)
    check("c", "b", ("a", "b"))
    check_noise_share(1.0)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: check("n", 0, Whole(1, 1000)), "n must be from 1 to 1,000, not 0"),
        (lambda: check("n", -1, Whole()), "n must be at least 0, not -1"),
        (lambda: check("n", 10**5000, Whole(0, 9)), "n must be from 0 to 9, not a huge number"),
        (lambda: check("n", 1.0, Whole()), "n must be a whole number, not 1.0"),
        (lambda: check("n", True, Whole()), "n must be a whole number, not True"),
        (lambda: check("x", math.nan, Number(-math.inf)), "x must be a number, not nan"),
        (lambda: check("x", 1j, Number(-math.inf)), "x must be a number, not complex"),
        (lambda: check("x", 2, Number(0, 1.5)), "x must be from 0 to 1.5, not 2"),
        (lambda: check("x", 2, Number(-math.inf, 1.5)), "x must be at most 1.5, not 2"),
        (lambda: check("x", 0, Number(None)), "x must be positive, not 0"),
        (lambda: check("c", "d", ("a", "b", "c")), "c must be a, b or c, not 'd'"),
        (lambda: check("f", "no", bool), "f must be True or False, not 'no'"),
    ],
)
def test_errors_of_options_are_sentences(call, said):
    with pytest.raises(SettingError) as caught:
        call()
    assert str(caught.value) == said


def test_the_library_names_no_option_of_the_command_line():
    """Except for whole commands, as remedies."""
    named = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).parts
        if parts[0] in ("cli", "batch", "gimp") or path.name in ("table.py", "notes.py"):  # or its words
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(OPTION, node.value):
                named.append(f"{path.name}: {node.value[:60]}")
    assert named == []
