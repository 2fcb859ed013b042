"""Run a task on photographs: plan a batch from the options of a command, run it, and print its rows.

The help imports this module, so functions import numpy and the batch.
"""

from __future__ import annotations

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

import typer

from scoreinv import imaging
from scoreinv.batch.plan import AuxiliaryFiles, OutputOptions, Plan, Planner, match_patterns
from scoreinv.cli.options import Common
from scoreinv.cli.render import Report, describe
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.system.files import STREAM
from scoreinv.system.progress_bar import progress_bar
from scoreinv.tasks.requests import Request

if TYPE_CHECKING:
    from scoreinv.batch.work import Task, Work

AUTO = "auto"
"""Value of --mask that means detected damage."""


def run(
    photos: list[str],
    task: Task,
    request: Request,
    output: OutputOptions,
    common: Common,
    models: Models,
    *,
    suffix: str,
    auxiliary: AuxiliaryFiles | None = None,
    kind: str | None = None,
) -> None:
    """Process photos, and end the command with its exit status: 1 if a photo of a batch failed.

    Args:
        suffix: suffix of the results' names.
        auxiliary: other inputs and outputs.
        kind: default file suffix of results; None: tif for a TIFF, else png.

    Raises ScoreinvError or OSError if a single photo fails, or if all photos would fail.
    """
    from scoreinv.batch.work import Work
    from scoreinv.tasks.provenance import REQUESTS

    auxiliary = auxiliary or AuxiliaryFiles()
    auxiliary.check()
    request.check_given(auxiliary.given)
    if auxiliary.uncertainty is not None and request.samples < 2:
        raise InputError("--uncertainty needs several samples: add --samples 4")
    sources = {role: models.source(role) for role in request.roles(auxiliary.given)}
    named = {source.name: f"the {role} model" for role, source in sources.items() if source is not None}
    if output.changes is not None and type(request) not in REQUESTS.values():
        raise InputError("--changes does not go with a task that makes masks")
    plan = Planner(match_patterns(photos), suffix, request.results, output, auxiliary, named, kind).plan()
    if common.json and any(job.output == STREAM for job in plan.jobs):
        raise InputError("-o - and --json both need stdout: name a file with -o")
    if auxiliary.uncertainty is not None:
        imaging.load_opencv()  # for its colour map
    hashed = plan.folder is not None or plan.store is not None
    work = Work(task, request, models, auxiliary, output, plan.batch, hashed, common.dry_run, describe)
    models.machine.check()
    raise typer.Exit(_process(plan, work, common))


def _process(plan: Plan, work: Work, common: Common) -> int:
    """Process the photos and print their rows; return the exit status."""
    from scoreinv.batch.manifest import manifest_of
    from scoreinv.batch.run import run as run_batch

    wanted = [job for job in plan.jobs if plan.row_if_skipped(job, overwrite=work.options.overwrite) is None]
    title = wanted[0].source if len(wanted) == 1 else f"{len(wanted)} photographs"
    report = Report(plan, common, len(wanted))
    with nullcontext() if common.dry_run else manifest_of(plan) as manifest:
        try:
            with (
                progress_bar(title, quiet=common.quiet or common.dry_run or (common.json and plan.batch)) as show,
                closing(run_batch(plan, work, show)) as rows,
            ):
                for row in rows:
                    if manifest is not None:
                        manifest.add(row)
                    report.add(row)
        except KeyboardInterrupt:
            report.interrupted()
            raise
        lost = 0 if manifest is None else manifest.lost
    return report.close(lost)
