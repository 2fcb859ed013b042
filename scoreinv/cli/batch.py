"""Many pictures by one command: each reported as it finishes, failures counted, finished files skipped."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from scoreinv.cli.common import Settings
from scoreinv.cli.failures import describe
from scoreinv.cli.manifest import Manifest
from scoreinv.cli.messages import emit, notice
from scoreinv.cli.outputs import STREAM, Job, Plan, check_outputs
from scoreinv.cli.progress import ProgressBar, duration
from scoreinv.cli.runtime import Session
from scoreinv.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Report:
    """What is told of a finished picture: evaluations of the network for one sample, and the method used."""

    nfe: int
    method: str


@dataclass(frozen=True)
class Work(Generic[T]):
    """What a command does with one picture.

    Attributes:
        read: opens and checks the input; whatever it raises concerns this picture alone.
        compute: does the work and writes the outputs.
        files: results of a picture: above 1 they are numbered.
    """

    read: Callable[[Job], T]
    compute: Callable[[T, list[str], ProgressBar], Report]
    files: int


def run(plan: Plan, work: Work[T], session: Session) -> int:
    """Do all jobs; returns the exit status, 1 when any picture of a batch failed.

    The failure of a single picture, and that of the model, is raised. In a batch the next picture follows.
    """
    settings = session.settings
    if settings.json and any(job.output == STREAM for job in plan.jobs):
        raise InputError("the picture and --json both want stdout: name a file by -o")
    manifest = None if plan.folder is None else Manifest(plan.folder)
    failed = skipped = 0
    for number, job in enumerate(plan.jobs, 1):
        outputs = job.outputs(work.files)
        if plan.batch and not settings.overwrite and all(Path(output).exists() for output in outputs):
            skipped += 1
            emit(settings, {"input": job.source, "output": outputs[0], "outputs": outputs, "skipped": "exists already"})
            continue
        try:
            check_outputs(outputs, overwrite=settings.overwrite)
            item = work.read(job)
        except Exception as error:
            failed += failure(job.source, error, settings, batch=plan.batch, manifest=manifest)
            continue
        session.load()  # outside: a model that cannot be used ends the whole run
        try:
            title = f"[{number}/{len(plan.jobs)}] {job.source}" if plan.batch else job.source
            _compute(job, item, outputs, title, work, session, manifest)
        except Exception as error:
            failed += failure(job.source, error, settings, batch=plan.batch, manifest=manifest)
    if plan.batch:
        done = len(plan.jobs) - failed - skipped
        notice(settings, f"{done} done, {skipped} skipped because they exist, {failed} failed")
    return 1 if failed else 0


def failure(source: str, error: Exception, settings: Settings, *, batch: bool, manifest: Manifest | None = None) -> int:
    """Report an input that failed: 1, for counting; outside of a batch the error is raised on."""
    message = describe(error)
    emit(settings, {"input": source, "error": message})
    if manifest is not None:
        manifest.add({"input": source, "error": message})
    if not batch:
        raise error
    if settings.debug:
        traceback.print_exception(error)
    sys.stderr.write(f"scoreinv: error: {message if source in message else f'{source}: {message}'}\n")
    return 1


def _compute(
    job: Job,
    item: T,
    outputs: list[str],
    title: str,
    work: Work[T],
    session: Session,
    manifest: Manifest | None,
) -> None:
    settings = session.settings
    started = time.monotonic()
    with ProgressBar(title, quiet=settings.quiet) as bar:
        report = work.compute(item, outputs, bar)
    seconds = time.monotonic() - started
    record = {
        "input": job.source,
        "output": outputs[0],
        "outputs": outputs,
        "seconds": round(seconds, 3),
        "nfe": report.nfe,
        **session.record(report.method),
    }
    emit(settings, record)
    if manifest is not None:
        manifest.add(record | {"model_sha256": session.model_sha256})
    if outputs != [STREAM]:
        notice(settings, f"{', '.join(outputs)} ({duration(seconds)})")
