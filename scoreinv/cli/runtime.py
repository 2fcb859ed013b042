"""Device, precision, threads and the model of one run, loaded when they are first needed.

Inputs are checked before: a wrong file name should not wait for torch.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from scoreinv.cli.command import Settings
from scoreinv.cli.messages import notice
from scoreinv.cli.streams import warn
from scoreinv.errors import InputError, ScoreinvError
from scoreinv.models.bundled import HUB_PREFIX
from scoreinv.options import Device, Precision

if TYPE_CHECKING:
    from scoreinv.damage import DamageFinder
    from scoreinv.imaging.picture import Picture
    from scoreinv.machine import Speed
    from scoreinv.models.config import ModelConfig
    from scoreinv.prior import ScorePrior

_log = logging.getLogger(__name__)

LARGE_BYTES = 40_000_000
"""A model of larger files may not fit; the bundled ones do."""

WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which users decide how threads wait: of OpenMP, of GNU's runtime, of Intel's and LLVM's."""

_TURNS = "3000"
"""Turns of GNU's runtime before a waiting thread sleeps, of ten to fifty nanoseconds each. Beside a process that keeps
one of two cores busy, jobs take 1.4 times as long as with none, and with 10,000 twice as long."""

OPENMP = "OMP_NUM_THREADS"
"""The variable by which users decide how many threads there are."""


class Maker(Protocol):
    """What makes the results of a run, so far as it is noted with them."""

    @property
    def settings(self) -> Settings: ...

    @property
    def model_sha256(self) -> str: ...

    def check(self) -> None: ...

    def load(self) -> None: ...

    def record(self, method: str) -> dict[str, str | int | None]: ...


@dataclass(frozen=True)
class NoModel:
    """What stands for a `Session` where a run needs no model: it computes on the CPU, in the picture's own numbers."""

    settings: Settings
    model_sha256: str = ""

    def check(self) -> None:
        """Raise InputError where the device that was asked for is absent, though it is not used."""
        if self.settings.device not in ("auto", "cpu"):  # neither is absent, and torch is slow to import
            resolve_device(self.settings.device)

    def load(self) -> None:
        """Load nothing; raises InputError as `check` does."""
        self.check()

    def record(self, method: str) -> dict[str, str | int | None]:
        """What a JSON line says, with the keys of `Session.record`."""
        return {"seed": self.settings.seed, "model": None, "method": method, "device": "cpu", "precision": None}


class _Located(ABC):
    """A model by its name or path, and the device of a run.

    Arguments:
        model: name or path, as typed.
        settings: the common options.
    """

    def __init__(self, model: str, settings: Settings) -> None:
        self.model = model
        self.settings = settings

    def __getstate__(self) -> dict[str, object]:
        """What goes along to another process: what was found and loaded here may be elsewhere there."""
        return {"model": self.model, "settings": self.settings}

    def check(self) -> None:
        """Raise InputError where there is no such model or device; nothing is fetched from the hub."""
        check_model(self.model)
        if self.settings.device != "auto":
            _ = self.device

    @property
    @abstractmethod
    def precision(self) -> str:
        """`float32` or `bfloat16`, that the network computes in."""

    def record(self, method: str) -> dict[str, str | int | None]:
        """What a JSON line says about how a result was made."""
        return {
            "seed": self.settings.seed,
            "model": self.model_name,
            "method": method,
            "device": self.device,
            "precision": self.precision,
        }

    @cached_property
    def model_path(self) -> Path:
        """The file or folder of the model, which is fetched where it is on the hub."""
        from scoreinv.models.catalogue import locate

        return locate(self.model)

    @property
    def model_name(self) -> str:
        """The model's name as typed; for a model on the hub with its revision."""
        from scoreinv.models.catalogue import full_name

        return full_name(self.model, self.model_path)

    @cached_property
    def model_sha256(self) -> str:
        """Hash of the model's weights, in hexadecimal."""
        from scoreinv.models.catalogue import sha256

        return sha256(self.model_path)

    @cached_property
    def device(self) -> str:
        """`cpu`, `cuda` or `mps`; InputError when the one that was asked for is absent."""
        return resolve_device(self.settings.device)


class FinderSession(_Located):
    """What finds damage, on the device and in the precision of the run, loaded once and on first use."""

    def load(self) -> None:
        """Load the model now, unless it is loaded; raises CheckpointError or InputError when it cannot be used."""
        _ = self.finder

    @cached_property
    def precision(self) -> str:
        return resolve_precision(self.settings.precision, self.device)

    @cached_property
    def finder(self) -> DamageFinder:
        """The model, on the device and in the precision of the run."""
        import_torch()
        import torch

        from scoreinv.models.catalogue import load_damage_finder

        _log.info("model %s: %s", self.model, self.model_path)
        _log.info("precision %s%s", self.precision, _why(self.settings.precision, "as is faster here"))
        set_threads(self.settings.threads)
        finder = load_damage_finder(self.model_path)
        return finder.to(torch.device(self.device), getattr(torch, self.precision))


class Session(_Located):
    """The model of a run on its device, loaded once and on first use.

    Arguments:
        model: name or path, as typed.
        settings: the common options.
        exact: the work needs float32 (likelihood, ODE solvers): bfloat16 rounding multiplies adaptive steps.
    """

    def __init__(self, model: str, settings: Settings, *, exact: bool = False) -> None:
        super().__init__(model, settings)
        self.exact = exact
        if exact and settings.precision == "bfloat16":
            raise InputError("--precision bfloat16: ODE solvers and likelihood need float32")

    def __getstate__(self) -> dict[str, object]:
        """What goes along to another process: what was found and loaded here may be elsewhere there."""
        return super().__getstate__() | {"exact": self.exact}

    def load(self) -> None:
        """Load the model now, unless it is loaded; raises CheckpointError or InputError when it cannot be used."""
        _ = self.prior

    @cached_property
    def speed(self) -> Speed | None:
        """How the CPU evaluates this model fastest; None where all of it is decided, or the device is another."""
        from scoreinv.machine import fastest

        decided = self.exact or self.settings.precision != "auto"
        if self.device != "cpu" or (decided and self.threads_are_given):
            return None
        return fastest(self._loaded.network, self._loaded.image_size)

    @property
    def configuration(self) -> ModelConfig | None:
        """The model's, without its weights; None of one on the hub, which would have to be fetched."""
        from scoreinv.models.catalogue import configuration

        return None if self.model.startswith(HUB_PREFIX) else configuration(self.model_path)

    @property
    def threads_are_given(self) -> bool:
        """Whether the user has decided how many threads there are."""
        return self.settings.threads is not None or OPENMP in os.environ

    @cached_property
    def precision(self) -> str:
        if self.exact:
            return "float32"
        if self.settings.precision == "auto" and self.speed is not None:
            return self.speed.precision
        return resolve_precision(self.settings.precision, self.device)

    @cached_property
    def _loaded(self) -> ScorePrior:
        """The model in float32, on the CPU."""
        from scoreinv.models.catalogue import load

        if self.device == "cpu":
            self._check_memory()
        return load(self.model_path)

    @cached_property
    def prior(self) -> ScorePrior:
        """The model, on the device and in the precision of the run."""
        import_torch()
        import torch

        device = self.device
        _log.info("model %s: %s", self.model, self.model_path)
        _log.info("device %s%s", device, _why(self.settings.device, "the first that is here of cuda, mps and cpu"))
        set_threads(self.settings.threads)
        prior, speed, precision = self._loaded, self.speed, self.precision
        faster = "as is faster here" if speed is None else speed.reason
        faster = "needed by the ODE and the likelihood" if self.exact else faster
        _log.info("precision %s%s", precision, _why(self.settings.precision, faster))
        if speed is not None and not self.threads_are_given:
            set_threads(speed.threads)
        if device == "cpu":
            asked = ", as asked for" if self.threads_are_given else ""
            _log.info("threads %d%s", torch.get_num_threads(), asked)
        try:
            return prior.to(torch.device(device), getattr(torch, precision))
        except torch.OutOfMemoryError as error:
            raise ScoreinvError(f"{self.model}: does not fit in the memory of {device}: use --device cpu") from error

    def _check_memory(self) -> None:
        """Say how much memory a large model takes; raises ScoreinvError when there is less."""
        path = self.model_path
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        if sum(file.stat().st_size for file in files) < LARGE_BYTES:
            return
        from scoreinv.machine import shortage
        from scoreinv.models.catalogue import configuration
        from scoreinv.models.memory import process_bytes

        itemsize = 2 if self.settings.precision == "bfloat16" else 4
        needed = process_bytes(configuration(path), itemsize=itemsize)
        if lacking := shortage(needed):
            raise ScoreinvError(f"{self.model}: {lacking}: end other programs, or use a smaller model")
        notice(self.settings, f"{self.model}: takes about {needed / 1e9:.1f} GB of memory")


def check_model(model: str) -> None:
    """Raise CheckpointError where there is no such model; nothing is fetched from the hub."""
    if not model.startswith(HUB_PREFIX):
        from scoreinv.models.catalogue import locate

        locate(model)


def _why(asked: str, otherwise: str) -> str:
    return f" ({otherwise})" if asked == "auto" else ", as asked for"


def check_samples(count: int, pictures: Iterable[Picture], *, coloured: bool) -> None:
    """Raise InputError where so many results of any of the pictures, in colour or its mode, do not fit in memory."""
    from scoreinv.machine import shortage

    def needed(picture: Picture) -> int:
        return count * (3 if coloured and picture.is_gray_mode else 1) * picture.pixels.nbytes

    largest = max(pictures, key=needed)
    height, width = largest.size
    if lacking := shortage(needed(largest)):
        raise InputError(f"--samples {count}: drawing so many pictures of {width}x{height} {lacking}: ask for fewer")


def warn_of_completing(session: Session, does: str) -> None:
    """Warn of what a model does here that was trained to complete pictures, where it is one."""
    from scoreinv.conditional.prior import ConditionalPrior

    if isinstance(session.prior, ConditionalPrior):
        warn(f"{session.model}: was trained to complete pictures, and {does}")


def wait_briefly() -> None:
    """Let torch's threads sleep soon while they wait, unless the user has decided; call it before torch is imported.

    By default they spin for long, which keeps a processor from whatever else runs on it: beside other work the same job
    took four to eight times as long. Where they sleep at once, waking them is most of a small operation: alone on two
    cores fills took one and a half times as long as with so many turns.
    """
    if not any(name in os.environ for name in WAITING):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ["GOMP_SPINCOUNT"] = _TURNS  # GNU's runtime takes it before the policy; others sleep at once


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


def resolve_device(choice: Device) -> str:
    """The device to use; see `tasks.common.device_of`."""
    from scoreinv.tasks.common import device_of

    return device_of(choice)


def resolve_precision(choice: Precision, device: str) -> str:
    """The number format to use; `auto` takes bfloat16 where it is faster."""
    import torch

    from scoreinv.machine import uses_bfloat16

    return "bfloat16" if uses_bfloat16(choice, torch.device(device)) else "float32"
