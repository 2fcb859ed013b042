"""A CSV file that grows by a line for each picture as it finishes."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """Lines are added to the file that is there; a new one begins with the names of the columns.

    Attributes:
        path: the file.
        columns: their names, in order.
    """

    path: Path
    columns: tuple[str, ...]

    def add(self, record: dict[str, object]) -> None:
        """Append a line; entries that are no column are left out, and those that are missing or None are empty."""
        # Names of files may be no UTF-8: their bytes are kept.
        begins = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.DictWriter(file, self.columns, extrasaction="ignore")
            if begins:
                writer.writeheader()
            writer.writerow(record)
