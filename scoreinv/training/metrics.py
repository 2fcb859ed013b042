"""What a run tells of itself: `metrics.jsonl`, and the same in TensorBoard where that is wanted."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoreinv.errors import InputError
from scoreinv.training.json_lines import JsonLines

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_log = logging.getLogger(__name__)


class Metrics:
    """The lines of `metrics.jsonl`, and their numbers on a board.

    Arguments:
        lines: the file.
        board: folder of TensorBoard's file; None for none.

    Raises InputError where TensorBoard is wanted and not installed.
    """

    def __init__(self, lines: JsonLines, board: Path | None) -> None:
        self.lines = lines
        if board is not None:
            check_tensorboard()
        self._folder = board
        self._board: SummaryWriter | None = None

    def keep_until(self, step: int) -> None:
        """Drop what later steps wrote, which a resumed run writes again; the board begins anew with what is kept."""
        self.lines.keep_until(step)
        if self._folder is None:
            return
        from torch.utils.tensorboard import SummaryWriter

        try:
            for path in self._folder.glob("events.out.tfevents.*"):
                path.unlink()
            # A server that shows the folder forgets, by `purge_step`, what it has read of the files before.
            self._board = SummaryWriter(str(self._folder), purge_step=0)
        except OSError as error:
            _log.warning("%s: cannot be written: %s", self._folder, error)
        for line in self.lines.read():
            self._show(line)

    def append(self, line: dict[str, Any]) -> None:
        """Add a line of numbers, each `step` of them once."""
        self.lines.append(line)
        self._show(line)

    def has(self, name: str, step: int) -> bool:
        """Whether a number of the name is there of the step."""
        return any(line["step"] == step and name in line for line in self.lines.read())

    def _show(self, line: dict[str, Any]) -> None:
        if self._board is None:
            return
        try:
            for name, value in _scalars(line):
                self._board.add_scalar(name, value, line["step"])
            self._board.flush()
        except OSError as error:  # a full disk: metrics.jsonl has what is missing here, for the next resumption
            _log.warning("%s: nothing more is written: %s", self._folder, error)
            self._board = None


def check_tensorboard() -> None:
    """Raise InputError where TensorBoard is not installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise InputError("TensorBoard is not installed: pip install 'scoreinv[tensorboard]'") from error


def _scalars(line: dict[str, Any], within: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a line by name, those of an entry of several as `entry/name`; not the step, nor what is a list."""
    for name, value in line.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{within}{name}/")
        elif isinstance(value, int | float) and name != "step":
            yield f"{within}{name}", value
