"""The list of what was done in a folder: `manifest.csv`, a line for each picture as it finishes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scoreinv.cli.table import Table

NAME = "manifest.csv"
COLUMNS = ("input", "output", "seconds", "nfe", "seed", "model", "model_sha256", "method", "error")


@dataclass(frozen=True)
class Manifest:
    """The manifest in a folder of results; lines are added to the one that is there."""

    folder: Path

    def add(self, record: dict[str, object]) -> None:
        """Append a line; entries that are no column are left out."""
        Table(self.folder / NAME, COLUMNS).add(record)
