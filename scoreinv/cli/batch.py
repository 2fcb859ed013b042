"""Many pictures by one command: each reported as it finishes, failures counted, finished files skipped."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from scoreinv.cli.common import Settings
from scoreinv.cli.failures import describe
from scoreinv.cli.manifest import NAME, Manifest
from scoreinv.cli.messages import emit, notice, warn
from scoreinv.cli.outputs import STREAM, Job, Plan, check_outputs, check_source, output_folders
from scoreinv.cli.progress import ProgressBar, duration
from scoreinv.cli.runtime import Session
from scoreinv.cli.streams import say, say_traceback
from scoreinv.errors import ExistsError, InputError
from scoreinv.text import printable

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture

T = TypeVar("T")

BY_ANOTHER = "done by another"
"""Of a picture whose results another process has written meanwhile."""


@dataclass(frozen=True)
class Report:
    """A finished picture.

    Attributes:
        pictures: the results, as many as `Work.files`.
        nfe: evaluations of the network for one sample.
        method: by which it was drawn.
        more: further entries of its record.
    """

    pictures: Sequence[Picture]
    nfe: int
    method: str
    more: dict[str, Any] = field(default_factory=dict)


def _nothing(job: Job) -> str | None:
    return None


@dataclass(frozen=True)
class Work(Generic[T]):
    """What a command does with one picture.

    Attributes:
        read: opens and checks the input; whatever it raises concerns this picture alone.
        compute: does the work.
        files: results of a picture: above 1 they are numbered.
        quality: of jpg and webp.
        left_out: why a picture is not done, or None.
    """

    read: Callable[[Job], T]
    compute: Callable[[T, ProgressBar], Report]
    files: int
    quality: int | None
    left_out: Callable[[Job], str | None] = _nothing


def run(plan: Plan, work: Work[T], session: Session, second: Session | None = None) -> int:
    """Do all jobs; returns the exit status, 1 when any picture of a batch failed, or what was done could not be noted.

    session, second: the models of the work, loaded once the first picture has been read.

    The failure of a single picture, and that of the model, is raised. In a batch the next picture follows.
    """
    settings = session.settings
    if settings.json and any(job.output == STREAM for job in plan.jobs):
        raise InputError("the picture and --json both want stdout: name a file by -o")
    with output_folders(plan.folders):
        ledger = Ledger(settings, plan.batch, None if plan.folder is None else Manifest(plan.folder))
        for number, job in enumerate(plan.jobs, 1):
            if why := work.left_out(job):
                ledger.left_out(job, why)
                continue
            try:
                missing = _missing(job.outputs(work.files), keep=plan.batch and not settings.overwrite)
                item = _read(job, missing, work, settings) if missing else None
            except ExistsError as error:
                ledger.there_already(job, work.files, error)
                continue
            except Exception as error:
                ledger.failed(job, error)
                continue
            if item is None:
                ledger.skipped(job, work.files, "exists already")
                continue
            for model in filter(None, (session, second)):
                model.load()  # outside: a model that cannot be used ends the whole run
            try:
                title = f"[{number}/{len(plan.jobs)}] {job.source}" if plan.batch else job.source
                _do(job, item, missing, title, work, session, ledger)
            except Exception as error:
                ledger.failed(job, error)
        return ledger.close(plan)


@dataclass
class Ledger:
    """What has become of the pictures of a run: told at once, noted in the manifest, and counted.

    Attributes:
        settings: the common options.
        batch: whether the run goes on when a picture fails.
        manifest: of a folder of results.
        counts: of pictures, by what became of them.
    """

    settings: Settings
    batch: bool
    manifest: Manifest | None
    counts: Counter[str] = field(default_factory=Counter)

    def done(self, record: dict[str, Any], seconds: float, model_sha256: str) -> None:
        """A picture was done."""
        self.counts["done"] += 1
        emit(self.settings, record)
        self._note(record | {"model_sha256": model_sha256})
        if record["outputs"] != [STREAM]:
            notice(self.settings, f"{', '.join(record['outputs'])} ({duration(seconds)})")

    def skipped(self, job: Job, files: int, why: str) -> None:
        """A picture has its results already; the manifest has them from whoever made them."""
        self.counts[why] += 1
        outputs = job.outputs(files)
        emit(self.settings, {"input": job.source, "output": outputs[0], "outputs": outputs, "skipped": why})

    def there_already(self, job: Job, files: int, error: ExistsError) -> None:
        """Another process has written a picture's results meanwhile; outside of a batch the error is raised on."""
        if not self.batch:
            raise error
        self.skipped(job, files, BY_ANOTHER)

    def left_out(self, job: Job, why: str) -> None:
        """A picture is not done for a reason of its own."""
        self.counts["left out"] += 1
        warn(f"{job.source}: skipped, {why}")
        emit(self.settings, {"input": job.source, "skipped": why})
        self._note({"input": job.source, "skipped": why})

    def failed(self, job: Job, error: Exception) -> None:
        """A picture failed; outside of a batch the error is raised on."""
        self.counts["failed"] += failure(job.source, error, self.settings, batch=self.batch)
        self._note({"input": job.source, "error": describe(error)})

    def close(self, plan: Plan) -> int:
        """Say what the run has come to; returns the exit status."""
        lost = 0 if self.manifest is None else self.manifest.log.lost
        if plan.batch:
            counts = self.counts
            remedy = " (--overwrite makes them anew)" if counts["exists already"] else ""
            parts = [
                f"{counts['done']} done",
                f"{counts['exists already']} skipped because they exist{remedy}",
                f"{counts[BY_ANOTHER]} {BY_ANOTHER}" if counts[BY_ANOTHER] else "",
                f"{counts['left out']} left out" if counts["left out"] else "",
                f"{plan.results} left alone, being results" if plan.results else "",
                f"{counts['failed']} failed",
                f"{lost} missing in {NAME}" if lost else "",
            ]
            notice(self.settings, ", ".join(filter(None, parts)))
        return 1 if self.counts["failed"] or lost else 0

    def _note(self, record: dict[str, Any]) -> None:
        if self.manifest is not None:
            self.manifest.add(record)


def failure(source: str, error: Exception, settings: Settings, *, batch: bool) -> int:
    """Report an input that failed: 1, for counting; outside of a batch the error is raised on."""
    if not batch:
        error.source = source
        raise error
    message, shown = describe(error), printable(source)
    emit(settings, {"input": source, "error": message})
    if settings.debug:
        say_traceback(error)
    say(f"scoreinv: error: {message if shown in message else f'{shown}: {message}'}")
    return 1


def _missing(outputs: list[str], *, keep: bool) -> list[str]:
    """The results to make: where those that exist are kept, those that do not."""
    return [output for output in outputs if not os.path.exists(output)] if keep else outputs  # noqa: PTH110 - no errors


def _read(job: Job, missing: list[str], work: Work[T], settings: Settings) -> T:
    check_source(job.source)  # first: where it is not there, its folder may not be either
    check_outputs(missing, overwrite=settings.overwrite)
    return work.read(job)


def _do(job: Job, item: T, outputs: list[str], title: str, work: Work[T], session: Session, ledger: Ledger) -> None:
    from scoreinv.imaging.files import write_picture

    settings = session.settings
    started = time.monotonic()
    with ProgressBar(title, quiet=settings.quiet) as bar:
        report = work.compute(item, bar)
    written: list[str] = []
    there: ExistsError | None = None
    # What an earlier run wrote is left: the first samples are the same however many are drawn.
    for path, picture in zip(job.outputs(work.files), report.pictures, strict=True):
        if path in outputs:
            try:
                write_picture(path, picture, overwrite=settings.overwrite, quality=work.quality)
            except ExistsError as error:
                there = error
            else:
                written.append(path)
    if there is not None and not (written and ledger.batch):
        ledger.there_already(job, work.files, there)
        return
    seconds = time.monotonic() - started
    record = {
        "input": job.source,
        "output": written[0],
        "outputs": written,
        "seconds": round(seconds, 3),
        "nfe": report.nfe,
        **session.record(report.method),
        **report.more,
    }
    ledger.done(record, seconds, session.model_sha256 if ledger.manifest is not None else "")
