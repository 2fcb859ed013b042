"""Settings are stated once: ranges and choices check themselves, and errors speak the library's words."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

import scoreinv
from scoreinv.cli.report import describe
from scoreinv.errors import SettingError
from scoreinv.options import Number, Setting, Whole, check_settings, declared

PACKAGE = Path(scoreinv.__file__).parent
OPTION = r"(?<!`scoreinv train )--[a-z]"


@dataclass(frozen=True)
class Cooking:
    heat: Annotated[Literal["low", "high"] | None, Setting("How hot.")] = None
    minutes: Annotated[int, Setting("How long.", Whole(1, 60))] = 5
    salt: Annotated[float | None, Setting("How much.", Number(None, 10.0))] = None
    lid: Annotated[bool, Setting("Covered.")] = False
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self)


def test_fields_with_a_setting_are_declared():
    assert list(declared(Cooking)) == ["heat", "minutes", "salt", "lid"]
    assert declared(Cooking)["minutes"][1].words == "How long."
    assert declared(int) == {}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"heat": "medium"}, "heat must be low or high, not 'medium'"),
        ({"minutes": 0}, "minutes must be from 1 to 60, not 0"),
        ({"minutes": None}, "minutes must be a whole number, not None"),
        ({"salt": 0.0}, "salt must be positive, not 0.0"),
        ({"salt": 11.0}, "salt must be at most 10, not 11.0"),
        ({"lid": 1}, "lid must be True or False, not 1"),
    ],
)
def test_settings_check_themselves(wrong, said):
    with pytest.raises(SettingError, match=f"^{re.escape(said)}$"):
        Cooking(**wrong)
    Cooking(heat="low", minutes=60, salt=10.0, lid=True)


def test_the_command_line_names_the_option_of_a_setting():
    assert describe(SettingError("noise_std", "is too much")) == "--noise is too much"
    assert describe(SettingError("corrector_steps", "must be whole")) == "--corrector-steps must be whole"


def test_the_library_names_no_option_of_the_command_line():
    """But for whole commands, as remedies."""
    named = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.is_relative_to(PACKAGE / "cli"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(OPTION, node.value):
                named.append(f"{path.name}: {node.value[:60]}")
    assert named == []
