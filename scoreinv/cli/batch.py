"""Many pictures by one command: each reported as it finishes, failures counted, finished files skipped."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from scoreinv.cli.common import Settings
from scoreinv.cli.failures import describe
from scoreinv.cli.manifest import Manifest
from scoreinv.cli.messages import emit, notice, warn
from scoreinv.cli.outputs import STREAM, Job, Plan, check_outputs
from scoreinv.cli.progress import ProgressBar, duration
from scoreinv.cli.runtime import Session
from scoreinv.errors import InputError

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture

T = TypeVar("T")


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
    """Do all jobs; returns the exit status, 1 when any picture of a batch failed.

    session, second: the models of the work, loaded once the first picture has been read.

    The failure of a single picture, and that of the model, is raised. In a batch the next picture follows.
    """
    settings = session.settings
    if settings.json and any(job.output == STREAM for job in plan.jobs):
        raise InputError("the picture and --json both want stdout: name a file by -o")
    plan.make_folders()
    manifest = None if plan.folder is None else Manifest(plan.folder)
    if manifest is not None:
        manifest.check()
    failed = skipped = left_out = 0
    for number, job in enumerate(plan.jobs, 1):
        outputs = job.outputs(work.files)
        if why := work.left_out(job):
            left_out += 1
            warn(f"{job.source}: skipped, {why}")
            emit(settings, {"input": job.source, "skipped": why})
            if manifest is not None:
                manifest.add({"input": job.source, "skipped": why})
            continue
        missing = outputs if settings.overwrite or not plan.batch else [o for o in outputs if not Path(o).exists()]
        if not missing:
            skipped += 1
            emit(settings, {"input": job.source, "output": outputs[0], "outputs": outputs, "skipped": "exists already"})
            continue
        try:
            check_outputs(missing, overwrite=settings.overwrite)
            item = work.read(job)
        except Exception as error:
            failed += failure(job.source, error, settings, batch=plan.batch, manifest=manifest)
            continue
        for model in filter(None, (session, second)):
            model.load()  # outside: a model that cannot be used ends the whole run
        try:
            title = f"[{number}/{len(plan.jobs)}] {job.source}" if plan.batch else job.source
            _do(job, item, missing, title, work, session, manifest)
        except Exception as error:
            failed += failure(job.source, error, settings, batch=plan.batch, manifest=manifest)
    if plan.batch:
        done = len(plan.jobs) - failed - skipped - left_out
        rest = f", {left_out} left out" if left_out else ""
        remedy = " (--overwrite makes them anew)" if skipped else ""
        notice(settings, f"{done} done, {skipped} skipped because they exist{remedy}{rest}, {failed} failed")
    return 1 if failed else 0


def failure(source: str, error: Exception, settings: Settings, *, batch: bool, manifest: Manifest | None = None) -> int:
    """Report an input that failed: 1, for counting; outside of a batch the error is raised on."""
    if not batch:
        error.source = source
        raise error
    message = describe(error)
    emit(settings, {"input": source, "error": message})
    if manifest is not None:
        manifest.add({"input": source, "error": message})
    if settings.debug:
        traceback.print_exception(error)
    sys.stderr.write(f"scoreinv: error: {message if source in message else f'{source}: {message}'}\n")
    return 1


def _do(
    job: Job,
    item: T,
    outputs: list[str],
    title: str,
    work: Work[T],
    session: Session,
    manifest: Manifest | None,
) -> None:
    from scoreinv.imaging.files import write_picture

    settings = session.settings
    started = time.monotonic()
    with ProgressBar(title, quiet=settings.quiet) as bar:
        report = work.compute(item, bar)
    # What an earlier run wrote is left: the first samples are the same however many are drawn.
    for path, picture in zip(job.outputs(work.files), report.pictures, strict=True):
        if path in outputs:
            write_picture(path, picture, overwrite=settings.overwrite, quality=work.quality)
    seconds = time.monotonic() - started
    record = {
        "input": job.source,
        "output": outputs[0],
        "outputs": outputs,
        "seconds": round(seconds, 3),
        "nfe": report.nfe,
        **session.record(report.method),
        **report.more,
    }
    emit(settings, record)
    if manifest is not None:
        manifest.add(record | {"model_sha256": session.model_sha256})
    if outputs != [STREAM]:
        notice(settings, f"{', '.join(outputs)} ({duration(seconds)})")
