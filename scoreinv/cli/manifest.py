"""The list of what was done in a folder: `manifest.csv`, a line for each picture as it finishes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from scoreinv.cli.table import Table
from scoreinv.errors import InputError

NAME = "manifest.csv"
COLUMNS = (
    *("input", "output", "outputs", "seconds", "nfe", "seed", "model", "model_sha256", "color_model", "method"),
    *("skipped", "error"),
)


@dataclass(frozen=True)
class Manifest:
    """The manifest in a folder of results; lines are added to the one that is there."""

    folder: Path

    def check(self) -> None:
        """Raise InputError where it could not be written, or was begun with other columns."""
        path = self.folder / NAME
        try:
            with path.open("a+", newline="", encoding="utf-8", errors="surrogateescape") as file:
                file.seek(0)
                first = file.readline().rstrip("\r\n")
            if not first:
                path.unlink()
        except OSError as error:
            raise InputError(f"{path}: cannot be written to ({error.strerror}): move it away") from error
        if first and first != ",".join(COLUMNS):
            raise InputError(f"{path}: is no manifest of this version: move it away")

    def add(self, record: dict[str, object]) -> None:
        """Append a line; entries that are no column are left out, and `outputs` is a JSON list."""
        outputs = {"outputs": json.dumps(record["outputs"])} if "outputs" in record else {}
        Table(self.folder / NAME, COLUMNS).add(record | outputs)
