"""The folder of a run: the names of its files, whose those that are there are, and who may write them."""

from __future__ import annotations

import json
import logging
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

from filelock import FileLock, Timeout

from scoreinv.models.catalogue import MODEL_FILE
from scoreinv.models.codec import encode
from scoreinv.models.model_file import read_metadata
from scoreinv.system.errors import InputError
from scoreinv.system.files import atomic_write, remove_leftovers
from scoreinv.system.terminal import ENDING_SIGNALS
from scoreinv.training.config import TrainingConfig, read_config
from scoreinv.training.state import SavedRun, read_saved, saved_states

_log = logging.getLogger(__name__)

_FILES = {
    ".": rf"(config\.json|{re.escape(MODEL_FILE)}|metrics\.jsonl)",
    "state": r"\d{9}\.safetensors",
    "snapshots": r"step-\d{9}\.safetensors",
    "samples": r"step-\d{9}\.png",
    "tensorboard": r"events\.out\.tfevents\..*",
    "cache": r"pictures-[0-9a-f]{16}\.(bin|json)",
}
"""Names of a run's files, in its folder and those below it."""

_LOCK = ".scoreinv.lock"


class RunFolder:
    """The folder of a run, and the files that a run writes there.

    Nothing else in it is touched: it may hold photographs, or the user's other files.
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
        self.board = path / "tensorboard"
        self.cache = path / "cache"

    def refuse_states(self, *, resume: bool) -> None:
        """Raise InputError where there are states of a run that is not to be resumed."""
        if saved_states(self.states) and not resume:
            raise InputError(f"{self.path}: holds a training run already: resume it, or choose another folder")

    def refuse_others(self, config: TrainingConfig, saved: SavedRun | None, *, resume: bool, overwrite: bool) -> None:
        """Raise InputError where the run would replace what it has not written, unless that is allowed.

        A run that goes on from a state (`saved`) has written the models that name it, and the configuration that agrees
        with it. One that is to be resumed without a state starts from the beginning: it may do so where its own
        configuration is, but no model.
        """
        own = self._holds(config)
        if saved is not None:
            others = [] if own or not self.config.exists() else [self.config]
            others += [] if not self.model.exists() or _is_of(saved, config, self.model) else [self.model]
        else:
            # The cache is used again, or replaced.
            others = [path for path in self._matching() if path.parent != self.cache]
            if resume and own:
                others = [path for path in others if path.suffix == ".safetensors"]
        if others and not overwrite:
            ways = "overwrite it, or choose another folder"
            ways = f"resume it, {ways}" if own and not resume else ways
            raise InputError(f"{others[0]}: is there already, and this run has not written it: {ways}")
        if saved is None and resume:
            _log.warning("%s: there is no state of a run to go on from: it starts at step 0", self.path)

    def result(self, config: TrainingConfig) -> dict[str, Any] | None:
        """The notes of the model of a run that has ended here as its configuration says; None where more is to do.

        The newest state, from which the run would go on, tells whether the model is its own.
        """
        saved = [read_saved(path) for path in saved_states(self.states)[-1:]]
        try:
            notes = read_metadata(self.model)[1]
            ended = notes.get("ended") == [config.steps, config.minutes] and read_config(self.config) == config
        except InputError:
            return None
        own = any(state is not None and state.run == notes.get("run") for state in saved)
        return notes if ended and own else None

    def begin(self, config: TrainingConfig, *, resume: bool) -> None:
        """Write the first file of a run: from now on the folder is its own."""
        try:
            if resume:  # what a process that was killed was writing here
                for folder in _FILES:
                    remove_leftovers(self.path / folder)
            with atomic_write(self.config) as temporary:
                temporary.write_text(json.dumps(encode(config), indent=2) + "\n")
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written: {error}") from error
        self.begun = True

    def contents(self) -> set[Path]:
        """The files and folders of a run that are there."""
        folders = {self.path / folder for folder in _FILES if folder != "."}
        return {*self._matching(), *(folder for folder in folders if folder.is_dir())}

    def _holds(self, config: TrainingConfig) -> bool:
        """Whether the configuration that is there is this run's."""
        try:
            return config.resume_key() == read_config(self.config).resume_key()
        except InputError:
            return False

    def _matching(self) -> list[Path]:
        """The files of a run that are there."""
        found: list[Path] = []
        for folder, name in _FILES.items():
            with suppress(OSError):
                found += [path for path in (self.path / folder).iterdir() if re.fullmatch(name, path.name)]
        return sorted(found)


@contextmanager
def claimed(path: Path) -> Iterator[RunFolder]:
    """The folder of a run, made where it is not there, for the time of the block and for this process alone.

    Where the block fails before the run has `begun`, the folder is left as it was, or not at all.

    Raises InputError when it cannot be made, or another run is writing there.
    """
    folder = RunFolder(path)
    lock = path / _LOCK
    with ExitStack() as stack:
        try:
            stack.callback(_remove, [place for place in (path, *path.parents) if not place.exists()])
            path.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(lock, timeout=0))  # which the system frees however the process ends
            stack.callback(lock.unlink, missing_ok=True)
        except Timeout as error:
            raise InputError(
                f"{path}: another run is writing into this folder: wait for its end, or choose another"
            ) from error
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
        before = folder.contents()
        try:
            yield folder
        except BaseException:
            if not folder.begun:
                _remove(sorted(folder.contents() - before, reverse=True))  # files before their folders
            raise


def _remove(paths: list[Path]) -> None:
    """Remove files, and folders in which nothing is."""
    for path in paths:
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()


def _is_of(saved: SavedRun, config: TrainingConfig, model: Path) -> bool:
    """Whether a model's file is of the run that a state is of."""
    try:
        built_from, notes = read_metadata(model)
    except InputError:
        return False
    return encode(built_from) == encode(config.model) and notes.get("run") == saved.run


@contextmanager
def deferred_interrupts() -> Iterator[list[signal.Signals]]:
    """A list that notes Ctrl-C, SIGTERM and SIGHUP in the block; at its end they go to what handled them before.

    A second one is handed on at once. Those that are ignored stay so: `nohup` ignores SIGHUP, and shells ignore SIGINT
    in what they run in the background. In the main thread only.
    """
    came: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
    # A handler that is not Python's own is unknown here (None) and cannot be put back: it stays.
    taken = [number for number, handler in before.items() if handler not in (signal.SIG_IGN, None)]

    def put_back() -> None:
        for number in taken:
            signal.signal(number, before[number])

    def note(number: int, frame: FrameType | None) -> None:
        came.append(signal.Signals(number))
        put_back()

    for number in taken:
        signal.signal(number, note)
    try:
        yield came
    finally:
        put_back()
        if came:
            signal.raise_signal(came[0])
