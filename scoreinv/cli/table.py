"""A CSV file that grows by a line for each finished picture; several processes may write to it at once.

They take turns by a lock. Where a file system has none, each line is still one write at the end of the file, and the
names of the columns come into being with the file.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from scoreinv.cli.streams import warn
from scoreinv.errors import InputError, ScoreinvError
from scoreinv.imaging.parts import unfinished

_ROW_LINES = 8
"""Most lines of a row: names of files may have ends of lines."""
_TAIL = 1 << 20
"""Bytes of the end in which a cut row is looked for: many times a row's."""
_FIELD = rb'(?:"[^"]*(?:""[^"]*)*"|[^",\r\n][^,\r\n]*|)'
_ROW = re.compile(rb"%b(?:,%b)*\r?\n" % (_FIELD, _FIELD))


@dataclass
class Table:
    """Lines are added to the file that is there; a new one begins with the names of the columns.

    What a killed process, or a full disk, left of a row is removed before the next is added, unless it may be what
    another process is just writing.

    Attributes:
        path: the file.
        columns: their names, in order.
    """

    path: Path
    columns: tuple[str, ...]
    _last: tuple[int, bytes] = field(default=(0, b""), init=False)  # the line that was added last, and where

    def check(self) -> None:
        """Raise InputError for a path that is no file, cannot be written to, or has other columns."""
        try:
            if not self.path.exists():
                return
            if not self.path.is_file():
                raise InputError(f"{self.path}: cannot be written to (it is no file): move it away")
            with self.path.open("r+b") as file:
                begin = file.read(2 * len(self._header))
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written to ({error.strerror}): move it away") from error
        first, ended, _ = begin.partition(b"\n")
        names = self._header.rstrip()
        cut = not ended and self._header.startswith(begin)
        if not cut and first.rstrip(b"\r") != names:
            raise InputError(f"{self.path}: has columns of another version: move it away")

    def add(self, record: dict[str, object]) -> None:
        """Append a line; entries without a column are left out, and missing or None ones are empty.

        Raises ScoreinvError, naming the file, where that fails.
        """
        try:
            self._begin()
            with _locked(self.path) as (file, alone):
                end = self._mend(file) if alone else file.seek(0, os.SEEK_END)
                line = (b"" if end else self._header) + self._line(record)
                file.write(line)
            if alone:
                self._last = (end, line)
        except OSError as error:
            raise ScoreinvError(f"{self.path}: cannot be written to ({error.strerror})") from error

    def _begin(self) -> None:
        """Make the file with the names of the columns where there is none: whole, or not at all."""
        if self.path.exists():
            return
        made = unfinished(self.path)
        try:
            made.write_bytes(self._header)
            with suppress(FileExistsError):  # another was first
                os.link(made, self.path)
        except OSError:  # no hard links here, or no space: the first line brings the names
            return
        finally:
            made.unlink(missing_ok=True)

    def _mend(self, file: BinaryIO) -> int:
        """Remove what is cut at the end; returns the bytes that are left.

        Behind the last line of its own, if that is still there, it looks for nothing but what others have added since:
        else each line would take longer than the one before.
        """
        size = file.seek(0, os.SEEK_END)
        begin, line = self._last
        file.seek(begin)
        begin = begin + len(line) if file.read(len(line)) == line else 0
        begin = max(begin, size - _TAIL)
        file.seek(begin)
        cut = _cut_bytes(file.read(size - begin))
        if cut:
            file.truncate(size - cut)
        return size - cut

    @property
    def _header(self) -> bytes:
        return self._line(dict(zip(self.columns, self.columns, strict=True)))

    def _line(self, record: dict[str, object]) -> bytes:
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.columns, extrasaction="ignore").writerow(record)
        return text.getvalue().encode("utf-8", "surrogateescape")  # names of files may be no UTF-8


class Log:
    """A table that is kept as far as possible: the first line that it does not take is reported, all are counted."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.lost = 0

    def add(self, record: dict[str, object]) -> None:
        """`Table.add`."""
        try:
            self.table.add(record)
        except ScoreinvError as error:
            if not self.lost:
                warn(f"{error}: the work goes on, and this line is missing there")
            self.lost += 1


@contextmanager
def _locked(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """The file, made where there is none, and whether it is locked against other processes that add to it."""
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
    with os.fdopen(number, "r+b") as file:
        alone = False
        with suppress(ImportError, OSError):  # Windows, or a file system without locks
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
            alone = True
        yield file, alone


def _cut_bytes(tail: bytes) -> int:
    """The number of bytes of an incomplete row at the end of a table."""
    at = 0
    while at < len(tail):
        row = _ROW.match(tail, at)
        if row is None and tail.count(b"\n", at) < _ROW_LINES:
            return len(tail) - at
        # Else there is more behind it than a row: it was written by hand, or begins in the midst of a row.
        at = row.end() if row is not None else tail.index(b"\n", at) + 1
    return 0
