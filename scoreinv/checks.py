"""What settings may be: kinds and ranges. Settings are checked when they are made, so that errors come at once.

`Whole`, `Number` and `check_*` check named settings, the same for Python and the command line: each returns nothing and
raises `SettingError`, whose text names the setting and what it may be. `require` and `within` check what a
configuration holds, and raise `InputError`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import TypeGuard

from scoreinv.errors import InputError, SettingError

_LONGEST = 40
"""Letters of a wrong value that are shown."""


@dataclass(frozen=True)
class Whole:
    """Whole numbers from `least` to `most`, both allowed."""

    least: float = 0
    most: float = math.inf

    def check(self, setting: str, value: object) -> None:
        """Raise SettingError unless the value is one of them."""
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise SettingError(setting, f"must be a whole number, not {shown(value)}")
        _check_bounds(setting, int(value), self.least, self.most)


@dataclass(frozen=True)
class Number:
    """Finite numbers from `least` to `most`, both allowed; None for `least`: any above 0."""

    least: float | None = -math.inf
    most: float = math.inf

    def check(self, setting: str, value: object) -> None:
        """Raise SettingError unless the value is one of them."""
        if not _is_number(value):
            raise SettingError(setting, f"must be a number, not {shown(value)}")
        if self.least is None and not value > 0:
            raise SettingError(setting, f"must be positive, not {shown(value)}")
        _check_bounds(setting, value, -math.inf if self.least is None else self.least, self.most)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _check_bounds(setting: str, value: float, least: float, most: float) -> None:
    if least <= value <= most:
        return
    low, high = (f"{bound:,}" if isinstance(bound, Integral) else f"{bound:g}" for bound in (least, most))
    bounds = f"from {low} to {high}"
    if math.isinf(most):
        bounds = f"at least {low}"
    elif math.isinf(least):
        bounds = f"at most {high}"
    raise SettingError(setting, f"must be {bounds}, not {shown(value)}")


def check_noise_share(value: object) -> None:
    """The noise_std of a photograph: a share of the range from black to white."""
    Number(0).check("noise_std", value)
    if _is_number(value) and value > 1:
        raise SettingError("noise_std", f"must be from 0 to 1, not {shown(value)}: 25 grey levels are 25/255")


def check_choice(setting: str, value: object, choices: Sequence[str]) -> None:
    """One of some words."""
    if not isinstance(value, str) or value not in choices:
        listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
        raise SettingError(setting, f"must be {listed}, not {shown(value)}")


def check_flag(setting: str, value: object) -> None:
    """True or False, Python's or NumPy's."""
    if not _is_flag(value):
        raise SettingError(setting, f"must be True or False, not {shown(value)}")


def says_stop(answer: object) -> bool:
    """Whether what a callback returned is False, Python's or NumPy's."""
    return _is_flag(answer) and not answer


def _is_flag(value: object) -> bool:
    return type(value).__name__ in ("bool", "bool_")


def check_callback(value: object) -> None:
    """A function, or None."""
    if value is not None and not callable(value):
        raise SettingError("callback", f"must be a function, not {shown(value)}")


def shown(value: object) -> str:
    """A value as messages show it: what it is where that is short, else what kind of thing."""
    if value is not None and not isinstance(value, str | Real):
        return type(value).__name__
    if isinstance(value, Integral) and abs(value) > 10**_LONGEST:
        return "a number beyond all bounds"  # whose digits Python would not even write down
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def require(condition: bool, message: str) -> None:
    """Raise InputError with the message unless the condition holds."""
    if not condition:
        raise InputError(message)


def within(name: str, value: float, low: float, high: float) -> None:
    """Raise InputError unless a number lies in [low, high]; one that is not a number lies nowhere."""
    require(low <= value <= high, f"{name} must lie in [{low:g}, {high:g}], not {value:g}")


def each_within(name: str, values: Iterable[float], low: float, high: float) -> None:
    """`within` of each of several numbers."""
    for value in values:
        within(f"each of {name}", value, low, high)
