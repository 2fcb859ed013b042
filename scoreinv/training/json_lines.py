"""`metrics.jsonl` of a run, and TensorBoard, which shows it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoreinv.system.errors import InputError
from scoreinv.system.files import atomic_write

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_log = logging.getLogger(__name__)


class JsonLines:
    """A file of JSON objects, each with a whole number `step`, that survives kills, full disks and damage.

    A line cut short or damaged is dropped when the file is mended. A line that cannot be written is lost with a
    warning: it never ends the run.

    Args:
        path: the file.
        board: folder for TensorBoard, which shows the numbers of the lines; None for none.

    Raises:
        InputError: TensorBoard is wanted and not installed.
    """

    def __init__(self, path: Path, board: Path | None = None) -> None:
        if board is not None:
            try:
                import torch.utils.tensorboard  # noqa: F401
            except ImportError as error:
                raise InputError("TensorBoard is not installed: pip install 'scoreinv[tensorboard]'") from error
        self.path = path
        self._failed = False
        self._board = board
        self._writer: SummaryWriter | None = None

    def read(self) -> list[dict[str, Any]]:
        """All readable lines; none when there is no file."""
        return [line for line in map(_parsed, self._lines()) if line is not None]

    def keep_until(self, step: int) -> None:
        """Mend the file: drop what is damaged, and the lines of later steps, which a resumed run writes again.

        The board begins anew with the lines that are kept.
        """
        lines = self._lines()
        kept = [line for line in map(_parsed, lines) if line is not None and line["step"] <= step]
        damaged = sum(_parsed(line) is None for line in lines[:-1])  # the last may have been cut short by a kill
        if damaged:
            _log.warning("%s: %d damaged lines are dropped", self.path, damaged)
        try:
            with atomic_write(self.path) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
            if self._board is not None:
                from torch.utils.tensorboard import SummaryWriter

                for path in self._board.glob("events.out.tfevents.*"):
                    path.unlink()
                # A server that shows the folder forgets, by `purge_step`, what it has read of the files before.
                self._writer = SummaryWriter(str(self._board), purge_step=0)
        except OSError as error:
            _log.warning("%s: cannot be written: %s", self.path, error)
        for line in kept:
            self._show(line)

    def append(self, line: dict[str, Any]) -> None:
        # What a full disk has left of the line before must not swallow this one.
        begin = "\n" if self._failed else ""
        try:
            with self.path.open("a") as file:
                file.write(f"{begin}{json.dumps(line)}\n")
        except OSError as error:
            if not self._failed:
                _log.warning("%s: lines are lost: %s", self.path, error)
            self._failed = True
        self._show(line)

    def _show(self, line: dict[str, Any]) -> None:
        if self._writer is None:
            return
        try:
            for name, value in _scalars(line):
                self._writer.add_scalar(name, value, line["step"])
            self._writer.flush()
        except OSError as error:  # a full disk: the file has what is missing on the board, for the next resumption
            _log.warning("%s: nothing more is written: %s", self._board, error)
            self._writer = None

    def _lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        try:
            return [line for line in self.path.read_bytes().splitlines() if line.strip()]
        except OSError as error:
            _log.warning("%s: cannot be read: %s", self.path, error)
            return []


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The object of a line; None for one that is damaged."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and type(value.get("step")) is int else None


def _scalars(line: dict[str, Any], within: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a line by name, those of an entry of several as `entry/name`; not the step, nor what is a list."""
    for name, value in line.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{within}{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield f"{within}{name}", value
