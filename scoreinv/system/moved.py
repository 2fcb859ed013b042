"""Deprecated names that were moved, importable for one release."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Any


def moved(module: str, names: Mapping[str, str], others: Callable[[str], Any] | None = None) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module whose names have moved; it issues a DeprecationWarning.

    Args:
        module: the module's `__name__`.
        names: the new full name of each old name.
        others: finds all other names; None: there are none.
    """

    def find(name: str) -> Any:
        if name in names:
            warnings.warn(f"{module}.{name} is {names[name]} since 0.3", DeprecationWarning, stacklevel=2)
            return resolve_name(names[name])
        if others is not None:
            return others(name)
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find
