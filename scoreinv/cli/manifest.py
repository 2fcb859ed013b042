"""The list of what was done in a folder: `manifest.csv`, a line for each picture as it finishes."""

from __future__ import annotations

import json
from pathlib import Path

from scoreinv.cli.table import Log, Table

NAME = "manifest.csv"
COLUMNS = (
    *("input", "output", "outputs", "seconds", "nfe", "seed", "model", "model_sha256", "color_model", "method"),
    *("skipped", "error"),
)


class Manifest:
    """The manifest in a folder of results; lines are added to an existing one.

    Raises InputError where there is one that could not be added to.
    """

    def __init__(self, folder: Path) -> None:
        table = Table(folder / NAME, COLUMNS)
        table.check()
        self.log = Log(table)

    def add(self, record: dict[str, object]) -> None:
        """Append a line; entries without a column are left out, and `outputs` is a JSON list."""
        outputs = {"outputs": json.dumps(record["outputs"])} if "outputs" in record else {}
        self.log.add(record | outputs)
