"""Deferred imports of parts of libraries that few commands use.

On import, torch registers the shape computations of its operations in Python, which takes a quarter of its start-up
time. Scipy accesses every attribute of numpy, including its tests and a Fortran helper.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from threading import RLock
from types import ModuleType
from typing import Any

_SHAPES = "torch._meta_registrations"
_TRIED = "2.13."  # the torch version that was tested with this; others are imported completely
_OF_NUMPY = ("f2py", "testing")
_loading = RLock()


class _Deferred(ModuleType):
    """Placeholder of a module; imports it when an attribute is first used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system looks these up in every module
            raise AttributeError(name)
        return getattr(self.load(), name)

    def load(self) -> ModuleType:
        """Import the real module."""
        with _loading:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
            return import_module(self.__name__)


def import_torch() -> None:
    """Import torch, unless it is imported, in a process of ours; defer its registration of shapes."""
    with _loading:  # other threads must not see a partially imported torch
        if "torch" in sys.modules:
            return
        gc.disable()  # the garbage collector would scan the new, permanent objects repeatedly
        if deferred := _torch_version().startswith(_TRIED):
            sys.modules[_SHAPES] = _Deferred(_SHAPES)
        try:
            import torch

            if deferred:  # a side effect of the deferred module
                from torch._opaque_base import OpaqueBaseMeta

                torch._C._set_generator_metaclass(OpaqueBaseMeta)  # type: ignore[attr-defined]
        finally:
            gc.enable()
        gc.freeze()


def _torch_version() -> str:
    """Return the installed version of torch, or an empty string if unknown."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import; the help must stay fast

    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def load_shapes() -> None:
    """Import torch's shape computations if they were deferred: `FakeTensorMode` and `torch.compile` need them."""
    deferred = sys.modules.get(_SHAPES)
    if isinstance(deferred, _Deferred):
        deferred.load()


def defer_of_numpy() -> None:
    """Defer parts of numpy that scipy would import, in a process of ours that has not imported scipy."""
    import numpy

    for name in _OF_NUMPY:
        if name in numpy.__all__ and name not in vars(numpy):
            setattr(numpy, name, _Deferred(f"numpy.{name}"))
