"""The run's metrics, a JSON object a line."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from scoreinv.files import atomic_write

_log = logging.getLogger(__name__)


class JsonLines:
    """A file of JSON objects, each with a whole number `step`, that survives kills, full disks and damage.

    A line cut short or damaged is dropped when the file is mended. A line that cannot be written is lost with a
    warning: it never ends the run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._failed = False

    def read(self) -> list[dict[str, Any]]:
        """All readable lines; none when there is no file."""
        return [line for line in map(_parsed, self._lines()) if line is not None]

    def keep_until(self, step: int) -> None:
        """Mend the file: drop what is damaged, and the lines of later steps, which a resumed run writes again."""
        lines = self._lines()
        kept = [line for line in map(_parsed, lines) if line is not None and line["step"] <= step]
        damaged = sum(_parsed(line) is None for line in lines[:-1])  # the last may have been cut short by a kill
        if damaged:
            _log.warning("%s: %d damaged lines are dropped", self.path, damaged)
        try:
            with atomic_write(self.path) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        except OSError as error:
            _log.warning("%s: cannot be written: %s", self.path, error)

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

    def _lines(self) -> list[bytes]:
        if not self.path.exists():
            return []
        try:
            if not self.path.is_file():
                raise OSError("not a file")
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
