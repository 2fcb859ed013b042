"""Training: the loop, losses, moving average, data and states; `train` is the entry point.

The names in `__init__.pyi` are imported on first use, because importing torch takes long.
"""

import warnings

import lazy_loader

_lazy, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
_RENAMED = {"RunFolder": "TrainingRun"}  # until 0.4


def __getattr__(name: str) -> object:
    if name in _RENAMED:
        warnings.warn(f"scoreinv.training.{name} is now {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
    return _lazy(_RENAMED.get(name, name))
