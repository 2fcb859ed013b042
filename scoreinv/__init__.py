"""scoreinv: inverse-problem imaging with score-based generative models through SDEs.

    prior = scoreinv.load("photo")
    result = scoreinv.inpaint(image, mask, prior=prior, samples=4, seed=0)

    solver = scoreinv.samplers.DPMpp2M(eta=1.0, steps=50)
    posterior = scoreinv.guidance.MMPS(prior, scoreinv.operators.mask(observed), y, noise_std=0.1)

The names of `__init__.pyi` are imported when they are first used, so that importing scoreinv does not import torch.
Import scoreinv before torch, so that torch's threads sleep while they wait (`system.threads`).
"""

import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

import lazy_loader

from scoreinv.system import errors as errors
from scoreinv.system.moved import moved
from scoreinv.system.threads import sleep_when_idle
from scoreinv.system.version import __version__ as __version__

_MOVED = {"kernels": "operators.kernels", "machine": "system"}
"""Public modules of 0.2 by their names of today, importable with a DeprecationWarning for one release."""
_RENAMED = {
    "Restored": "scoreinv.Outcome",
    "Colorized": "scoreinv.ColorizeOutcome",
    "Deblurred": "scoreinv.DeblurOutcome",
    "RestoredPhoto": "scoreinv.RestoreOutcome",
}
"""Public classes of 0.2, likewise."""

_lazy_getattr, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Moved(ModuleType):
    """Stand in for a module that has another name now."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks every module for these
            raise AttributeError(name)
        old = self.__name__.removeprefix("scoreinv.")
        new = f"scoreinv.{_MOVED[old]}"
        warnings.warn(f"{self.__name__} is {new} since 0.3", DeprecationWarning, stacklevel=2)
        return getattr(import_module(new), name)


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        return moved(__name__, _RENAMED)(name)
    return sys.modules[f"scoreinv.{name}"] if name in _MOVED else _lazy_getattr(name)


sys.modules[f"{__name__}.errors"] = errors
sys.modules |= {f"scoreinv.{name}": _Moved(f"scoreinv.{name}") for name in _MOVED}
sleep_when_idle()
