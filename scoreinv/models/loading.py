"""Models by name, with the device and precision they compute on; loaded on first use, once a process.

A `ModelSource` and a `Models` of names can be pickled: worker processes load their own. Inputs are checked before a
model is loaded, since torch takes a second to import. Imports no torch.
"""

from __future__ import annotations

import gc
import logging
import os
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal

from scoreinv.models import catalogue
from scoreinv.models.kinds import Kind
from scoreinv.system.devices import device_of, uses_bfloat16
from scoreinv.system.errors import SettingError
from scoreinv.system.options import Device, Precision
from scoreinv.system.threads import OPENMP, set_threads

if TYPE_CHECKING:
    from scoreinv.models.config import PriorConfig
    from scoreinv.models.damage_detector import DamageDetector
    from scoreinv.models.noise_estimator import NoiseEstimator
    from scoreinv.models.upscaler import Upscaler
    from scoreinv.prior import ScorePrior

Role = Literal["damage", "inpaint", "noise", "denoise", "colorize", "upscale"]

_log = logging.getLogger(__name__)
_loading = RLock()


@dataclass(frozen=True)
class Machine:
    """Where models compute.

    Attributes:
        device, precision: `auto` chooses the fastest.
        threads: number of CPU threads; None: chosen by `set_threads`.
    """

    device: Device = "auto"
    precision: Precision = "auto"
    threads: int | None = None

    def start_torch(self) -> None:
        """Import torch and set its number of threads, before the first computation of a process of our own.

        Library calls leave the caller's threads and garbage collector alone.
        """
        _import_torch()
        set_threads(self.threads)

    def with_precision(self) -> Machine:
        """Return this machine with the precision that `auto` chooses in this process, for others to use the same."""
        import torch

        fast = uses_bfloat16(self.precision, torch.device(device_of(self.device)))
        return replace(self, precision="bfloat16" if fast else "float32")

    def check(self) -> None:
        """Raise SettingError if the device is absent. `auto` and `cpu` never are, and torch is slow to import."""
        if self.device not in ("auto", "cpu"):
            device_of(self.device)


@cache
def _import_torch() -> None:
    gc.disable()  # garbage collection takes a sixth of torch's import
    import torch as torch

    gc.enable()
    gc.freeze()


LIBRARY = Machine("cpu", "float32")
"""Machine of models named in calls from Python, the same as in `catalogue.load`."""


@dataclass(frozen=True)
class ModelSource:
    """A model by name or path, and where it computes.

    Attributes:
        name: bundled name, path, or `hf:OWNER/NAME`.
        kind: kind of the model.
        exact: compute in float32, as ODE solvers need: with the rounding of bfloat16 they take many times the steps.
    """

    name: str
    machine: Machine = field(default_factory=Machine)
    kind: Kind = "prior"
    exact: bool = False

    def __post_init__(self) -> None:
        if self.exact and self.machine.precision == "bfloat16":
            raise SettingError("precision", "bfloat16: ODE solvers and likelihood need float32")

    def check(self) -> None:
        """Raise InputError if the model or device does not exist. Nothing is fetched from the hub."""
        if not self.name.startswith(catalogue.HUB_PREFIX):
            _ = self.path
        self.machine.check()

    def load(self) -> Any:
        """Return the model on its device; loaded on the first call of the process.

        Raises:
            CheckpointError, InputError: it cannot be used, or its weights do not fit in memory.
        """
        with _loading:  # several threads load it once
            return _load(self)

    def record(self) -> dict[str, Any]:
        """Return name, device and precision, for JSON lines and manifests."""
        device, precision = self.device_and_precision
        return {"model": catalogue.full_name(self.name, self.path), "device": device, "precision": precision}

    @cached_property
    def device_and_precision(self) -> tuple[str, str]:
        """Return the device, and the precision of the network: `float32` or `bfloat16`."""
        return device_of(self.machine.device), "float32" if self.exact else self.machine.with_precision().precision

    @cached_property
    def path(self) -> Path:
        """Return the file or folder of the model; fetch it if it is on the hub."""
        return catalogue.locate(self.name)

    @cached_property
    def sha256(self) -> str:
        """Return the SHA-256 of the weights, in hexadecimal."""
        return catalogue.sha256(self.path)

    @property
    def configuration(self) -> PriorConfig | None:
        """Return the configuration; None for a model on the hub, which would have to be fetched."""
        return None if self.name.startswith(catalogue.HUB_PREFIX) else catalogue.configuration(self.path)


@lru_cache(maxsize=8)
def _load(source: ModelSource) -> Any:
    """Load a model to its device, and log the device, the precision and the reasons."""
    import torch

    device, precision = source.device_and_precision
    _log.info("model %s: %s", source.name, source.path)
    reason = "requested" if source.machine.device != "auto" else "first available of cuda, mps, cpu"
    _log.info("device %s (%s)", device, reason)
    reason = "needed by ODE and likelihood" if source.exact else "faster here"
    _log.info("precision %s%s", precision, f" ({reason})" if source.machine.precision == "auto" else "")
    if device == "cpu":
        requested = source.machine.threads is not None or OPENMP in os.environ
        _log.info("threads %d%s", torch.get_num_threads(), " (requested)" if requested else "")
    return catalogue.load_kind(source.kind, source.path).to(torch.device(device), getattr(torch, precision))


@dataclass(frozen=True)
class Models:
    """The models of the tasks on photographs, each by name, file, or as a loaded model.

    Attributes:
        damage: finds damage.
        inpaint: fills holes.
        noise: estimates noise.
        denoise: removes noise and blur, and draws samples of enlarged photographs.
        colorize: draws colours.
        upscale: enlarges.
        machine: where models given by name compute.
    """

    damage: str | Path | DamageDetector = "damage"
    inpaint: str | Path | ScorePrior = "photo"
    noise: str | Path | NoiseEstimator = "noise"
    denoise: str | Path | ScorePrior = "denoiser"
    colorize: str | Path | ScorePrior = "scene"
    upscale: str | Path | Upscaler = "upscaler"
    machine: Machine = field(default_factory=Machine)

    def detector(self) -> DamageDetector:
        """Return the damage detector."""
        return self._load("damage")

    def filler(self) -> ScorePrior:
        """Return the prior that fills holes."""
        return self._load("inpaint")

    def noise_estimator(self) -> NoiseEstimator:
        """Return the estimator of noise."""
        return self._load("noise")

    def denoiser(self, *, exact: bool = False) -> ScorePrior:
        """Return the prior that removes noise and blur.

        Args:
            exact: in float32 if the machine chooses the precision of a named model.
        """
        source = self.source("denoise")
        if exact and source is not None and self.machine.precision == "auto":
            return replace(source, exact=True).load()
        return self._load("denoise")

    def colorizer(self) -> ScorePrior:
        """Return the prior that draws colours."""
        return self._load("colorize")

    def upscaler(self) -> Upscaler:
        """Return the network that enlarges."""
        return self._load("upscale")

    def source(self, role: Role) -> ModelSource | None:
        """Return the named model of a role; None if it is a loaded model."""
        model = getattr(self, role)
        if not isinstance(model, str | Path):
            return None
        name = model if isinstance(model, str) else str(model.absolute())  # a path is no bundled name
        kind: Kind = role if role == "damage" or role == "upscale" or role == "noise" else "prior"
        return ModelSource(name, self.machine, kind)

    def identity(self, role: Role) -> dict[str, str | None]:
        """Return name and SHA-256 of a role's model, for records.

        The name is None for a path, which may be private; both are None for a model that was not loaded from a file.
        """
        source = self.source(role)
        origin = catalogue.origin_of(getattr(self, role)) if source is None else (source.name, source.path)
        if origin is None:
            return {"name": None, "sha256": None}
        return catalogue.identity(*origin)

    def device_and_precision(self, role: Role) -> tuple[str, str]:
        """Return the device of a role's model, and the precision of its network."""
        source = self.source(role)
        if source is not None:
            return source.device_and_precision
        weights = getattr(self, role).network.parameters()
        dtype = min((weight.dtype for weight in weights), key=lambda dtype: dtype.itemsize)
        return getattr(self, role).device.type, str(dtype).removeprefix("torch.")

    def _load(self, role: Role) -> Any:
        source = self.source(role)
        return getattr(self, role) if source is None else source.load()
