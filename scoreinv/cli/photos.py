"""Run a task on photographs: from the options of a command to a batch, and from its rows to lines on the terminal.

Help imports this module, so numpy and the batch are imported by the functions.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from scoreinv import imaging
from scoreinv.batch.outputs import STREAM, check_file
from scoreinv.batch.plan import OutputOptions, Plan, beside, match_masks, plan
from scoreinv.batch.urls import exists
from scoreinv.cli.options import Common
from scoreinv.cli.render import Report, describe, failure, print_traceback, rehearse
from scoreinv.inputs.mask_options import MaskOptions
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.system.terminal import progress_bar
from scoreinv.tasks.requests import Given, Request

if TYPE_CHECKING:
    from scoreinv.batch.work import Task, Work

AUTO = "auto"
"""Mask that stands for detected damage."""


@dataclass(frozen=True)
class Beside:
    """What the user gives with the photos, or wants beside the results, as paths.

    Attributes:
        mask: None: the task detects damage, if it fills any.
        masks: how mask files are read.
        steps_to: folder for the picture after each step.
        endings: what the names of these pictures add to the photo's.
    """

    mask: str | None = None
    avoid: str | None = None
    masks: MaskOptions = field(default_factory=MaskOptions)
    hints: str | None = None
    references: tuple[str, ...] = ()
    uncertainty: str | None = None
    steps_to: str | None = None
    endings: tuple[str, ...] = ()

    @property
    def given(self) -> set[Given]:
        """Names of what is given for the task."""
        present: dict[Given, bool] = {
            "mask": self.mask is not None,
            "avoid": self.avoid is not None,
            "hints": self.hints is not None,
            "references": bool(self.references),
        }
        return {name for name, is_given in present.items() if is_given}

    def check(self) -> None:
        """Raise InputError for files that do not exist or options without a mask file."""
        files = (self.mask, self.avoid)
        if files.count(STREAM) == 2:
            raise InputError("--avoid -: stdin can be read once, and --mask has it")
        if self.masks.mask_threshold == 1:
            raise InputError("--mask-threshold 1: no value is above it: give less than 1")
        if self.masks.changes_files and (self.mask is None and (self.avoid is None or self.masks.invert_mask)):
            raise InputError("--mask-threshold and --invert-mask need a mask file")
        if self.hints == STREAM:
            raise InputError("--hints -: name a file; stdin is for the photo")
        if self.hints is not None:
            check_file(self.hints, "--hints")

    def inputs(self) -> dict[str, str | None]:
        """Return all paths by their role."""
        references = {f"a photo of --like ({path})": path for path in self.references}
        own = {"the mask": self.mask, "the mask of --avoid": self.avoid, "the hints": self.hints}
        return own | references | {"--steps-to": self.steps_to}


def run(
    photos: list[str],
    task: Task,
    request: Request,
    output: OutputOptions,
    common: Common,
    models: Models,
    *,
    suffix: str,
    given: Beside | None = None,
    kind: str | None = None,
) -> None:
    """Process photos, and end the command: with status 1 if a photo of a batch failed.

    Args:
        suffix: of the results' names.
        given: what is given beside the photos.
        kind: default file suffix of results; None: tif for a TIFF, else png.

    Raises ScoreinvError or OSError for a single photo, and whatever would fail for all.
    """
    from scoreinv.batch.work import Work

    given = given or Beside()
    given.check()
    request.check_given(given.given)
    roles = tuple(request.roles(given.given))
    named = {f"the {role} model": source.name for role in roles if (source := models.source(role)) is not None}
    jobs = plan(photos, suffix, request.results, output, given.inputs() | named, kind)
    jobs = _with_files(jobs, given, request, suffix)
    if common.json and any(job.output == STREAM for job in jobs.jobs):
        raise InputError("-o - and --json both need stdout: name a file with -o")
    work = Work(
        task=task,
        request=request,
        models=models,
        roles=roles,
        masks=given.masks,
        hints=given.hints,
        references=given.references,
        frame=output.frame,
        quality=output.quality,
        overwrite=common.overwrite,
        batch=jobs.batch,
        makes_folders=jobs.batch or bool(jobs.folders),
        hashed=jobs.folder is not None or jobs.store is not None,
        describe=describe,
    )
    models.machine.check()
    raise typer.Exit(_rehearse(jobs, work, common) if common.dry_run else _process(jobs, work, common))


def _with_files(jobs: Plan, given: Beside, request: Request, suffix: str) -> Plan:
    """Return the plan with the masks of each job, and the files beside its results."""
    change: dict[str, dict[str, object]] = {job.source: {} for job in jobs.jobs}
    left_out: dict[str, str] = {}
    masks: list[str] = []
    if given.mask is not None:
        found, left_out = match_masks(given.mask, "--mask", jobs)
        for source, path in found.items():
            change[source]["mask"] = path
        masks += found.values()
    if given.avoid is not None:  # a photo without one is filled from all of it
        found, _ = match_masks(given.avoid, "--avoid", jobs)
        for source, path in found.items():
            change[source]["avoid"] = path
        masks += found.values()
    if given.uncertainty is not None:
        if request.samples < 2:
            raise InputError("--uncertainty needs several samples: add --samples 4")
        for source, paths in beside("--uncertainty", given.uncertainty, jobs, more=masks).items():
            (change[source]["uncertainty"],) = paths
        imaging.load_opencv()  # for its colour map
    if given.steps_to is not None:
        named = beside("--steps-to", given.steps_to, jobs, endings=given.endings, suffix=suffix, more=masks)
        for source, paths in named.items():
            change[source]["steps"] = paths
    return jobs.with_jobs(change, left_out)


def _process(jobs: Plan, work: Work, common: Common) -> int:
    """Process the photos and print their rows; return the exit status."""
    from scoreinv.batch.manifest import manifest_of
    from scoreinv.batch.run import run as run_batch
    from scoreinv.batch.run import unneeded

    wanted = [job for job in jobs.own if unneeded(job, jobs, work) is None]
    replacing = common.overwrite and any(exists(path) for job in wanted for path in job.outputs)
    title = wanted[0].source if len(wanted) == 1 else f"{len(wanted)} photographs"
    report = Report(jobs, common, len(wanted))
    with manifest_of(jobs) as manifest:
        try:
            with (
                progress_bar(title, quiet=common.quiet or (common.json and jobs.batch)) as show,
                closing(run_batch(jobs, work, manifest, show)) as rows,
            ):
                for row in rows:
                    report.add(row)
        except KeyboardInterrupt:
            report.interrupted(replacing=replacing)
            raise
        lost = 0 if manifest is None else manifest.lost
    return report.close(lost)


def _rehearse(jobs: Plan, work: Work, common: Common) -> int:
    """Check models and inputs, and print what would be written; return the exit status."""
    from scoreinv.batch.run import unneeded
    from scoreinv.batch.work import missing, prepare

    work.check()
    failed = 0
    for job in jobs.own:
        row = unneeded(job, jobs, work)
        if row is not None:
            row = {key: row[key] for key in ("input", "skipped", "finished")}
            rehearse(common, row, f"{job.source}: would be skipped: {row['skipped']}")
            continue
        try:
            if jobs.store is None:
                prepare(job, work)
        except Exception as error:
            if not jobs.batch:
                vars(error)["source"] = job.source
                raise
            if common.debug:
                print_traceback(error)
            failure(common, {"input": job.source, "error": describe(error)})
            failed += 1
            continue
        outputs = missing(job, work) if jobs.store is None else list(job.outputs)
        text = f"{job.source}: would be written to {', '.join(outputs)}"
        record = {"input": job.source, "outputs": outputs}
        if job.beside:
            text += f"; with it, at most, {', '.join(job.beside)}"
            record["beside"] = list(job.beside)
        rehearse(common, record, text)
    return 1 if failed else 0
