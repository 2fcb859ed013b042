"""One picture: read it and its files, run the task, write the results, describe them in a row.

A row is what `--json` prints and the manifest records: input, output, outputs, seconds, nfe, method, model, notes and
the task's figures; or input, error.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from scoreinv import files, imaging, inputs
from scoreinv.batch.outputs import STREAM
from scoreinv.batch.plan import Job
from scoreinv.batch.urls import exists, is_url, local_copy, with_urls
from scoreinv.inputs.mask_options import MaskOptions
from scoreinv.inputs.masks import read_hole
from scoreinv.models.loading import Models, Role
from scoreinv.system import errors
from scoreinv.system.errors import CheckpointError, ExistsError, InputError
from scoreinv.system.memory import keep_freed
from scoreinv.tasks.callbacks import Callback
from scoreinv.tasks.notes import info
from scoreinv.tasks.outcome import Outcome
from scoreinv.tasks.requests import Inputs, Request

_log = logging.getLogger(__name__)

Row = dict[str, Any]
Task = Callable[[Inputs, Any, Models, Callback | None], Outcome[imaging.Picture]]

EXISTS = "exists"
"""Reason of a row whose results were there before the run."""
BY_ANOTHER = "by another process"
"""Reason of a row whose results another process wrote during the run."""


@dataclass(frozen=True)
class Work:
    """What is done with each picture. It can be pickled, so that a worker process gets jobs and this.

    Attributes:
        task: a function of `scoreinv.tasks`, as `inpaint_picture`.
        request: its settings.
        models: names of the models, and where they compute.
        roles: the models that are used; rows name the first.
        masks: how mask files are read.
        hints: path of colour hints for every picture.
        references: paths of reference photos.
        frame: of pictures with several frames.
        quality: of lossy files.
        overwrite: replace existing files.
        batch: finished results are kept, and the next picture follows a failed one.
        makes_folders: the folders of results are made with the first result.
        hashed: rows have the hash of the model.
        describe: returns the line about an error, for rows.
    """

    task: Task
    request: Request
    models: Models
    roles: tuple[Role, ...] = ()
    masks: MaskOptions = field(default_factory=MaskOptions)
    hints: str | None = None
    references: tuple[str, ...] = ()
    frame: int | None = None
    quality: int | None = None
    overwrite: bool = False
    batch: bool = False
    makes_folders: bool = False
    hashed: bool = False
    describe: Callable[[BaseException], str] = errors.describe

    def check(self) -> None:
        """Raise InputError if a model or the device does not exist, or no reference has colours."""
        self.models.machine.check()
        for source in filter(None, map(self.models.source, self.roles)):
            source.check()
        _read_references(self.references)

    def provenance(self, method: str) -> Row:
        """Return how a result was made: seed, model, method, device and precision."""
        row: Row = {"seed": getattr(self.request, "seed", 0), "model": None, "method": method}
        source = self.models.source(self.roles[0]) if self.roles else None
        if source is None:  # on the CPU, in the picture's own numbers
            return row | {"device": "cpu", "precision": None}
        row |= source.record()
        if self.hashed:
            row["model_sha256"] = source.sha256
        if self.roles[0] != "colorize" and "colorize" in self.roles:
            colorizer = self.models.source("colorize")
            row["color_model"] = None if colorizer is None else colorizer.record()["model"]
        return row


def missing(job: Job, work: Work) -> list[str]:
    """Return the results to write: in a batch those that do not exist, unless they may be overwritten."""
    resumes = work.batch and not work.overwrite
    return [path for path in job.outputs if not (resumes and exists(path))]


def skipped(job: Job, reason: str) -> Row:
    """Return the row of a picture whose results exist."""
    outputs = {"output": job.outputs[0], "outputs": list(job.outputs)}
    return {"input": job.source, **outputs, "skipped": reason, "finished": True}


def prepare(job: Job, work: Work) -> Inputs:
    """Read a picture and its files, and check that its results can be written.

    Raises InputError if anything is wrong with them.
    """
    picture = files.read_picture(job.source, work.frame)
    if Path(job.output).parent.is_dir() or not work.makes_folders:
        for output in missing(job, work):
            files.check_output(output, overwrite=work.overwrite)
    try:
        files.check_format(job.output, work.request.result_of(picture))
    except InputError as error:
        raise InputError(f"{job.source}: {error}") from error
    hole = avoid = None
    if job.mask is not None:
        hole = read_hole(job.mask, picture.size, work.masks)
    if job.avoid is not None:
        avoid = inputs.read_avoided(job.avoid, picture.size, threshold=work.masks.mask_threshold)
    hints = None if work.hints is None else inputs.read_hints(work.hints, picture.size)
    references = _read_references(work.references)
    given = Inputs(picture, hole, avoid, hints, references)
    work.request.check_given(given.given)
    return given


@lru_cache(maxsize=1)
def _read_references(paths: tuple[str, ...]) -> list[imaging.Picture]:
    """Read the reference photos that have colours, once a process: what a model sees in them is kept by picture.

    Raises InputError if none has colours.
    """
    pictures = {path: inputs.read_reference(path) for path in paths}
    coloured = [picture for picture in pictures.values() if inputs.gives_colours(picture)]
    if gray := [path for path, picture in pictures.items() if picture not in coloured]:
        if not coloured:
            raise InputError(f"{gray[0]}: is grey, and gives no colours")
        _log.warning("grey reference photos are left out: %s", ", ".join(gray))
    return coloured


def process(job: Job, work: Work, callback: Callback | None = None) -> Row:
    """Read a picture, run the task, write the results, and return the row.

    Existing results of a batch are kept: samples do not depend on their number.

    Raises:
        CheckpointError: a model cannot be used: no other picture would succeed.
        ScoreinvError, OSError: outside a batch, whatever fails; in a batch the row has the error.
    """
    todo = missing(job, work)
    if not todo:
        return skipped(job, BY_ANOTHER)
    if is_url(job.source):
        return _process_copy(job, work, callback)
    try:
        given = prepare(job, work)
        keep_freed()
        if work.roles or "torch" in sys.modules:  # some tasks compute without a model
            work.models.machine.start_torch()
        started = time.monotonic()
        outcome = work.task(given, work.request, work.models, callback)
        notes = list(outcome.notes)
        outputs, pictures = job.outputs, outcome.samples if len(job.outputs) > 1 else [outcome.image]
        if len(outputs) > 1 and outcome.std is not None and not outcome.std.any():
            notes.append(info("samples_equal"))
            outputs, pictures, todo = outputs[:1], pictures[:1], todo[:1]
        written = _write(job, work, outcome, dict(zip(outputs, pictures, strict=True)), todo)
    except CheckpointError:
        raise
    except ExistsError:
        if work.batch:
            return skipped(job, BY_ANOTHER)
        raise
    except Exception as error:
        if work.batch:
            _log.debug("%s", job.source, exc_info=True)
            return {"input": job.source, "error": work.describe(error)}
        vars(error)["source"] = job.source
        raise
    row: Row = {"input": job.source, "output": written[0], "outputs": written}
    row |= {"seconds": round(time.monotonic() - started, 3), "nfe": outcome.nfe}
    row |= work.provenance(outcome.method) | outcome.figures() | {"notes": [note.row() for note in notes]}
    if job.uncertainty is not None and outcome.std is not None:
        row["uncertainty"] = job.uncertainty
    return row


def _process_copy(job: Job, work: Work, callback: Callback | None) -> Row:
    """Process a picture of an object store: copied here, and its results back."""
    urls: dict[str, str] = {}
    try:
        with local_copy(job) as (local, urls):
            return with_urls(process(local, work, callback), urls)
    except CheckpointError:
        raise
    except Exception as error:
        _log.debug("%s", job.source, exc_info=True)
        return {"input": job.source, "error": with_urls(work.describe(error), urls)}


def _write(
    job: Job, work: Work, outcome: Outcome[imaging.Picture], pictures: dict[str, imaging.Picture], todo: list[str]
) -> list[str]:
    """Write the results that are missing, and the files beside them; return the results' paths.

    Raises ExistsError if another process wrote all of them meanwhile.
    """
    # Files beside the results are of a picture that no earlier run finished, so a batch may replace them.
    replace = work.overwrite or work.batch
    if job.uncertainty is not None and outcome.std is not None:
        _write_beside(job.uncertainty, imaging.Picture(imaging.deviation_map(outcome.std)), replace)
    for path, picture in zip(job.steps, outcome.step_pictures(), strict=True) if job.steps else ():
        if picture is not None:
            _write_beside(path, picture, replace)
    if job.output != STREAM:
        Path(job.output).parent.mkdir(parents=True, exist_ok=True)
    written, existing = [], None
    for path, picture in pictures.items():
        if path in todo:
            try:
                files.write_picture(path, picture, overwrite=work.overwrite, quality=work.quality)
                written.append(path)
            except ExistsError as error:
                existing = error
    if existing is not None and not (written and work.batch):
        raise existing
    return written or [*pictures]


def _write_beside(path: str, picture: imaging.Picture, overwrite: bool) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    files.write_picture(path, picture, overwrite=overwrite)
