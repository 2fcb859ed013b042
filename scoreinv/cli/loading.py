"""The models of a run on its device, loaded when they are first needed.

Inputs are checked before: a wrong file name should not wait for torch.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoreinv.cli.options import Common
from scoreinv.cli.report import notice, warn
from scoreinv.errors import InputError, ScoreinvError
from scoreinv.models.catalogue import HUB_PREFIX

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.machine import Speed
    from scoreinv.models.config import ModelConfig
    from scoreinv.networks.detector import DamageDetector
    from scoreinv.prior import ScorePrior

_log = logging.getLogger(__name__)

LARGE_BYTES = 40_000_000
"""A model of larger files may not fit; the bundled ones do."""
OPENMP = "OMP_NUM_THREADS"
"""The variable by which users decide how many threads there are."""


class Model:
    """A model by its name or path, on the device and in the precision of a run; loaded once, on first use.

    Args:
        name: name or path, as typed.
        exact: the work needs float32 (likelihood, ODE solvers): bfloat16 rounding multiplies adaptive steps.
    """

    def __init__(self, name: str, common: Common, *, exact: bool = False) -> None:
        self.name = name
        self.common = common
        self.exact = exact
        if exact and common.precision == "bfloat16":
            raise InputError("--precision bfloat16: ODE solvers and likelihood need float32")

    def __reduce__(self) -> Any:
        """What goes along to another process: what was found and loaded here may be elsewhere there."""
        return _again, (type(self), self.name, self.common, self.exact)

    def check(self) -> None:
        """Raise InputError where there is no such model or device; nothing is fetched from the hub."""
        if not self.name.startswith(HUB_PREFIX):
            _ = self.path
        if self.common.device != "auto":
            _ = self.device

    def load(self) -> None:
        """Load the model now, unless it is loaded; raises CheckpointError or InputError when it cannot be used."""
        _ = self._placed

    def record(self, method: str) -> dict[str, Any]:
        """What a JSON line says about how a result was made."""
        return {
            "seed": self.common.seed or 0,
            "model": self.full_name,
            "method": method,
            "device": self.device,
            "precision": self.precision,
        }

    @cached_property
    def path(self) -> Path:
        """The file or folder of the model, which is fetched where it is on the hub."""
        from scoreinv.models.catalogue import locate

        return locate(self.name)

    @property
    def full_name(self) -> str:
        """The model's name as typed; for a model on the hub with its revision."""
        from scoreinv.models.catalogue import full_name

        return full_name(self.name, self.path)

    @cached_property
    def sha256(self) -> str:
        """Hash of the model's weights, in hexadecimal."""
        from scoreinv.models.catalogue import sha256

        return sha256(self.path)

    @property
    def configuration(self) -> ModelConfig | None:
        """The model's, without its weights; None of one on the hub, which would have to be fetched."""
        from scoreinv.models.catalogue import configuration

        return None if self.name.startswith(HUB_PREFIX) else configuration(self.path)

    @cached_property
    def device(self) -> str:
        """`cpu`, `cuda` or `mps`; InputError when the one that was asked for is absent."""
        from scoreinv.machine import device_of

        return device_of(self.common.device)

    @cached_property
    def precision(self) -> str:
        """`float32` or `bfloat16`, that the network computes in; `auto` takes what is faster."""
        import torch

        from scoreinv.machine import uses_bfloat16

        if self.exact:
            return "float32"
        if self.common.precision == "auto" and self._speed is not None:
            return self._speed.precision
        return "bfloat16" if uses_bfloat16(self.common.precision, torch.device(self.device)) else "float32"

    @property
    def prior(self) -> ScorePrior:
        """The model, on the device and in the precision of the run."""
        prior: ScorePrior = self._placed
        return prior

    @cached_property
    def _placed(self) -> Any:
        import_torch()
        import torch

        device, asked = self.device, self.common
        _log.info("model %s: %s", self.name, self.path)
        _log.info("device %s%s", device, _why(asked.device, "the first that is here of cuda, mps and cpu"))
        set_threads(asked.threads)
        speed = self._speed
        faster = "as is faster here" if speed is None else speed.reason
        faster = "needed by the ODE and the likelihood" if self.exact else faster
        _log.info("precision %s%s", self.precision, _why(asked.precision, faster))
        if speed is not None and not self._threads_are_given:
            set_threads(speed.threads)
        if device == "cpu":
            _log.info("threads %d%s", torch.get_num_threads(), ", as asked for" if self._threads_are_given else "")
        try:
            return self._loaded.to(torch.device(device), getattr(torch, self.precision))
        except torch.OutOfMemoryError as error:
            raise ScoreinvError(f"{self.name}: does not fit in the memory of {device}: use --device cpu") from error

    @property
    def _threads_are_given(self) -> bool:
        return self.common.threads is not None or OPENMP in os.environ

    @cached_property
    def _speed(self) -> Speed | None:
        """How the CPU evaluates this model fastest; None where all of it is decided, or the device is another."""
        from scoreinv.machine import fastest

        decided = self.exact or self.common.precision != "auto"
        if self.device != "cpu" or (decided and self._threads_are_given):
            return None
        return fastest(self._loaded.network, self._loaded.image_size)

    @cached_property
    def _loaded(self) -> Any:
        """The model in float32, on the CPU."""
        from scoreinv.models.catalogue import load

        if self.device == "cpu":
            self._check_memory()
        return load(self.path)

    def _check_memory(self) -> None:
        """Say how much memory a large model takes; raises ScoreinvError when there is less."""
        files = [self.path] if self.path.is_file() else [file for file in self.path.rglob("*") if file.is_file()]
        if sum(file.stat().st_size for file in files) < LARGE_BYTES:
            return
        from scoreinv.machine import shortage
        from scoreinv.models.catalogue import configuration
        from scoreinv.models.peak_memory import process_bytes

        itemsize = 2 if self.common.precision == "bfloat16" else 4
        needed = process_bytes(configuration(self.path), itemsize=itemsize)
        if lacking := shortage(needed):
            raise ScoreinvError(f"{self.name}: {lacking}: end other programs, or use a smaller model")
        notice(self.common, f"{self.name}: takes about {needed / 1e9:.1f} GB of memory")


class Detector(Model):
    """A model that finds damage."""

    @property
    def detector(self) -> DamageDetector:
        """The model, on the device and in the precision of the run."""
        detector: DamageDetector = self._placed
        return detector

    @cached_property
    def _loaded(self) -> Any:
        from scoreinv.models.catalogue import load_damage_detector

        return load_damage_detector(self.path)

    @cached_property
    def _speed(self) -> Speed | None:
        return None


def _again(kind: type[Model], name: str, common: Common, exact: bool) -> Model:
    return kind(name, common, exact=exact)


def _why(asked: str, otherwise: str) -> str:
    return f" ({otherwise})" if asked == "auto" else ", as asked for"


def check_samples(count: int, picture: Picture, *, coloured: bool) -> None:
    """Raise InputError where so many results of a picture, in colour or its mode, do not fit in memory."""
    from scoreinv.machine import shortage

    needed = count * (3 if coloured and picture.is_gray_mode else 1) * picture.pixels.nbytes
    if lacking := shortage(needed):
        size = f"{picture.width}x{picture.height}"
        raise InputError(f"--samples {count}: drawing so many pictures of {size} {lacking}: ask for fewer")


def warn_of_completing(model: Model, does: str) -> None:
    """Warn of what a model does here that was trained to complete pictures, where it is one."""
    from scoreinv.conditional.prior import ConditionalPrior

    if isinstance(model.prior, ConditionalPrior):
        warn(f"{model.name}: was trained to complete pictures, and {does}")


def import_torch() -> None:
    """Import torch before anything else does, without looking for garbage meanwhile.

    Python would go through all of its new objects again and again, and once more in each collection to come, though
    they stay to the end: frozen they are left out.
    """
    if "torch" in sys.modules or not gc.isenabled():  # nothing to gain, or the decision of whoever calls
        return
    gc.disable()
    try:
        import torch  # noqa: F401
    finally:
        gc.enable()
    gc.freeze()


def set_threads(count: int | None) -> None:
    """Bound torch's CPU threads for this process: by a count, or (None) by what its container allows.

    A number that the user has given to OpenMP stands.
    """
    import torch

    from scoreinv.machine import usable_threads

    if count is not None:
        torch.set_num_threads(count)
    elif OPENMP not in os.environ and usable_threads() < torch.get_num_threads():
        torch.set_num_threads(usable_threads())
