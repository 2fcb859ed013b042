"""Deprecated names that were moved, importable for one release."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def moved(module: str, names: Mapping[str, str], find: Callable[[str], Any] | None = None) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module whose names have moved; it issues a DeprecationWarning.

    Args:
        module: the module's `__name__`.
        names: the new full name of each old name.
        find: the `__getattr__` for other names, if any.
    """

    def getattribute(name: str) -> Any:
        if name not in names:
            if find is not None:
                return find(name)
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new = names[name]
        warnings.warn(f"{module}.{name} is {new} since 0.3", DeprecationWarning, stacklevel=2)
        parent, _, last = new.rpartition(".")
        return getattr(import_module(parent), last)

    return getattribute
