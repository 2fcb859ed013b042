"""The models of a run on its device, loaded when they are first needed.

Inputs are checked before: a wrong file name should not wait for torch.
"""

from __future__ import annotations

import gc
import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Any

from scoreinv import imaging, models
from scoreinv.cli.options import Common
from scoreinv.cli.report import notice, warn
from scoreinv.models import catalogue
from scoreinv.system.devices import device_of, uses_bfloat16
from scoreinv.system.errors import InputError, ScoreinvError
from scoreinv.system.memory import pixels_at_once, shortage
from scoreinv.system.threads import OPENMP, set_threads

_log = logging.getLogger(__name__)

LARGE_BYTES = 40_000_000  # a model of larger files may not fit; the bundled ones do


def start_torch(common: Common) -> None:
    """Import torch for this process and set its number of threads, before the first computation."""
    gc.disable()  # else Python traverses torch's objects repeatedly, which takes a sixth of the import
    import torch as torch

    gc.enable()
    gc.freeze()
    set_threads(common.threads)


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
        self._loaded: Any = None
        if exact and common.precision == "bfloat16":
            raise InputError("--precision bfloat16: ODE solvers and likelihood need float32")

    def check(self) -> None:
        """Raise InputError where there is no such model or device; nothing is fetched from the hub."""
        if not self.name.startswith(catalogue.HUB_PREFIX):
            _ = self.path
        if self.common.device not in ("auto", "cpu"):  # neither is absent, and torch is slow to import
            device_of(self.common.device)

    def load(self) -> Any:
        """The model, a `ScorePrior`, on the device and in the precision of the run; loaded on the first call.

        Raises:
            CheckpointError, InputError: it cannot be used.
            ScoreinvError: it takes more memory than there is.
        """
        if self._loaded is not None:
            return self._loaded
        asked = self.common
        start_torch(asked)
        import torch

        device, precision = self.place
        first = ", as asked for" if asked.device != "auto" else " (the first that is here of cuda, mps and cpu)"
        _log.info("model %s: %s", self.name, self.path)
        _log.info("device %s%s", device, first)
        loaded = self._read()
        why = "as needed by the ODE and the likelihood" if self.exact else "as is faster here"
        _log.info("precision %s, %s", precision, why if asked.precision == "auto" else "as asked for")
        if device == "cpu":
            given = asked.threads is not None or OPENMP in os.environ
            _log.info("threads %d%s", torch.get_num_threads(), ", as asked for" if given else "")
        try:
            self._loaded = loaded.to(torch.device(device), getattr(torch, precision))
        except torch.OutOfMemoryError as error:
            raise ScoreinvError(f"{self.name}: does not fit in the memory of {device}: use --device cpu") from error
        return self._loaded

    def _read(self) -> Any:
        """Return the model in float32 on the CPU. Raise ScoreinvError if it does not fit in the free memory."""
        files = [self.path] if self.path.is_file() else [file for file in self.path.rglob("*") if file.is_file()]
        weights = sum(file.stat().st_size for file in files)  # in float32
        if device_of(self.common.device) == "cpu" and weights >= LARGE_BYTES:
            needed = self._needed_bytes(weights)
            if lacking := shortage(needed):
                raise ScoreinvError(f"{self.name}: {lacking}: end other programs, or use a smaller model")
            notice(self.common, f"{self.name}: takes about {needed / 1e9:.1f} GB of memory")
        return catalogue.load(self.path)

    def _needed_bytes(self, weights: int) -> int:
        """Return the approximate peak memory of this process; weights: their bytes in float32."""
        import torch

        from scoreinv.models.peak_memory import PROGRAM_BYTES, evaluation_bytes
        from scoreinv.networks.ncsnpp import NCSNppConfig

        itemsize = 2 if self.common.precision == "bfloat16" else 4
        needed = PROGRAM_BYTES + weights + (0 if itemsize == 4 else weights // 2)
        config = catalogue.configuration(self.path)
        if isinstance(config.network, NCSNppConfig):
            pixels = max(pixels_at_once(torch.device("cpu")), config.image_size**2)
            needed += evaluation_bytes(config.network, pixels, itemsize=itemsize)
        return needed

    def record(self, method: str) -> dict[str, Any]:
        """What a JSON line says about how a result was made."""
        model, (device, precision) = catalogue.full_name(self.name, self.path), self.place
        how = {"method": method, "device": device, "precision": precision}
        return {"seed": self.common.seed or 0, "model": model} | how

    @cached_property
    def place(self) -> tuple[str, str]:
        """The device on which it computes, and in which numbers, `float32` or `bfloat16`."""
        device = device_of(self.common.device)
        import torch

        fast = not self.exact and uses_bfloat16(self.common.precision, torch.device(device))
        return device, "bfloat16" if fast else "float32"

    @cached_property
    def path(self) -> Path:
        """The file or folder of the model, which is fetched where it is on the hub."""
        return catalogue.locate(self.name)

    @cached_property
    def sha256(self) -> str:
        """Hash of the model's weights, in hexadecimal."""
        return catalogue.sha256(self.path)

    @property
    def configuration(self) -> models.ModelConfig | None:
        """The model's, without its weights; None of one on the hub, which would have to be fetched."""
        return None if self.name.startswith(catalogue.HUB_PREFIX) else catalogue.configuration(self.path)


class Detector(Model):
    """A model that finds damage: `load` gives a `DamageDetector`."""

    def _read(self) -> Any:
        return catalogue.load_damage_detector(self.path)


def check_samples(count: int, picture: imaging.Picture, *, coloured: bool) -> None:
    """Raise InputError where so many results of a picture, in colour or its mode, do not fit in memory."""
    needed = count * (3 if coloured and picture.is_gray_mode else 1) * picture.pixels.nbytes
    if lacking := shortage(needed):
        size = f"{picture.width}x{picture.height}"
        raise InputError(f"--samples {count}: drawing so many pictures of {size} {lacking}: ask for fewer")


def warn_of_completing(model: Model, does: str) -> None:
    """Warn of what a model does here that was trained to complete pictures, where it is one."""
    from scoreinv.conditional.prior import trained_task

    if trained_task(model.load()) is not None:
        warn(f"{model.name}: was trained to complete pictures, and {does}")
