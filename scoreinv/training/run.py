"""One training run on disk: the files in its folder, its lock, and the rules for replacing files."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from scoreinv.models.catalogue import MODEL_FILE
from scoreinv.models.codec import encode
from scoreinv.models.model_file import read_metadata
from scoreinv.system.errors import InputError
from scoreinv.system.files import atomic_write, remove_leftovers
from scoreinv.training.config import TrainingConfig, read_config
from scoreinv.training.state import saved_states

_FILES = {
    ".": rf"(config\.json|{re.escape(MODEL_FILE)}|metrics\.jsonl)",
    "state": r"\d{9}\.safetensors",
    "snapshots": r"step-\d{9}\.safetensors",
    "samples": r"step-\d{9}\.png",
    "tensorboard": r"events\.out\.tfevents\..*",
}
"""Patterns of the files that a run writes, by folder; the cache of decoded pictures comes on top."""


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

    def refuse_files(self, config: TrainingConfig, *, resume: bool, overwrite: bool) -> None:
        """Raise InputError if a run at step 0 would replace another run or (without `overwrite`) other files.

        A resumed run without a readable state owns the files of its configuration, but no models and states.
        """
        if saved_states(self.states) and not resume:
            raise InputError(f"{self.path}: holds a training run already: resume it, or choose another folder")
        own = self._holds(config)
        others = [path for path in self._files() if not (resume and own) or path.suffix == ".safetensors"]
        if others and not overwrite:
            remedy = "resume it, or " if own and not resume else ""
            raise InputError(
                f"{others[0]}: is there already, and this run has not written it: {remedy}overwrite it, or choose "
                "another folder"
            )

    def finished(self, config: TrainingConfig) -> dict[str, Any] | None:
        """Return the notes of the final model if the run has reached the end that `config` sets; else None."""
        try:
            notes = read_metadata(self.model)[1]
            same = read_config(self.config) == config and notes.get("ended") == [config.steps, config.minutes]
        except InputError:
            return None
        return notes if same else None

    def begin(self, config: TrainingConfig, *, resume: bool) -> None:
        """Write the configuration, the first file of a run; raises InputError if that fails."""
        try:
            if resume:  # a killed process leaves unfinished files
                for folder in (*_FILES, "cache"):
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

    def _files(self) -> list[Path]:
        """Return the existing files with names of a run's files."""
        found: list[Path] = []
        for folder, name in _FILES.items():
            with suppress(OSError):
                found += [path for path in (self.path / folder).iterdir() if re.fullmatch(name, path.name)]
        return sorted(found)


@contextmanager
def claimed(path: Path) -> Iterator[TrainingRun]:
    """Create and lock the folder of a run for the duration of the block.

    If the block fails before the run has begun, the folder is left as it was before, or removed if it is new.

    Raises InputError if the folder cannot be created, or another run has locked it.
    """
    run, lock = TrainingRun(path), path / ".scoreinv.lock"
    new = [place for place in (run.cache, path, *path.parents) if not place.exists()]
    try:
        try:
            path.mkdir(parents=True, exist_ok=True)
            held = FileLock(lock, timeout=0)  # the system releases it however the process ends
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
            lock.unlink(missing_ok=True)
            held.release()
    finally:
        if not run.begun:
            if run.cache in new:
                shutil.rmtree(run.cache, ignore_errors=True)
            for place in new:
                with suppress(OSError):  # it holds files of others
                    place.rmdir()
