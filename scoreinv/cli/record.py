"""What has become of the pictures of a run: said at once, noted in the folder's `manifest.csv`, counted at the end."""

from __future__ import annotations

import csv
import io
import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from scoreinv.cli.options import Common
from scoreinv.cli.outputs import STREAM
from scoreinv.cli.plan import Plan
from scoreinv.cli.report import advise, describe, emit, notice, say_traceback, warn
from scoreinv.system.errors import InputError
from scoreinv.system.terminal import duration, say
from scoreinv.system.text import printable

MANIFEST = "manifest.csv"
COLUMNS = (
    *("input", "output", "outputs", "seconds", "nfe", "seed", "model", "model_sha256", "color_model", "method"),
    *("skipped", "error"),
)
EXISTS = "exists already"  # what is said of a picture whose results are there
BY_ANOTHER = "done by another"  # what is said of a picture whose results another process has written meanwhile
_TAIL = 1 << 16  # bytes of the end of a table in which a cut row is looked for


@dataclass
class Record:
    """The record of a run.

    Attributes:
        manifest: the table of the folder of results.
        wanted: pictures that are to be done.
        counts: how many were done, failed, were skipped as they exist, ...
    """

    plan: Plan
    manifest: Table | None
    wanted: int
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> int:
        """How many of the pictures that are to be done are not."""
        return self.wanted - sum(self.counts[outcome] for outcome in ("done", BY_ANOTHER, "failed"))

    def add(self, row: dict[str, Any]) -> None:
        """Note what has become of a picture: how it was done, why it was `skipped`, or its `error`."""
        what, noted = "failed" if "error" in row else "done", True
        if "skipped" in row:
            what = row["skipped"] if row["skipped"] in (EXISTS, BY_ANOTHER) else "left out"
            # The manifest has it from whoever made the results, unless they were killed then.
            lacks = what == EXISTS and self.manifest is not None and row["input"] not in self.manifest.finished
            noted = lacks or what == "left out"
        self.counts[what] += 1
        if self.manifest is not None and noted:  # first: who reads stdout may have enough
            outputs = {"outputs": json.dumps(row["outputs"])} if "outputs" in row else {}
            self.manifest.add(row | outputs)
        if what == "failed":
            tell_failure(row, self.plan.common)
            return
        if what == "left out":
            warn(f"{row['input']}: skipped, {row['skipped']}")
        emit(self.plan.common, row)
        if what == "done" and row["outputs"] != [STREAM]:
            written = [*row["outputs"], *([row["uncertainty"]] if "uncertainty" in row else [])]
            notice(self.plan.common, f"{', '.join(written)} ({duration(row['seconds'])})")

    def interrupted(self, *, replacing: bool) -> None:
        """The run ends before all of the pictures are done: say what is kept, and how to go on.

        replacing: there were results before it, which are not told from its own now.
        """
        if not self.plan.batch:
            return
        words, does = sys.argv[1:], "go on by"
        if replacing:
            does = "with --overwrite all are done again by"
        elif self.plan.common.overwrite:
            # After the command's name, as what follows a `--` is no option.
            words = [words[0], "--no-overwrite", *(word for word in words[1:] if word != "--overwrite")]
        again = shlex.join(["scoreinv", *words])
        advise(self.plan.common, f"{self.counts['done']} done and kept, {self.left} left; {does}: {again}")

    def close(self) -> int:
        """Say what the run has come to; returns the exit status: 1 where a picture of a batch or a line is missing."""
        counts, plan = self.counts, self.plan
        lost = 0 if self.manifest is None else self.manifest.lost
        if plan.batch:
            remedy = " (--overwrite makes them anew)" if counts[EXISTS] else ""
            parts = [
                f"{counts['done']} done",
                f"{counts[EXISTS]} skipped because they exist{remedy}",
                f"{counts[BY_ANOTHER]} {BY_ANOTHER}" if counts[BY_ANOTHER] else "",
                f"{counts['left out']} left out" if counts["left out"] else "",
                f"{plan.passed_over} left alone, being results" if plan.passed_over else "",
                f"{counts['failed']} failed",
                f"{lost} missing in {MANIFEST}" if lost else "",
            ]
            where = f"; {plan.folder} has them, and {MANIFEST}" if plan.folder is not None and counts["done"] else ""
            notice(self.plan.common, f"{', '.join(filter(None, parts))}{where}")
        return 1 if counts["failed"] or lost else 0


def failed(source: str, error: Exception, common: Common, *, batch: bool) -> dict[str, Any]:
    """The row of an input that failed, whose traceback `--debug` shows; outside of a batch the error is raised."""
    if not batch:
        vars(error)["source"] = source  # for the record
        raise error
    if common.debug:
        say_traceback(error)
    return {"input": source, "error": describe(error)}


def tell_failure(row: dict[str, Any], common: Common) -> int:
    """Report an input that failed, by its row; returns 1 for counting."""
    emit(common, row)
    message, shown = row["error"], printable(row["input"])
    say(f"scoreinv: error: {message if shown in message else f'{shown}: {message}'}")
    return 1


class Table:
    """A CSV file with a line for each finished picture, to which several processes may append.

    A lock gives them turns. A row that a killed process or a full disk cut off is removed before the next is added.
    On a file system without locks, each line is still a single write at the end of the file.

    Args:
        columns: their names, in order; the first line of a new file.
        replacing: the first line replaces the file that is there, whatever its columns.

    Attributes:
        lost: lines that it did not take.

    Raises:
        InputError: the path is no file, cannot be written to, or has other columns.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], *, replacing: bool = False) -> None:
        self.path = path
        self.columns = columns
        self._replacing = replacing
        self.header = self._line(dict(zip(columns, columns, strict=True)))
        self.lost = 0
        try:
            if not path.exists():
                return
            if not path.is_file():
                raise InputError(f"{path}: cannot be written to (it is no file): move it away")
            with path.open("r+b") as file:
                begin = file.read(2 * len(self.header))
        except OSError as error:
            raise InputError(f"{path}: cannot be written to ({error.strerror}): move it away") from error
        first, ended, _ = begin.partition(b"\n")
        cut = not ended and self.header.startswith(begin)
        if not (cut or replacing) and first.rstrip(b"\r") != self.header.rstrip():
            raise InputError(f"{path}: has columns of another version: move it away")

    @cached_property
    def finished(self) -> set[str]:
        """The inputs whose last line, when this was first asked for, names a result."""
        last: dict[str, str] = {}
        with suppress(OSError), self.path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            last = {row["input"]: row["output"] for row in csv.DictReader(file)}
        return {name for name, output in last.items() if output}

    def add(self, record: dict[str, object]) -> None:
        """Append a line; entries without a column are left out, and missing or None ones are empty.

        The first line that cannot be written is warned of, all are counted.
        """
        try:
            if self._replacing:
                self.path.unlink(missing_ok=True)
                self._replacing = False
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self.path) as (file, alone):
                if alone:
                    _remove_cut_row(file)
                end = file.seek(0, os.SEEK_END)
                file.write((b"" if end else self.header) + self._line(record))
        except OSError as error:
            if not self.lost:
                reason = f"{self.path}: cannot be written to ({error.strerror})"
                warn(f"{reason}: the work goes on, and this line is missing there")
            self.lost += 1

    def _line(self, record: dict[str, object]) -> bytes:
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.columns, extrasaction="ignore").writerow(record)
        return text.getvalue().encode("utf-8", "surrogateescape")  # names of files may be no UTF-8


@contextmanager
def _locked(path: Path) -> Iterator[tuple[BinaryIO, bool]]:
    """Open a file for appending, created if missing; yield it and whether this process has locked it.

    The lock is on a hidden file beside it, since locking with filelock truncates the locked file.
    """
    from filelock import FileLock

    alone = False
    with ExitStack() as stack:
        with suppress(OSError, NotImplementedError):  # a file system without locks
            stack.enter_context(FileLock(path.with_name(f".{path.name}.lock")))
            alone = True
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        yield stack.enter_context(os.fdopen(number, "r+b")), alone


def _remove_cut_row(file: BinaryIO) -> None:
    """Remove everything after the last line break."""
    size = file.seek(0, os.SEEK_END)
    begin = max(0, size - _TAIL)
    file.seek(begin)
    tail = file.read(size - begin)
    if tail and not tail.endswith(b"\n"):
        file.truncate(begin + tail.rfind(b"\n") + 1)
