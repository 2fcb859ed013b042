"""Names of the release before, importable for one release."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def moved(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module some of whose names have moved.

    Args:
        module: its `__name__`.
        names: the full new name of each old one.

    A DeprecationWarning names the new place.
    """

    def find(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new = names[name]
        warnings.warn(f"{module}.{name} is {new} since 0.3", DeprecationWarning, stacklevel=2)
        parent, _, last = new.rpartition(".")
        return getattr(import_module(parent), last)

    return find
