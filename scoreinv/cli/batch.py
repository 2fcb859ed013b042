"""Many pictures by one command: each reported as it finishes, failures counted, finished files skipped."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from scoreinv.cli.command import Settings
from scoreinv.cli.failures import describe
from scoreinv.cli.manifest import NAME, Manifest
from scoreinv.cli.messages import advise, emit, notice, rehearse
from scoreinv.cli.outputs import (
    STREAM,
    Job,
    Plan,
    Workers,
    check_outputs,
    check_source,
    output_folders,
    refuse_existing,
)
from scoreinv.cli.progress import ProgressBar, RunProgress, duration
from scoreinv.cli.runtime import Maker
from scoreinv.cli.streams import say, say_traceback, warn
from scoreinv.errors import ExistsError, InputError
from scoreinv.text import printable

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.tasks.results import Restored

T = TypeVar("T")
_log = logging.getLogger(__name__)

EXISTS = "exists already"
"""What is said of a picture whose results are there."""
BY_ANOTHER = "done by another"
"""What is said of a picture whose results another process has written meanwhile."""


@dataclass(frozen=True)
class Report:
    """A finished picture.

    Attributes:
        pictures: the results, as many as `Work.files`.
        nfe: evaluations of the network for one sample.
        method: how it was drawn.
        more: further entries of its record.
    """

    pictures: Sequence[Picture]
    nfe: int
    method: str
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, result: Restored[Picture], files: int, more: dict[str, Any] | None = None) -> Report:
        """The report of a restored picture: its samples where several files are wanted, else its image."""
        return cls(result.samples if files > 1 else [result.image], result.nfe, result.method, more or {})


def _nothing(job: Job) -> str | None:
    return None


def _no_files(job: Job) -> list[str]:
    return []


def _as_read(item: T) -> T:
    return item


@dataclass(frozen=True)
class Work(Generic[T]):
    """What a command does with one picture.

    Attributes:
        read: opens and checks the input; whatever it raises concerns this picture alone.
        compute: does the work.
        files: results of a picture: above 1 they are numbered.
        quality: quality of jpg and webp.
        left_out: says why a picture is not done; None where it is.
        beside: the files that may be written beside the results.
        prepare: completes what was read by the models of the work, such as by the damage that they find; whatever it
            raises concerns this picture alone.
    """

    read: Callable[[Job], T]
    compute: Callable[[T, ProgressBar], Report]
    files: int
    quality: int | None
    left_out: Callable[[Job], str | None] = _nothing
    beside: Callable[[Job], list[str]] = _no_files
    prepare: Callable[[T], T] = _as_read


def run(plan: Plan, work: Work[T], session: Maker, *others: Maker) -> int:
    """Do all jobs; returns the exit status: 1 where a picture of a batch failed, or the manifest lacks a line.

    The failure of a single picture, and that of the model, is raised. In a batch the next picture follows.

    Arguments:
        session, others: the models of the work, loaded once the first picture has been read.
    """
    if session.settings.json and any(job.output == STREAM for job in plan.jobs):
        raise InputError("the picture and --json both want stdout: name a file by -o")
    sessions = [session, *others]
    if session.settings.dry_run:
        return _rehearse(plan, work, sessions)
    jobs = plan.own
    with output_folders(plan.folders, shared=plan.shard is not None):
        ledger = Ledger(session.settings, plan.batch, None if plan.folder is None else Manifest(plan.folder))
        overwrite = session.settings.overwrite
        wanted = {
            job
            for job in jobs
            if not work.left_out(job) and _missing(job, work.files, batch=plan.batch, overwrite=overwrite)
        }
        replacing = overwrite and any(os.path.lexists(output) for job in wanted for output in job.outputs(work.files))
        progress = RunProgress(len(wanted))
        titles = [
            f"[{number}/{len(jobs)}] {job.source}" if plan.batch else job.source for number, job in enumerate(jobs, 1)
        ]
        doings = [
            Doing(job, title, job in wanted, work, sessions, plan, progress)
            for job, title in zip(jobs, titles, strict=True)
        ]
        try:
            with closing(_outcomes(doings, plan.workers)) as outcomes:
                for outcome in outcomes:
                    outcome(ledger)
        except KeyboardInterrupt:
            ledger.interrupted(len(wanted) - ledger.through, replacing=replacing)
            raise
        return ledger.close(plan)


def _outcomes(doings: list[Doing[T]], workers: Workers | None) -> Generator[Outcome]:
    """What becomes of the pictures, one after the other; those of workers as they finish."""
    if workers is None:
        for doing in doings:
            yield doing.settled() or doing.done()
    else:
        from scoreinv.cli.ray_workers import outcomes_by_ray

        yield from outcomes_by_ray(doings)


def _rehearse(plan: Plan, work: Work[T], sessions: list[Maker]) -> int:
    """Check the models and all inputs, and say what would become of each; returns the exit status."""
    settings = sessions[0].settings
    for session in sessions:
        session.check()
    failed = 0
    for job in plan.own:
        outputs = _missing(job, work.files, batch=plan.batch, overwrite=settings.overwrite)
        why = work.left_out(job) if outputs else EXISTS
        try:
            if why is None:
                check_source(job.source)
                refuse_existing(outputs, overwrite=settings.overwrite)
                work.read(job)
        except Exception as error:
            failed += failure(job.source, error, settings, batch=plan.batch)
            continue
        if why is None:
            said = f"{job.source}: would be written to {', '.join(outputs)}"
            record: dict[str, Any] = {"input": job.source, "outputs": outputs}
            if beside := work.beside(job):
                said += f"; with it, at most, {', '.join(beside)}"
                record["beside"] = beside
            rehearse(settings, record, said)
        else:
            record = {"input": job.source, "skipped": why, "finished": _finished(job, work.files)}
            rehearse(settings, record, f"{job.source}: would be skipped, {why}")
    return 1 if failed else 0


def _missing(job: Job, files: int, *, batch: bool, overwrite: bool) -> list[str]:
    """The results to make; in a batch only those that do not exist, unless they may be replaced."""
    outputs = job.outputs(files)
    if batch and not overwrite:
        return [output for output in outputs if not os.path.exists(output)]  # noqa: PTH110 - no errors
    return outputs


def _finished(job: Job, files: int) -> bool:
    """Whether all results of a picture are there."""
    return not _missing(job, files, batch=True, overwrite=False)


@dataclass(frozen=True)
class Doing(Generic[T]):
    """What is done for one picture.

    Attributes:
        title: what its progress is shown under; empty: it is not shown.
        wanted: whether there was something to do when the run began.
        sessions: the models of the work, its own the first.
        plan: the run that it is of.
        progress: of the whole run.
    """

    job: Job
    title: str
    wanted: bool
    work: Work[T]
    sessions: list[Maker]
    plan: Plan
    progress: RunProgress

    def settled(self) -> Outcome | None:
        """What has become of the picture where nothing was to be done; else None."""
        if self.wanted:
            return None
        why = self.work.left_out(self.job) if self._missing() else None
        if why is not None:
            return partial(Ledger.left_out, job=self.job, files=self.work.files, why=why)
        return partial(Ledger.skipped, job=self.job, files=self.work.files, why=EXISTS)

    def done(self) -> Outcome:
        """Do what `settled` found to be done: read the picture, do the work, and write the results."""
        opened = self.opened()
        return self.made(opened) if isinstance(opened, Opened) else opened

    def opened(self) -> Opened[T] | Outcome:
        """The picture, read and prepared, with the models loaded; or what has become of it."""
        opened = self._opened()
        if not isinstance(opened, Opened):
            self.progress.finish()
        return opened

    def _opened(self) -> Opened[T] | Outcome:
        missing = self._missing()
        if not missing:
            return partial(Ledger.skipped, job=self.job, files=self.work.files, why=BY_ANOTHER)
        try:
            item = self._read(missing)
        except ExistsError as error:
            return partial(Ledger.there_already, job=self.job, files=self.work.files, error=error)
        except Exception as error:
            return partial(Ledger.failed, job=self.job, error=error)
        for session in self.sessions:
            session.load()  # outside both try blocks: an unusable model ends the run
        started = time.monotonic()
        try:
            item = self.work.prepare(item)
        except Exception as error:
            return partial(Ledger.failed, job=self.job, error=error)
        return Opened(self, item, missing, time.monotonic() - started)

    def made(self, opened: Opened[T]) -> Outcome:
        """Do the work on a picture, and write the results."""
        started = time.monotonic()
        try:
            with self.bar(self.title) as bar:
                report = self.work.compute(opened.item, bar)
        except Exception as error:
            self.progress.finish()
            return partial(Ledger.failed, job=self.job, error=error)
        return self.written(opened, report, time.monotonic() - started)

    def written(self, opened: Opened[T], report: Report, seconds: float) -> Outcome:
        """Write the results of a picture, of which the work took so long."""
        started = time.monotonic()
        try:
            written, there = self._write(report, opened.missing)
        except Exception as error:
            return partial(Ledger.failed, job=self.job, error=error)
        finally:
            self.progress.finish()
        if there is not None and not (written and self.plan.batch):
            return partial(Ledger.there_already, job=self.job, files=self.work.files, error=there)
        return self._noted(report, written, opened.seconds + seconds + time.monotonic() - started)

    def bar(self, title: str, pictures: int = 1) -> ProgressBar:
        """What shows the progress of work on so many pictures."""
        return ProgressBar(title, quiet=self.settings.quiet or not title, run=self.progress, pictures=pictures)

    @property
    def settings(self) -> Settings:
        """The common options."""
        return self.sessions[0].settings

    def _missing(self) -> list[str]:
        return _missing(self.job, self.work.files, batch=self.plan.batch, overwrite=self.settings.overwrite)

    def _read(self, missing: list[str]) -> T:
        check_source(self.job.source)  # first: where it is not there, its folder may not be either
        self._make_folder()
        check_outputs(missing, overwrite=self.settings.overwrite)
        return self.work.read(self.job)

    def _make_folder(self) -> None:
        """Make the folder of a batch's results again, which another run that ended without any may have removed."""
        if self.plan.folder is not None:
            Path(self.job.output).parent.mkdir(parents=True, exist_ok=True)

    def _noted(self, report: Report, written: list[str], seconds: float) -> Outcome:
        _log.info("%s: by %s, %d evaluations of the network for a sample", self.job.source, report.method, report.nfe)
        session, *_ = self.sessions
        record = {
            "input": self.job.source,
            "output": written[0],
            "outputs": written,
            "seconds": round(seconds, 3),
            "nfe": report.nfe,
            **session.record(report.method),
            **report.more,
        }
        sha256 = session.model_sha256 if self.plan.folder is not None else ""
        return partial(Ledger.done, record=record, seconds=seconds, model_sha256=sha256)

    def _write(self, report: Report, missing: list[str]) -> tuple[list[str], ExistsError | None]:
        """Write the missing results; returns those written, and the error of one that another process wrote."""
        from scoreinv.imaging.write import write_picture

        written: list[str] = []
        there: ExistsError | None = None
        # What an earlier run wrote is left: the first samples are the same however many are drawn.
        self._make_folder()
        for path, picture in zip(self.job.outputs(self.work.files), report.pictures, strict=True):
            if path in missing:
                try:
                    write_picture(path, picture, overwrite=self.settings.overwrite, quality=self.work.quality)
                except ExistsError as error:
                    there = error
                else:
                    written.append(path)
        return written, there


@dataclass(frozen=True)
class Opened(Generic[T]):
    """A picture that was read, and is to be worked on.

    Attributes:
        missing: the results to write.
        seconds: that it took to prepare it.
    """

    doing: Doing[T]
    item: T
    missing: list[str]
    seconds: float

    @property
    def job(self) -> Job:
        """The input and its outputs."""
        return self.doing.job


@dataclass
class Ledger:
    """What has become of the pictures of a run: said at once, noted in the manifest, and counted.

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
        self._note(record | {"model_sha256": model_sha256})  # first: who reads stdout may have enough
        emit(self.settings, record)
        if record["outputs"] != [STREAM]:
            written = [*record["outputs"], *filter(None, [record.get("uncertainty")])]
            notice(self.settings, f"{', '.join(written)} ({duration(seconds)})")

    def skipped(self, job: Job, files: int, why: str) -> None:
        """A picture has its results already; the manifest has them from whoever made them."""
        self.counts[why] += 1
        outputs = job.outputs(files)
        record = {"input": job.source, "output": outputs[0], "outputs": outputs, "skipped": why, "finished": True}
        emit(self.settings, record)

    def there_already(self, job: Job, files: int, error: ExistsError) -> None:
        """Another process has written a picture's results meanwhile; outside of a batch the error is raised."""
        if not self.batch:
            raise error
        self.skipped(job, files, BY_ANOTHER)

    def left_out(self, job: Job, files: int, why: str) -> None:
        """A picture is not done, for the reason given."""
        self.counts["left out"] += 1
        self._note({"input": job.source, "skipped": why})
        warn(f"{job.source}: skipped, {why}")
        emit(self.settings, {"input": job.source, "skipped": why, "finished": _finished(job, files)})

    def failed(self, job: Job, error: Exception) -> None:
        """A picture failed; outside of a batch the error is raised."""
        self._note({"input": job.source, "error": describe(error)})
        self.counts["failed"] += failure(job.source, error, self.settings, batch=self.batch)

    @property
    def through(self) -> int:
        """Pictures that were done, by whom ever, or failed."""
        return sum(self.counts[outcome] for outcome in ("done", BY_ANOTHER, "failed"))

    def interrupted(self, left: int, *, replacing: bool) -> None:
        """The run ends before so many pictures are done: say what is kept, and how to go on.

        replacing: there were results before it, which are not told from its own now.
        """
        if self.batch:
            words, does = sys.argv[1:], "go on by"
            if replacing:
                does = "with --overwrite all are done again by"
            elif self.settings.overwrite:
                # After the command's name, as what follows a `--` is no option.
                words = [words[0], "--no-overwrite", *(word for word in words[1:] if word != "--overwrite")]
            again = shlex.join(["scoreinv", *words])
            advise(self.settings, f"{self.counts['done']} done and kept, {left} left; {does}: {again}")

    def close(self, plan: Plan) -> int:
        """Say what the run has come to; returns the exit status."""
        lost = 0 if self.manifest is None else self.manifest.log.lost
        if plan.batch:
            counts = self.counts
            remedy = " (--overwrite makes them anew)" if counts[EXISTS] else ""
            parts = [
                f"{counts['done']} done",
                f"{counts[EXISTS]} skipped because they exist{remedy}",
                f"{counts[BY_ANOTHER]} {BY_ANOTHER}" if counts[BY_ANOTHER] else "",
                f"{counts['left out']} left out" if counts["left out"] else "",
                f"{plan.results} left alone, being results" if plan.results else "",
                f"{counts['failed']} failed",
                f"{lost} missing in {NAME}" if lost else "",
            ]
            where = f"; {plan.folder} has them, and {NAME}" if plan.folder is not None and counts["done"] else ""
            notice(self.settings, f"{', '.join(filter(None, parts))}{where}")
        return 1 if self.counts["failed"] or lost else 0

    def _note(self, record: dict[str, Any]) -> None:
        if self.manifest is not None:
            self.manifest.add(record)


Outcome = partial[None]
"""What has become of a picture: a method of `Ledger` with all its arguments but the ledger."""


def failure(source: str, error: Exception, settings: Settings, *, batch: bool) -> int:
    """Report an input that failed, and return 1 for counting; outside of a batch the error is raised."""
    if not batch:
        vars(error)["source"] = source  # for the record
        raise error
    message, shown = describe(error), printable(source)
    emit(settings, {"input": source, "error": message})
    if settings.debug:
        say_traceback(error)
    say(f"scoreinv: error: {message if shown in message else f'{shown}: {message}'}")
    return 1
