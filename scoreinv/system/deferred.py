"""Parts of libraries that a command imports only if something asks for them, as most work does without.

Torch registers on import, in Python, what its operations do to shapes alone: a quarter of the time that it takes to
start. Scipy goes through all of numpy, tests and a Fortran helper included.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from threading import RLock
from types import ModuleType
from typing import Any

_SHAPES = "torch._meta_registrations"
_TRIED = "2.13."  # the version of torch that is known to do without; others are imported whole
_OF_NUMPY = ("f2py", "testing")
_loading = RLock()


class _Deferred(ModuleType):
    """In the place of a module until a name of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system and others ask every module for these
            raise AttributeError(name)
        return getattr(self.load(), name)

    def load(self) -> ModuleType:
        """Import the module itself."""
        with _loading:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
            return import_module(self.__name__)


def import_torch() -> None:
    """Import torch for a process of our own, unless it is there; what it registers for shapes alone is deferred."""
    with _loading:  # another thread must not use torch half made
        if "torch" in sys.modules:
            return
        gc.disable()  # Python would go through all of the new objects again and again, though they stay to the end
        if deferred := _torch_version().startswith(_TRIED):
            sys.modules[_SHAPES] = _Deferred(_SHAPES)
        try:
            import torch

            if deferred:  # what importing that would also have done
                from torch._opaque_base import OpaqueBaseMeta

                torch._C._set_generator_metaclass(OpaqueBaseMeta)  # type: ignore[attr-defined]
        finally:
            gc.enable()
        gc.freeze()


def _torch_version() -> str:
    """The version that would be imported; empty where nothing tells it."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and help needs none of it

    try:
        return version("torch")
    except PackageNotFoundError:
        return ""


def load_shapes() -> None:
    """Import what torch does to shapes alone, if it was deferred: `FakeTensorMode` and `torch.compile` need it."""
    deferred = sys.modules.get(_SHAPES)
    if isinstance(deferred, _Deferred):
        deferred.load()


def defer_of_numpy() -> None:
    """Defer parts of numpy that scipy would import, for a process of our own that has not imported scipy."""
    import numpy

    for name in _OF_NUMPY:
        if name in numpy.__all__ and name not in vars(numpy):
            setattr(numpy, name, _Deferred(f"numpy.{name}"))
