"""`manifest.csv`, the record of a folder of results: a line for each picture, written as it finishes."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from scoreinv.batch.plan import BY_ANOTHER, EXISTS, Plan, Row
from scoreinv.files.urls import write_url
from scoreinv.system.errors import InputError
from scoreinv.tasks.notes import command_line_text

MANIFEST = "manifest.csv"
COLUMNS = (
    *("input", "output", "outputs", "seconds", "nfe", "seed", "model", "model_sha256", "color_model", "method"),
    *("changes", "record", "notes", "findings", "skipped", "error"),
)
"""Columns of a new manifest: `findings` has the notes as sentences. One of an earlier version keeps its columns."""
_TAIL = 1 << 16
"""Bytes at the end of a table that are searched for an unfinished row, and at its beginning for the header."""

_LOCKED_BYTE = 1 << 30
"""Position of the byte to lock on Windows: beyond the end of the file, since a locked byte cannot be read there."""

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_log = logging.getLogger(__name__)


class Table:
    """A CSV file with a line for each finished picture, to which several processes may append.

    A lock on the file makes them take turns. The unfinished row of a killed process or a full disk is removed before
    the next row is appended.

    Args:
        path: path of the file.
        columns: header of a new file.
        replace: whether the first line replaces an existing file.

    Attributes:
        lost: number of lines that could not be written.

    Raises:
        InputError: the path is not a file, is not writable, or has a table with other columns.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], *, replace: bool = False) -> None:
        self.path = path
        self.columns = columns
        self.lost = 0
        self._replace = replace
        try:
            if path.exists() and not path.is_file():
                raise InputError(f"{path}: is not a file: move it away")
            if path.exists() and not replace:
                with path.open("r+b") as file:
                    self.columns = self._columns_of(file)
        except OSError as error:
            raise InputError(f"{path}: is not writable ({error.strerror}): move it away") from error

    def _columns_of(self, file: BinaryIO) -> tuple[str, ...]:
        """Return the columns of an existing file; if its header is unfinished, those of a new file."""
        first, ended, _ = file.read(_TAIL).partition(b"\n")
        if not ended and _header(self.columns).startswith(first):
            return self.columns
        found = tuple(next(csv.reader([first.decode("utf-8", "surrogateescape")]), ()))
        if set(found) - set(self.columns) or found[:1] != self.columns[:1]:
            raise InputError(f"{self.path}: has other columns: move it away")
        return found

    def add(self, row: Row) -> None:
        """Append a row, without the entries that have no column. Log a warning about the first lost line."""
        try:
            if self._replace:
                self.path.unlink(missing_ok=True)
                self._replace = False
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as file:
                _lock(file)
                _remove_unfinished_row(file)
                end = file.seek(0, os.SEEK_END)
                file.write((b"" if end else _header(self.columns)) + _line(self.columns, row))
        except OSError as error:
            if not self.lost:
                _log.warning("%s: is not writable (%s): the work continues without it", self.path, error.strerror)
            self.lost += 1


class Manifest(Table):
    """The manifest of a folder of results."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, COLUMNS)

    @cached_property
    def finished(self) -> set[str]:
        """Inputs whose last line names a result. Read once, at the first picture that is skipped because it exists."""
        last: dict[str, str] = {}
        with suppress(OSError), self.path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            last = {row["input"]: row["output"] for row in csv.DictReader(file)}
        return {name for name, output in last.items() if output}

    def add(self, row: Row) -> None:
        """Append a row, unless it only repeats a result that an earlier run or another process has recorded."""
        if row.get("skipped") == BY_ANOTHER or (row.get("skipped") == EXISTS and row["input"] in self.finished):
            return
        texts: dict[str, str] = {key: json.dumps(row[key]) for key in ("outputs", "notes") if key in row}
        if row.get("notes"):
            texts["findings"] = "; ".join(map(command_line_text, row["notes"]))
        super().add(row | texts)


@contextmanager
def manifest_of(plan: Plan) -> Iterator[Manifest | None]:
    """Yield the manifest of a plan; None if the plan has neither a folder nor a store for it.

    Files of an object store cannot be appended to: there the manifest is written at the end, as
    `manifests/TIME-NUMBER.csv`.
    """
    if plan.store is None:
        yield None if plan.folder is None else Manifest(plan.folder / MANIFEST)
        return
    with TemporaryDirectory(prefix="scoreinv-") as folder:
        path = Path(folder, MANIFEST)
        manifest = Manifest(path)
        manifest.finished = {job.source for job in plan.jobs}  # earlier runs recorded their results
        try:
            yield manifest
        finally:
            if path.exists():
                when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
                write_url(f"{plan.store}/manifests/{when}-{secrets.token_hex(4)}.csv", path.read_bytes())


def _header(columns: tuple[str, ...]) -> bytes:
    return _line(columns, dict(zip(columns, columns, strict=True)))


def _line(columns: tuple[str, ...], row: dict[str, Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns, extrasaction="ignore").writerow(row)
    return text.getvalue().encode("utf-8", "surrogateescape")  # names of files may not be UTF-8


def _lock(file: BinaryIO) -> None:
    """Lock a file until it is closed; on a file system without locks, go on without."""
    with suppress(OSError):
        if sys.platform == "win32":
            file.seek(_LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX)


def _remove_unfinished_row(file: BinaryIO) -> None:
    """Remove everything after the last line break."""
    size = file.seek(0, os.SEEK_END)
    begin = max(0, size - _TAIL)
    file.seek(begin)
    tail = file.read(size - begin)
    if tail and not tail.endswith(b"\n"):
        file.truncate(begin + tail.rfind(b"\n") + 1)
