"""One training run on disk: its folder, its lock, and the states from which a resumed run continues bit for bit.

Random numbers are functions of (seed, step), so a state consists of the weights, their moving average, Adam's moments
and the step. It also holds the weights that are not trained, because they may come from another model.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from scoreinv.conditional.prior import ConditionalPrior
from scoreinv.models.catalogue import MODEL_FILE
from scoreinv.models.codec import decode, encode, in_file, parse_json
from scoreinv.models.config import AnyModel
from scoreinv.models.model_file import read_metadata
from scoreinv.networks.blocks import channels_last, freeze_norms
from scoreinv.system.errors import InputError, SettingError
from scoreinv.system.files import atomic_write, remove_leftovers
from scoreinv.system.options import Checked, Number, Whole
from scoreinv.training.config import TrainingConfig, read_config
from scoreinv.training.fitting import TrainingState
from scoreinv.training.learners import ConditionalLearner

_log = logging.getLogger(__name__)

_KEPT = 2  # states
_DIGITS = 9 * "[0-9]"
_FILES = (
    *("config.json", MODEL_FILE, "metrics.jsonl", f"state/{_DIGITS}.safetensors"),
    *(f"snapshots/step-{_DIGITS}.safetensors", f"samples/step-{_DIGITS}.png", "tensorboard/events.out.tfevents.*"),
)
"""Patterns of the files that a run writes, besides the cache of decoded pictures."""


class TrainingRun:
    """The folder of a training run.

    A run writes and deletes only files with its own names, so the folder may also hold the user's files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.begun = False
        self.config = path / "config.json"
        self.model = path / MODEL_FILE
        self.metrics = path / "metrics.jsonl"
        self.states = path / "state"
        self.snapshots = path / "snapshots"
        self.samples = path / "samples"
        self.tensorboard = path / "tensorboard"
        self.cache = path / "cache"
        self.evaluation = path / "evaluation"

    def refuse_files(self, config: TrainingConfig, *, resume: bool, overwrite: bool) -> None:
        """Raise InputError if a run at step 0 would replace another run or (without `overwrite`) other files.

        A resumed run without a readable state owns the files of its configuration, but not the final model and states.
        """
        if saved_states(self.states) and not resume:
            raise InputError(f"{self.path}: holds a training run already: resume it, or choose another folder")
        own = self._holds(config)
        found = sorted(path for pattern in _FILES for path in self.path.glob(pattern))
        others = [path for path in found if not (resume and own) or path == self.model or path.parent == self.states]
        if others and not overwrite:
            remedy = "resume it, or " if own and not resume else ""
            raise InputError(
                f"{others[0]}: is there already, and this run has not written it: {remedy}overwrite it, or choose "
                "another folder"
            )

    def refuse_model_of_others(self, record: RunRecord, *, overwrite: bool) -> None:
        """Raise InputError if the folder's model is not of this run, unless `overwrite`."""
        if self.model.exists() and not overwrite and self._notes().get("run") != record.run:
            raise InputError(
                f"{self.model}: is there already, and this run has not written it: move it, or overwrite it"
            )

    def finished(self, config: TrainingConfig) -> dict[str, Any] | None:
        """Return the notes of the final model if the run has reached the end that `config` sets; else None."""
        notes, states = self._notes(), saved_states(self.states)
        try:
            ended = bool(states) and notes.get("ended") == [config.steps, config.minutes]
            own = ended and _read_record(states[-1]).run == notes.get("run")
            return notes if own and read_config(self.config) == config else None
        except (SafetensorError, OSError, InputError):
            return None

    def _notes(self) -> dict[str, Any]:
        """Return the notes of the folder's model; none if it is unreadable."""
        try:
            return read_metadata(self.model)[1]
        except InputError:
            return {}

    def begin(self, config: TrainingConfig, *, resume: bool) -> None:
        """Write the configuration, with which a run begins; raises InputError if that fails."""
        try:
            if resume:  # a killed process leaves unfinished files
                for folder in (".", "state", "snapshots", "samples", "cache"):
                    remove_leftovers(self.path / folder)
            with atomic_write(self.config) as temporary:
                temporary.write_text(json.dumps(encode(config), indent=2) + "\n")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error}") from error
        self.begun = True

    def _holds(self, config: TrainingConfig) -> bool:
        """Return whether the configuration in the folder has the same resume key."""
        try:
            return config.resume_key() == read_config(self.config).resume_key()
        except InputError:
            return False


@contextmanager
def claimed(path: Path) -> Iterator[TrainingRun]:
    """Create and lock the folder of a run for the duration of the block.

    If the block fails before the run has begun, the folder is left as it was before, or removed if it is new.

    Raises InputError if the folder cannot be created, or another run has locked it.
    """
    run, lock = TrainingRun(path), path / ".scoreinv.lock"
    new = [place for place in (run.states, run.cache, path, *path.parents) if not place.exists()]
    held = FileLock(lock, timeout=0)  # the system releases it however the process ends
    try:
        path.mkdir(parents=True, exist_ok=True)
        held.acquire()
    except Timeout as error:
        raise InputError(
            f"{path}: another run is writing into this folder: wait for its end, or choose another"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    try:
        yield run
    finally:
        if not run.begun and run.cache in new:
            shutil.rmtree(run.cache, ignore_errors=True)  # under the lock: the next run has its own
        with suppress(OSError):  # Windows removes it when it is released
            lock.unlink()  # while it is held: later it may be another run's
        held.release()
        for place in () if run.begun else new:
            with suppress(OSError):  # it holds files of others
                place.rmdir()


def new_state(
    config: TrainingConfig, init: AnyModel | None, device: torch.device
) -> tuple[AnyModel, AnyModel, TrainingState]:
    """Build the state at step 0; return the trained model, its moving average, and the state.

    Raises InputError if `init` has another network, or there is no compiler for `compile`.
    """
    learner, options = config.learner, config.optimizer
    model = initial_model(config, init).to(device)
    network = channels_last(learner.network(model)).train()
    fixed = nn.ModuleList(part for part in model.parts().values() if part is not network)
    # The average shares the parts that are not trained, so that restoring one restores both.
    average: AnyModel = copy.deepcopy(model, {id(module): module for module in fixed.modules()}).eval()
    if config.frozen_norms and not freeze_norms(network):
        raise InputError("frozen_norms: this network has no batch norms")
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        eps=options.epsilon,
        weight_decay=options.weight_decay,
        fused=device.type in ("cpu", "cuda"),
    )
    if config.compile:
        if not any(map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++", "cl"))):
            raise InputError("compile: torch needs a C++ compiler, and there is none here (on Debian: apt install g++)")
        network.compile()
    return model, average, TrainingState(network, learner.network(average), optimizer, fixed)


def initial_model(config: TrainingConfig, init: AnyModel | None) -> AnyModel:
    """Build the model with weights drawn from the seed, or with those of `init`.

    Raises InputError if `init` has another network. It may lack a chroma network: that starts from the bundled encoder.
    """
    with torch.random.fork_rng([]):
        torch.default_generator.manual_seed(config.seed)
        model = config.model.build()
    if init is not None:
        if isinstance(init, ConditionalPrior) and not isinstance(config.learner, ConditionalLearner):
            raise SettingError("init", "takes observations: train a conditional model")
        parts = model.parts()
        try:
            for name, part in init.parts().items():
                parts[name].load_state_dict(part.state_dict())
        except (RuntimeError, KeyError) as error:
            raise SettingError(
                "init", "has another network than the configuration: give a model of the same network"
            ) from error
    return model


@dataclass(frozen=True)
class RunRecord(Checked):
    """The description of a run that each of its state files carries.

    Attributes:
        config: the run's configuration.
        pictures: digest of the training pictures (`Pictures.digest`).
        bfloat16: whether inner layers are computed in bfloat16.
        step: number of steps done.
        seconds: training time, over all resumptions.
        run: identifier of the run, which its models carry, too.
    """

    config: TrainingConfig
    pictures: str
    bfloat16: bool
    step: Annotated[int, Whole(0)] = 0
    seconds: Annotated[float, Number(0)] = 0.0
    run: str = field(default_factory=lambda: secrets.token_hex(8))


def save_state(folder: Path, state: TrainingState, record: RunRecord) -> None:
    """Write the state to a new file and delete all but the last two; on OSError the older files stay intact."""
    folder.mkdir(exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors().items()}
    written = folder / f"{state.step:09d}.safetensors"
    with atomic_write(written) as temporary:
        temporary.write_bytes(save(tensors, {"about": json.dumps(encode(record))}))
    earlier = [path for path in saved_states(folder) if path < written]
    # Files of later steps were unreadable; otherwise the run would have resumed from them.
    for old in set(saved_states(folder)) - {written, *earlier[1 - _KEPT :]}:
        old.unlink()


def saved_states(folder: Path) -> list[Path]:
    """Return the state files in a folder, oldest first."""
    return sorted(folder.glob(f"{_DIGITS}.safetensors"))


def _read_record(path: Path) -> RunRecord:
    """Return the record of a state file; raise SafetensorError, OSError or InputError if it is unreadable."""
    with safe_open(path, framework="pt") as file:
        about = parse_json((file.metadata() or {}).get("about", ""))
    with in_file(path):
        return decode(RunRecord, about)


def load_state(folder: Path, state: TrainingState) -> RunRecord | None:
    """Restore the newest readable state and return its record, or None if there is none.

    Raises InputError if the state belongs to another model, or its record is invalid.
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
            record = decode(RunRecord, about)
        try:
            state.restore(tensors, record.step)
        except (RuntimeError, KeyError) as error:
            raise InputError(f"{path}: this state is of another model than the configuration's") from error
        return record
    return None
