"""The commands of the tasks on photographs, made from the table of tasks.

A command plans a batch, runs it, and prints its rows. The help imports this module, so functions import numpy and the
batch.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import fields, replace
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv import files, imaging
from scoreinv.batch.plan import AuxiliaryFiles, OutputOptions, Plan, Planner, expand, match_patterns
from scoreinv.cli.options import Common
from scoreinv.cli.render import Report, describe
from scoreinv.inputs.mask_options import MaskOptions
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.system.files import STREAM
from scoreinv.system.options import Setting
from scoreinv.system.progress_bar import progress_bar
from scoreinv.tasks.requests import RESTORATION, InpaintRequest, Request, RestoreRequest
from scoreinv.tasks.table import Task

if TYPE_CHECKING:
    from scoreinv.batch.work import Work

AUTO = "auto"
"""Value of --mask that means detected damage."""
_DEFAULT_MODELS = {each.name: each.default for each in fields(Models)}
_ADDED = {
    "uncertainty": Setting(
        "Also write a map of the samples' standard deviation; for several photos, a folder. Needs --samples.",
        metavar="FILE|FOLDER",
    ),
    "steps_to": Setting("Also write the mask of the damage and the photo after each step.", metavar="FOLDER"),
    "kernel_out": Setting(
        "Also write the blur's kernel, a picture for --kernel; for several photos, a folder.", metavar="FILE|FOLDER"
    ),
}


def command_of(task: Task) -> Callable[..., None]:
    """Return the command of a task: a function whose signature has the task's inputs, settings and models."""

    def add(name: str, kind: Any, default: Any = Parameter.empty) -> None:
        parameters.append(Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=default))

    parameters: list[Parameter] = []
    metavar, words = task.photo
    add(
        "photos",
        Annotated[
            str if task.one_photo else list[str], typer.Argument(metavar=metavar, help=words, show_default=False)
        ],
    )
    for name, setting in task.takes.items():
        needed = task.needs_mask and name == "mask"
        add(
            setting.option or name,
            Annotated[str | None if not needed else str, setting],
            Parameter.empty if needed else None,
        )
    add("request", task.request)
    if "mask" in task.takes:
        add("masks", MaskOptions)
    for option, (role, words) in task.models.items():
        setting = Setting(words, metavar="NAME|FILE", advanced=True)
        add(option, Annotated[str, setting], _DEFAULT_MODELS[role])
    for option in task.adds:
        add(option, Annotated[str | None, _ADDED[option]], None)
    add("output", OutputOptions)
    add("common", Common)

    def process(**given: Any) -> None:
        _run(task, **given)

    process.__name__, process.__doc__ = task.name, task.help
    process.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return process


def unused_by(task: Task) -> set[str]:
    """Return the names of common options that the command of a task accepts but ignores."""
    unused = set() if "seed" in task.settings else {"seed"}
    if task.makes_mask:
        unused |= {"changes", "provenance", "record_time"}
    if task.one_photo:
        unused |= {"recursive", "shard", "workers"}
    return unused if task.models or not task.makes_mask else unused | {"device", "precision"}


def _run(
    task: Task,
    photos: list[str] | str,
    request: Any,
    output: OutputOptions,
    common: Common,
    masks: MaskOptions | None = None,
    **given: Any,
) -> None:
    """Run the command of a task.

    Args:
        given: values of the options of the task's inputs, models and further pictures.
    """
    masks = masks or MaskOptions()
    if task.one_photo and Path(str(photos)).is_dir():
        raise InputError(f"{photos}: is a folder: name a photo")
    mask = None if given.get("mask") == AUTO and task.fills else given.get("mask")
    if isinstance(request, RestoreRequest) and masks.grow is not None and not request.inpaint:
        raise InputError("--grow does not go with --no-inpaint")
    if isinstance(request, InpaintRequest) and request.classical is not None:
        for option, default in {"model": _DEFAULT_MODELS["inpaint"], "uncertainty": None}.items():
            if given[option] != default:
                raise InputError(f"--{option} does not go with --method {request.classical}, which needs no model")
    if masks.grow is not None and mask is None:
        if not task.fills:
            raise InputError("--grow needs a mask file")
        request = replace(request, grow=masks.grow)
    endings: tuple[str, ...] = ()
    if isinstance(request, RestoreRequest):
        request = replace(request, keep_steps=given["steps_to"] is not None)
        endings = tuple(f"_{number}_{step}" for number, step in enumerate(RESTORATION, 1) if step in request.steps)
    references = _references(given.get("like"), output)
    more = {name: given.get(name) for name in ("avoid", "hints", "uncertainty", "steps_to", "kernel_out")}
    auxiliary = AuxiliaryFiles(mask, masks=masks, references=references, endings=endings, **more)
    models = Models(**{role: given[option] for option, (role, _) in task.models.items()}, machine=common.machine)
    run([photos] if isinstance(photos, str) else photos, task, request, output, common, models, auxiliary)


def run(
    photos: list[str],
    task: Task,
    request: Request,
    output: OutputOptions,
    common: Common,
    models: Models,
    auxiliary: AuxiliaryFiles,
) -> None:
    """Process photos, and end the command with its exit status: 1 if a photo of a batch failed.

    Args:
        auxiliary: other inputs and outputs.

    Raises ScoreinvError or OSError if a single photo fails, or if all photos would fail.
    """
    from scoreinv.batch.work import Work

    auxiliary.check()
    request.check_given(auxiliary.given)
    request.check_libraries()
    if auxiliary.uncertainty is not None and request.samples < 2:
        raise InputError("--uncertainty needs several samples: add --samples 4")
    if output.changes is not None and task.makes_mask:
        raise InputError("--changes does not go with a task that makes masks")
    sources = {role: models.source(role) for role in request.roles(auxiliary.given)}
    named = {source.name: f"the {role} model" for role, source in sources.items() if source is not None}
    kind = "png" if task.makes_mask else None
    plan = Planner(match_patterns(photos), task.suffix, request.results, output, auxiliary, named, kind).plan()
    if common.json and any(job.output == STREAM for job in plan.jobs):
        raise InputError("-o - and --json both need stdout: name a file with -o")
    if auxiliary.uncertainty is not None:
        imaging.load_opencv()  # for its colour map
    hashed = plan.folder is not None or plan.store is not None
    work = Work(task, request, models, auxiliary, output, plan.batch, hashed, common.dry_run, describe)
    models.machine.check()
    raise typer.Exit(_process(plan, work, common))


def _references(items: list[str] | None, output: OutputOptions) -> tuple[str, ...]:
    """Return the paths of reference photographs; raise InputError if one is no file."""
    paths = tuple(path for item in items or () for path in expand(item, recursive=output.recursive))
    if STREAM in paths:
        raise InputError("--like -: name a file; stdin is for the photo")
    for path in paths:
        files.check_file(path, "--like")
    return paths


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
