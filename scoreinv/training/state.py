"""The state of a run: what must be saved for a resumed run to be the same, bit for bit, but for rates set by the clock.

Random numbers are functions of (seed, step), so a state is the weights, their average, Adam's moments and the step; and
the weights of the model that are not trained, which a run may have from another model.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from scoreinv.models.codec import decode, encode, in_file, parse_json
from scoreinv.system.errors import InputError
from scoreinv.system.files import atomic_write
from scoreinv.system.options import require
from scoreinv.training.config import TrainingConfig

_log = logging.getLogger(__name__)

_KEPT = 2
_NAME = re.compile(r"\d{9}\.safetensors")
_MOMENTS = ("exp_avg", "exp_avg_sq")
_COUNT = "step"  # of a parameter's steps, as the optimizer calls it


@dataclass
class TrainingState:
    """What a step changes, and what it needs besides.

    Attributes:
        network: the weights in training.
        average: the same network with their moving average.
        optimizer: Adam over the network's parameters.
        fixed: the parts of the model that stay as they are.
        step: steps done.
    """

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Adam
    fixed: nn.Module
    step: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """All of it that is tensors, by name."""
        found = {
            f"{part}.{name}": value
            for part, module in self.parts.items()
            for name, value in module.state_dict().items()
        }
        for name, parameter in self.network.named_parameters():
            moments = self.optimizer.state.get(parameter, {})
            found |= {f"{key}.{name}": moments[key] for key in (*_MOMENTS, _COUNT) if key in moments}
        return found

    def restore(self, tensors: dict[str, Tensor], step: int) -> None:
        """Put a saved state in place, values into the memory layout that is there."""
        for part, module in self.parts.items():
            own = f"{part}."
            module.load_state_dict({name.removeprefix(own): v for name, v in tensors.items() if name.startswith(own)})
        for name, parameter in self.network.named_parameters():
            if not any(f"{key}.{name}" in tensors for key in _MOMENTS):
                continue
            # The fused kernel goes over raw memory: moments must lie as their parameter does.
            saved = {key: tensors[f"{key}.{name}"].view(parameter.shape) for key in _MOMENTS}
            moments = {key: torch.empty_like(parameter).copy_(value) for key, value in saved.items()}
            count = tensors[f"{_COUNT}.{name}"].to(parameter.device)  # fewer than the run's where it had no gradient
            self.optimizer.state[parameter] = {_COUNT: count, **moments}
        self.step = step

    @property
    def parts(self) -> dict[str, nn.Module]:
        """What the names of tensors begin with, and whose they are."""
        return {"network": self.network, "average": self.average, "fixed": self.fixed}


@dataclass(frozen=True)
class SavedRun:
    """What a state says of its run.

    Attributes:
        config: that it was saved with.
        run: tells runs apart; the models of a run carry it.
        pictures: digest of those that it is trained on (`Pictures.digest`).
        bfloat16: whether inner layers are computed in it.
        step, seconds: done and spent by then.
    """

    config: TrainingConfig
    run: str
    pictures: str
    bfloat16: bool
    step: int
    seconds: float

    @property
    def precision(self) -> str:
        return "bfloat16" if self.bfloat16 else "float32"

    def __post_init__(self) -> None:
        require(self.step >= 0 and self.seconds >= 0, "step and seconds must not be negative")


def save_state(folder: Path, state: TrainingState, about: SavedRun) -> None:
    """Write a new file of the state, and remove all but it and the one before; OSError leaves the older ones intact."""
    folder.mkdir(exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors().items()}
    written = folder / f"{state.step:09d}.safetensors"
    with atomic_write(written) as temporary:
        temporary.write_bytes(save(tensors, {"about": json.dumps(encode(about))}))
    earlier = [path for path in saved_states(folder) if path < written]
    # Later ones could not be read, or the run would have gone on from them.
    for old in set(saved_states(folder)) - {written, *earlier[1 - _KEPT :]}:
        old.unlink()


def saved_states(folder: Path) -> list[Path]:
    """The files of states in a folder, from the oldest to the newest."""
    return sorted(path for path in folder.glob("*.safetensors") if _NAME.fullmatch(path.name))


def read_saved(path: Path) -> SavedRun | None:
    """What the file of a state says of its run, or None where that cannot be read."""
    try:
        with safe_open(path, framework="pt") as file:
            return decode(SavedRun, parse_json((file.metadata() or {}).get("about", "")))
    except (SafetensorError, OSError, InputError):
        return None


def load_state(folder: Path, state: TrainingState) -> SavedRun | None:
    """Restore the newest readable state; return what it says of its run, or None without any.

    Raises InputError when it is of another model, or says of itself what no state of this version says.
    """
    for path in reversed(saved_states(folder)):
        try:
            with safe_open(path, framework="pt") as file:
                about = parse_json((file.metadata() or {}).get("about", ""))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, InputError) as error:
            _log.warning("%s is unreadable and passed over: %s", path, error)
            continue
        with in_file(path):
            saved = decode(SavedRun, about)
        try:
            state.restore(tensors, saved.step)
        except (RuntimeError, KeyError) as error:
            raise InputError(f"{path}: this state is of another model than the configuration's") from error
        return saved
    return None
