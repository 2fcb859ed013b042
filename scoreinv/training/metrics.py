"""The run's metrics, a JSON object a line."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from scoreinv.checkpoints.files import atomic_write

_log = logging.getLogger(__name__)


class JsonLines:
    """A file of JSON objects, each with a `step`, that survives kills and full disks.

    A line cut short by a kill is dropped when the file is read. A line that cannot be written is lost with a warning:
    it never ends the run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._failed = False

    def read(self) -> list[dict[str, Any]]:
        """All whole lines; none when there is no file."""
        if not self.path.exists():
            return []
        lines = []
        for line in self.path.read_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                break
        return lines

    def keep_until(self, step: int) -> None:
        """Drop the lines of later steps, which a resumed run writes again."""
        kept = [line for line in self.read() if line["step"] <= step]
        try:
            with atomic_write(self.path) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        except OSError as error:
            _log.warning("%s: cannot be written: %s", self.path, error)

    def append(self, line: dict[str, Any]) -> None:
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            if not self._failed:
                _log.warning("%s: lines are lost: %s", self.path, error)
            self._failed = True
