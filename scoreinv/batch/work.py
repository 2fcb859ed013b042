"""One picture: read it and its files, run the task, write the results, and describe them in a row.

`--json` prints the rows, and the manifest records them. A row has the keys input, output, outputs, seconds, nfe,
method, model, notes and the task's figures; or input and error.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from scoreinv import files, imaging, inputs
from scoreinv.batch.plan import BY_ANOTHER, AuxiliaryFiles, Job, OutputOptions, Row
from scoreinv.files.read import decode
from scoreinv.files.urls import is_url
from scoreinv.imaging.records import Record
from scoreinv.inputs.mask_options import DAMAGE_SUFFIX
from scoreinv.models.loading import Machine, Models, Role
from scoreinv.system.errors import CheckpointError, ExistsError, InputError
from scoreinv.system.files import STREAM
from scoreinv.system.memory import keep_freed
from scoreinv.system.text import printable
from scoreinv.tasks.holes import MOSTLY_HOLE
from scoreinv.tasks.notes import Note, command_line_text, info, warning
from scoreinv.tasks.once import once
from scoreinv.tasks.outcome import DeblurOutcome, Outcome
from scoreinv.tasks.provenance import changes_of, with_provenance
from scoreinv.tasks.requests import Inputs, Request
from scoreinv.tasks.table import Task

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """The task to run on each picture, and its settings. Picklable, to be sent to worker processes.

    Attributes:
        task: an entry of the table of tasks.
        request: the task's settings.
        models: names of the models, and their device and precision.
        auxiliary: inputs and outputs apart from photos and results.
        options: options of reading and writing pictures.
        batch: whether existing results are kept, and the next picture is processed after a failure.
        hashed: whether rows have the hash of the model.
        dry_run: whether only the inputs are checked; rows then have the files that would be written.
        describe: returns one line about an error, for rows.
    """

    task: Task
    request: Request
    models: Models
    auxiliary: AuxiliaryFiles = field(default_factory=AuxiliaryFiles)
    options: OutputOptions = field(default_factory=OutputOptions)
    batch: bool = False
    hashed: bool = False
    dry_run: bool = False
    describe: Callable[[BaseException], str] = str

    @property
    def roles(self) -> list[Role]:
        """Roles of the models that the request needs; rows name the first."""
        return self.request.roles(self.auxiliary.given)

    @property
    def keeps(self) -> bool:
        """Whether existing results are kept: in a batch without --overwrite."""
        return self.batch and not self.options.overwrite

    def on(self, machine: Machine) -> Work:
        """Return this work with its models on another machine."""
        return replace(self, models=replace(self.models, machine=machine))

    def check(self) -> None:
        """Raise InputError if a model or the device does not exist, or no reference has colours."""
        self.models.machine.check()
        for source in filter(None, map(self.models.source, self.roles)):
            source.check()
        _read_references(self.auxiliary.references)

    def provenance(self, method: str) -> Row:
        """Return the seed, model, method, device and precision of a result, for its row."""
        row: Row = {"seed": getattr(self.request, "seed", 0), "model": None, "method": method}
        source = self.models.source(self.roles[0]) if self.roles else None
        if source is None:  # without a model: on the CPU, in the picture's sample type
            return row | {"device": "cpu", "precision": None}
        row |= source.record()
        if self.hashed:
            row["model_sha256"] = source.sha256
        if self.roles[0] != "colorize" and "colorize" in self.roles:
            colorizer = self.models.source("colorize")
            row["color_model"] = None if colorizer is None else colorizer.record()["model"]
        return row


def prepare(job: Job, work: Work) -> tuple[Inputs, list[Note]]:
    """Read a picture and its files, and check that its results can be written.

    Returns:
        The inputs of the task, and notes about the photo's file.

    Raises InputError if anything is wrong with them.
    """
    options, auxiliary = work.options, work.auxiliary
    decoded = decode(job.source, options.frame)
    picture, notes = decoded.picture, [warning("file_converted", change=decoded.note)] if decoded.note else []
    if Path(job.output).parent.is_dir() or not (work.batch or options.names_folder):  # else the folder is created later
        for output in job.outputs_to_write(keep=work.keeps):
            files.check_output(output, overwrite=options.overwrite)
    try:
        files.check_format(job.output, work.request.result_of(picture))
    except InputError as error:
        raise InputError(f"{job.source}: {error}") from error
    masks, hole, avoid = auxiliary.masks, None, None
    if job.mask is not None:
        hole = inputs.read_mask(
            job.mask,
            picture.size,
            threshold=masks.mask_threshold,
            invert=masks.invert_mask,
            grow=masks.grow or 0,
            may_be_black=Path(job.mask).stem.endswith(DAMAGE_SUFFIX),
        )
        share = float(hole.mean())
        if work.task.fills and share > MOSTLY_HOLE:  # before the fill, which would take long and be useless
            _log.warning("%s: %s", job.source, command_line_text(warning("mask_mostly_hole", share=share).row()))
    if job.avoid is not None:
        threshold = masks.mask_threshold
        avoid = inputs.read_mask(job.avoid, picture.size, threshold=threshold, invert=None, may_be_black=True)
    hints = None if auxiliary.hints is None else inputs.read_hints(auxiliary.hints, picture.size)
    return Inputs(picture, hole, avoid, hints, _read_references(auxiliary.references)), notes


@lru_cache(maxsize=1)
def _read_references(paths: tuple[str, ...]) -> list[imaging.Picture]:
    """Read reference photos, once: tasks cache the features of a reference by its `Picture` object."""
    return inputs.read_references(paths)


def process(job: Job, work: Work) -> Row:
    """Read a picture, run the task, write the results, and return the row.

    A batch keeps existing samples and writes the missing ones, since a sample does not depend on the number of samples.

    Raises:
        CheckpointError: a model cannot be used, so no other picture would succeed.
        ScoreinvError, OSError: any other failure, outside a batch; in a batch the row has the error.
    """
    todo = job.outputs_to_write(keep=work.keeps)
    if not todo:
        return job.finished_row(BY_ANOTHER)
    try:
        if work.dry_run:
            if not is_url(job.source):  # nothing is fetched
                prepare(job, work)
            return {"input": job.source, "outputs": todo, **({"beside": [*job.auxiliary]} if job.auxiliary else {})}
        given, notes = prepare(job, work)
        keep_freed()
        if work.roles or "torch" in sys.modules:  # some tasks compute without a model
            work.models.machine.start_torch()
        started = time.monotonic()
        outcome = once(work.task, given, work.request, work.models, timed=work.options.record_time)
        if not work.options.provenance and job.changes is None:
            outcome = replace(outcome, provenance=None)
        notes += outcome.notes
        outputs, pictures = job.outputs, outcome.samples if len(job.outputs) > 1 else [outcome.image]
        if len(outputs) > 1 and outcome.std is not None and not outcome.std.any():
            notes.append(info("samples_equal"))
        if job.changes is not None and outcome.provenance is not None:
            # No earlier run has finished this picture, so a batch may replace its mask.
            mask = changes_of(outcome, given.picture, pictures)
            _write_auxiliary(job.changes, mask, work.options.overwrite or work.batch)
        written = _write(job, work, outcome, dict(zip(outputs, pictures, strict=True)), todo)
    except CheckpointError:
        raise
    except ExistsError:
        if work.batch:
            return job.finished_row(BY_ANOTHER)
        raise
    except Exception as error:
        if work.batch:
            _log.debug("%s", printable(job.source), exc_info=True)
            return {"input": job.source, "error": work.describe(error)}
        vars(error)["source"] = job.source
        raise
    return _row(job, work, outcome, written, time.monotonic() - started, notes)


def _row(
    job: Job, work: Work, outcome: Outcome[imaging.Picture], written: list[str], seconds: float, notes: list[Note]
) -> Row:
    """Return the row of a finished picture."""
    row: Row = {"input": job.source, "output": written[0], "outputs": written}
    row |= {"seconds": round(seconds, 3), "nfe": outcome.nfe}
    row |= work.provenance(outcome.method) | outcome.figures() | {"notes": [note.row() for note in notes]}
    if job.uncertainty is not None and outcome.std is not None:
        row["uncertainty"] = job.uncertainty
    if job.kernel_out is not None:
        row["kernel_out"] = job.kernel_out
    if isinstance(outcome.provenance, Record):
        row["record"] = outcome.provenance.id
        if job.changes is not None:
            row["changes"] = job.changes
    return row


def _write(
    job: Job, work: Work, outcome: Outcome[imaging.Picture], pictures: dict[str, imaging.Picture], todo: list[str]
) -> list[str]:
    """Write the results in `todo` and the auxiliary files; return the paths of the results.

    Raises ExistsError if another process has written all results meanwhile; outside a batch, if any exists.
    """
    # No earlier run has finished this picture, so a batch may replace its auxiliary files.
    replace = work.options.overwrite or work.batch
    if job.uncertainty is not None and outcome.std is not None:
        _write_auxiliary(job.uncertainty, imaging.Picture(imaging.deviation_map(outcome.std)), replace)
    if job.kernel_out is not None and isinstance(outcome, DeblurOutcome):
        _write_auxiliary(job.kernel_out, inputs.picture_of_kernel(outcome.point_spread), replace)
    for path, picture in zip(job.steps, outcome.step_pictures(), strict=True) if job.steps else ():
        if picture is not None:
            _write_auxiliary(path, picture, replace)
    if job.output != STREAM and not is_url(job.output):
        Path(job.output).parent.mkdir(parents=True, exist_ok=True)
    options, written, existing = work.options, [], None
    for path, picture in pictures.items():
        if path in todo:
            try:
                picture = with_provenance(outcome, picture) if options.provenance else picture
                files.write_picture(path, picture, overwrite=options.overwrite, quality=options.quality)
                written.append(path)
            except ExistsError as error:
                existing = error
    if existing is not None and not (written and work.batch):
        raise existing
    return written or [*pictures]


def _write_auxiliary(path: str, picture: imaging.Picture, overwrite: bool) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    files.write_picture(path, picture, overwrite=overwrite)
