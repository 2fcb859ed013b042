"""Output of commands: JSON lines on stdout for programs; sentences, progress and errors on stderr for people."""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scoreinv.system.errors import ExistsError, MaskError, ScoreinvError, SettingError
from scoreinv.system.memory import is_out_of_memory
from scoreinv.system.terminal import duration, say
from scoreinv.system.text import printable

if TYPE_CHECKING:
    from scoreinv.batch.plan import Plan
    from scoreinv.cli.options import Common
    from scoreinv.models.loading import ModelSource

OPTIONS = {"noise_std": "--noise"}
"""Options whose names differ from the settings in Python, for errors of pictures in a batch."""


def put(text: str) -> None:
    """Write a printable line to stdout at once.

    Raises ScoreinvError if stdout is full, and BrokenPipeError if its reader has ended.
    """
    try:
        sys.stdout.write(f"{printable(text)}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ScoreinvError(f"stdout: {error.strerror}") from error


def warn(text: str) -> None:
    """Print a warning on stderr."""
    say(f"scoreinv: warning: {text}")


def notice(common: Common, text: str) -> None:
    """Print information on stderr, unless `--quiet` or `--json`."""
    if not common.quiet and not common.json:
        say(f"scoreinv: {text}")


def advise(common: Common, text: str) -> None:
    """Print advice on how to continue on stderr, unless `--quiet`; unlike `notice`, also with `--json`."""
    if not common.quiet:
        say(f"scoreinv: {text}")


def emit(common: Common, record: dict[str, Any]) -> None:
    """With `--json`, print a record as one line of JSON on stdout."""
    if common.json:
        put(json.dumps(record, allow_nan=False))


def provenance(source: ModelSource, method: str, common: Common) -> dict[str, Any]:
    """Return the seed, model, method, device and precision of a result, for its JSON line."""
    made = source.record()
    return {"seed": common.seed or 0, "model": made.pop("model"), "method": method, **made}


def rehearse(common: Common, record: dict[str, Any], text: str) -> None:
    """Print the effect of a run on stdout, for --dry-run: a sentence, or with `--json` a record."""
    if common.json:
        emit(common, record | {"dry_run": True})
    else:
        put(text)


def failure(common: Common, row: dict[str, Any]) -> None:
    """Print the row of an input that failed."""
    emit(common, row)
    say_error(row["error"], row["input"])


def say_error(message: str, source: str | None) -> None:
    """Print an error on stderr, with its file if the message does not name it."""
    named = source is None or printable(source) in message
    say(f"scoreinv: error: {message if named else f'{source}: {message}'}")


def describe(error: BaseException) -> str:
    """Return one line about an error: a setting is named by its option, an unexpected error by its type.

    A SettingError that has left a command knows its `option`.
    """
    if isinstance(error, SettingError):
        default = OPTIONS.get(error.setting, f"--{error.setting.replace('_', '-')}")
        return printable(f"{vars(error).get('option', default)} {error.problem}")
    if isinstance(error, MaskError) and error.remedy:
        return f"{_one_line(error)} (--{error.remedy.replace('_', '-')})"
    if isinstance(error, ScoreinvError):
        return _one_line(error) + (" with --overwrite" if isinstance(error, ExistsError) else "")
    if is_out_of_memory(error):
        return "out of memory: end other programs, or use a smaller picture, batch or model"
    if isinstance(error, OSError) and error.strerror:
        return printable(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return f"{type(error).__name__}: {_one_line(error)} (--debug shows the traceback)"


def _one_line(error: BaseException) -> str:
    return printable(" ".join(str(error).split()))


class Lines(logging.Handler):
    """Print log records on stderr: warnings and errors, with `verbose` also choices, with `debug` also tracebacks."""

    def __init__(self, *, verbose: bool, debug: bool) -> None:
        super().__init__()
        self.verbose, self.debug = verbose, debug

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        if record.levelno == logging.INFO and not self.verbose:
            return
        words = {logging.WARNING: "warning: ", logging.ERROR: "error: "}
        message = record.getMessage()
        # A worker's debug record has its traceback in the message. Other line breaks are in names of files.
        first, *rest = message.split("\n") if record.levelno == logging.DEBUG else [message]
        say(f"scoreinv: {words.get(record.levelno, '')}{first}")
        for line in rest:
            say(line)
        if record.exc_info is not None and record.exc_info[1] is not None:
            print_traceback(record.exc_info[1])


def show_log(*, verbose: bool = False, debug: bool = False) -> None:
    """Print the package's log."""
    logger = logging.getLogger("scoreinv")
    logger.handlers = [Lines(verbose=verbose, debug=debug)]
    logger.setLevel(logging.DEBUG if debug else logging.INFO if verbose else logging.WARNING)


def print_traceback(error: BaseException) -> None:
    """Print the traceback of an error on stderr."""
    import traceback

    for line in "".join(traceback.format_exception(error)).rstrip("\n").split("\n"):
        say(line)


@dataclass
class Report:
    """Prints the rows of a run and their totals.

    Attributes:
        wanted: number of pictures to process.
        counts: number of rows by kind: `done`, `exist` (finished before), `another` (another process wrote the result),
            `left` (left out by the plan), `failed`.
    """

    plan: Plan
    common: Common
    wanted: int
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, row: dict[str, Any]) -> None:
        """Print a row."""
        from scoreinv.batch.plan import BY_ANOTHER, EXISTS
        from scoreinv.tasks.notes import command_line_text

        if "error" in row:
            self.counts["failed"] += 1
            failure(self.common, row)
            return
        if self.common.dry_run:
            self._rehearse(row)
            return
        if "skipped" in row:
            kind = {EXISTS: "exist", BY_ANOTHER: "another"}.get(row["skipped"], "left")
            self.counts[kind] += 1
            if kind == "left":
                warn(f"{row['input']}: skipped: {row['skipped']}")
            emit(self.common, row)
            return
        self.counts["done"] += 1
        for note in row["notes"]:
            text = f"{row['input']}: {command_line_text(note)}"
            if note["severity"] != "warning":
                notice(self.common, text)
            elif note["code"] != "mask_mostly_hole":  # `batch.work` has warned before the fill
                warn(text)
        emit(self.common, row)
        if self.common.verbose:
            notice(self.common, f"{row['input']}: method {row['method']}, {row['nfe']} network evaluations")
        if row["outputs"] != ["-"]:
            more = (row.get(name) for name in ("uncertainty", "kernel_out", "changes"))
            written = [*row["outputs"], *filter(None, more)]
            notice(self.common, f"{', '.join(written)} ({duration(row['seconds'])})")

    def _rehearse(self, row: dict[str, Any]) -> None:
        """Print the row of a dry run."""
        if "skipped" in row:
            row = {key: row[key] for key in ("input", "skipped", "finished")}
            text = f"would be skipped: {row['skipped']}"
        else:
            text = f"would be written to {', '.join(row['outputs'])}"
        if "beside" in row:
            text += f"; with it, at most, {', '.join(row['beside'])}"
        rehearse(self.common, row, f"{row['input']}: {text}")

    def interrupted(self) -> None:
        """Print the progress of an interrupted batch, and how to continue it."""
        if self.plan.batch:
            left = self.wanted - sum(self.counts[kind] for kind in ("done", "another", "failed"))
            again = "processes all again (without --overwrite: the others)" if self.common.overwrite else "goes on"
            advise(self.common, f"{self.counts['done']} done and kept, {left} left; the same command {again}")

    def close(self, lost: int) -> int:
        """Print the totals of a batch, and return the exit status: 1 if a picture failed or the manifest lost a line.

        Args:
            lost: number of lines that could not be written to the manifest.
        """
        counts, plan = self.counts, self.plan
        if plan.batch and not self.common.dry_run:
            remedy = " (--overwrite replaces them)" if counts["exist"] else ""
            some = {
                "done by another process": counts["another"],
                "left out": counts["left"],
                "left out as results": plan.results_skipped,
            }
            said = [f"{counts['done']} done", f"{counts['exist']} skipped because they exist{remedy}"]
            said += [f"{count} {words}" for words, count in some.items() if count]
            said += [f"{counts['failed']} failed", *([f"{lost} missing in the manifest"] if lost else [])]
            place = plan.store or plan.folder
            where = f"; results and manifest are in {place}" if place is not None and counts["done"] else ""
            notice(self.common, f"{', '.join(said)}{where}")
        return 1 if counts["failed"] or lost else 0
