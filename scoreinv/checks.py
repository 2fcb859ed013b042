"""Checks of options where they are made, so that whoever makes them is told at once."""

from __future__ import annotations

from collections.abc import Iterable

from scoreinv.errors import InputError


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
