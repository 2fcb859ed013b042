"""The one loop over photographs: each is read, computed, written and recorded, and the next follows where one fails.

A command says how one photograph is computed; `run` does the rest: what is there already is skipped and counted, so
that a run that was cut short goes on, results are whole or not there at all, and each is reported as it finishes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import typer

from scoreinv.cli.loading import Model
from scoreinv.cli.outputs import STREAM, check_beside, output_folders, refuse_inputs
from scoreinv.cli.plan import Job, Plan
from scoreinv.cli.record import BY_ANOTHER, COLUMNS, EXISTS, MANIFEST, Outcome, Record, Table, failure
from scoreinv.cli.report import notice, rehearse
from scoreinv.errors import ExistsError, InputError
from scoreinv.machine import device_of
from scoreinv.terminal import progress_bar

if TYPE_CHECKING:
    from scoreinv.cli.options import Common, Output
    from scoreinv.imaging.picture import Picture
    from scoreinv.tasks.results import Restored

Given = TypeVar("Given")
"""What belongs to a photograph beside its pixels: its mask, its hints."""
Progress = Callable[[float], None]
"""Called with the share of the work on a photograph that is done."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run(Generic[Given]):
    """A run over photographs: which they are, and what is done for each.

    Attributes:
        compute: gives what was made of a photograph by what `read` gave of it, and further entries of its record.
        models: what `compute` needs, loaded once a photograph has been read; the record names the first.
        read: gives what belongs to a photograph (None: nothing); what it raises concerns this photograph alone.
        result_of: gives a picture of the size and mode of the result (None: as the photograph), to check it early.
        left_out: why photographs are not done, by their sources.
        beside: the files that may be written beside the results.
        uncertainty: file of a map of where the samples differ; in a batch the folder of these.
        folders: of what is written beside the results.
    """

    plan: Plan
    output: Output
    common: Common
    compute: Callable[[Job, Picture, Given, Progress], tuple[Restored[Picture], dict[str, Any]]]
    models: Sequence[Model] = ()
    read: Callable[[Job, Picture], Given] | None = None
    result_of: Callable[[Job, Picture], Picture] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    beside: Callable[[Job], list[str]] = lambda job: []
    uncertainty: str | None = None
    folders: Set[Path] = frozenset()

    def map_of(self, job: Job) -> str | None:
        """The file of a map of where the samples of a photograph differ; None where none is asked for."""
        return None if self.uncertainty is None else map_of(job, self.uncertainty, batch=self.plan.batch)

    def missing(self, job: Job) -> list[str]:
        """The results to make; in a batch only those that do not exist, unless they may be replaced."""
        goes_on = self.plan.batch and not self.common.overwrite
        return [path for path in job.outputs if not (goes_on and os.path.exists(path))]  # noqa: PTH110 - no errors

    def settled(self, job: Job) -> Outcome | None:
        """What has become of a photograph where nothing is to be done; else None."""
        if not self.missing(job):
            return self._skipped(job, EXISTS)
        if job.source not in self.left_out:
            return None
        there = all(map(os.path.exists, job.outputs))
        record = {"input": job.source, "skipped": self.left_out[job.source], "finished": there}
        return Outcome(job.source, record, left_out=True)

    def opened(self, job: Job, missing: list[str]) -> tuple[Picture, Given]:
        """The photograph with what belongs to it, once it is certain that its results can be written."""
        from scoreinv.imaging.read import read_picture
        from scoreinv.imaging.write import check_format, check_output

        picture = read_picture(job.source, self.output.frame)
        folder = Path(job.output).parent
        if self.plan.folder is not None and not self.common.dry_run:
            folder.mkdir(parents=True, exist_ok=True)  # another run that ended without any result may have removed it
        if folder.is_dir() or folder not in self.plan.folders:  # which a rehearsal does not make
            for output in missing:
                check_output(output, overwrite=self.common.overwrite)
        check_format(job.output, picture if self.result_of is None else self.result_of(job, picture))
        given: Any = None if self.read is None else self.read(job, picture)
        return picture, given

    def one(self, job: Job, title: str = "", note: Callable[[float, float], str] | None = None) -> Outcome:
        """Read a photograph, do the work, and write the results; a model that cannot be used raises its error.

        Of samples, what an earlier run wrote is left: the first are the same however many are drawn.

        Args:
            title: what its progress is shown under; empty: it is not shown.
            note: what is shown beside it, see `progress_bar`.
        """
        from scoreinv.imaging.write import write_picture

        plan, common = self.plan, self.common
        missing = self.missing(job)
        if not missing:
            return self._skipped(job, BY_ANOTHER)
        try:
            picture, given = self.opened(job, missing)
        except Exception as error:
            return self._failed(job, error)
        for model in self.models:
            model.load()
        started = time.monotonic()
        written, there = [], None
        try:
            with progress_bar(title, quiet=common.quiet or not title, note=note) as show:
                made, more = self.compute(job, picture, given, show)
            if (where := self.map_of(job)) is not None and made.std is not None:
                from scoreinv.imaging.picture import Picture
                from scoreinv.imaging.sheet import deviation_map

                # In a batch one that is there is of a photograph that an earlier run did not finish.
                write_picture(where, Picture(deviation_map(made.std)), overwrite=common.overwrite or plan.batch)
                more = {"uncertainty": where} | more
            if plan.folder is not None:
                Path(job.output).parent.mkdir(parents=True, exist_ok=True)
            outputs, pictures = job.outputs, made.samples if len(job.outputs) > 1 else [made.image]
            if len(outputs) > 1 and made.std is not None and not made.std.any():
                notice(common, f"{job.source}: its samples do not differ: one is written")
                outputs, pictures = outputs[:1], pictures[:1]
            for path, result in zip(outputs, pictures, strict=True):
                if path in missing:
                    try:
                        write_picture(path, result, overwrite=common.overwrite, quality=self.output.quality)
                        written.append(path)
                    except ExistsError as error:  # another process wrote it meanwhile
                        there = error
            if there is not None and not (written and plan.batch):
                raise there
        except Exception as error:
            return self._failed(job, error)
        written = written or [*outputs]  # of one that an earlier run has written
        seconds = round(time.monotonic() - started, 3)
        _log.info("%s: by %s, the network ran %d times for a sample", job.source, made.method, made.nfe)
        record = {"input": job.source, "output": written[0], "outputs": written, "seconds": seconds, "nfe": made.nfe}
        if not self.models:  # on the CPU, in the picture's own numbers
            how = {"seed": common.seed or 0, "model": None, "method": made.method, "device": "cpu", "precision": None}
            return Outcome(job.source, record | how | more)
        model = self.models[0]
        sha256 = model.sha256 if plan.folder is not None else ""
        return Outcome(job.source, record | model.record(made.method) | more, model_sha256=sha256)

    def _skipped(self, job: Job, why: str) -> Outcome:
        there = {"output": job.outputs[0], "outputs": list(job.outputs)}
        return Outcome(job.source, {"input": job.source, **there, "skipped": why, "finished": True})

    def _failed(self, job: Job, error: Exception) -> Outcome:
        if isinstance(error, ExistsError) and self.plan.batch:
            return self._skipped(job, BY_ANOTHER)
        return Outcome(job.source, error=error)


def run(run: Run[Given]) -> None:
    """Do all photographs, and end the command: with 1 where one of a batch failed, or the manifest lacks a line.

    The failure of a single photograph, and that of a model, is raised. In a batch the next photograph follows.
    """
    plan, common = run.plan, run.common
    if common.json and any(job.output == STREAM for job in plan.jobs):
        raise InputError("the picture and --json both want stdout: name a file by -o")
    if not run.models and common.device not in ("auto", "cpu"):  # neither is absent, and torch is slow to import
        device_of(common.device)
    if common.dry_run:
        raise typer.Exit(_rehearse(run))
    maps = {Path(where).parent for job in plan.own if plan.batch and (where := run.map_of(job)) is not None}
    with output_folders(plan.folders | run.folders | maps, shared=run.output.shard is not None):
        manifest = None if plan.folder is None else Table(plan.folder / MANIFEST, COLUMNS)
        settled = {job: outcome for job in plan.own if (outcome := run.settled(job)) is not None}
        wanted = [job for job in plan.own if job not in settled]
        replacing = common.overwrite and any(os.path.lexists(path) for job in wanted for path in job.outputs)
        record = Record(plan, common, manifest, len(wanted))
        note = record.note if len(wanted) > 1 else None
        try:
            workers: int | Literal["ray"] = 1
            if plan.batch and wanted:
                from scoreinv.cli.workers import work_by, workers_for

                workers = workers_for(run, wanted)
            for number, job in enumerate(plan.own, 1):
                if job in settled:
                    record.add(settled[job])
                elif workers == 1:
                    title = f"[{number}/{len(plan.own)}] {job.source}" if plan.batch else job.source
                    record.add(run.one(job, title, note))
            if workers != 1:
                bar = progress_bar(f"{len(wanted)} photographs", quiet=common.quiet or common.json)
                begun = time.monotonic()
                with bar as show, closing(work_by(workers, run, wanted)) as outcomes:
                    for done, outcome in enumerate(outcomes, 1):
                        record.add(outcome)
                        pace = (time.monotonic() - begun) / done  # of all: they come in bursts
                        show(done / len(wanted), (len(wanted) - done) * pace)
        except KeyboardInterrupt:
            record.interrupted(replacing=replacing)
            raise
        raise typer.Exit(record.close())


def _rehearse(run: Run[Given]) -> int:
    """Check the models and all inputs, and say what would become of each; returns the exit status."""
    common = run.common
    for model in run.models:
        model.check()
    failed = 0
    for job in run.plan.own:
        settled, outputs = run.settled(job), run.missing(job)
        if settled is not None:
            record = {"input": job.source, "skipped": settled.record["skipped"]}
            record["finished"] = settled.record["finished"]
            rehearse(common, record, f"{job.source}: would be skipped, {record['skipped']}")
            continue
        try:
            run.opened(job, outputs)
        except Exception as error:
            failed += failure(job.source, error, common, batch=run.plan.batch)
            continue
        said = f"{job.source}: would be written to {', '.join(outputs)}"
        record = {"input": job.source, "outputs": outputs}
        beside = [*run.beside(job), *filter(None, [run.map_of(job)])]
        if beside:
            said += f"; with it, at most, {', '.join(beside)}"
            record["beside"] = beside
        rehearse(common, record, said)
    return 1 if failed else 0


def map_of(job: Job, path: str, *, batch: bool) -> str:
    """The file of a map beside the result: the path itself, or in a batch one in this folder that is named by it."""
    return str(Path(path) / job.inside / f"{Path(job.output).stem}.png") if batch else path


def check_uncertainty(
    path: str, plan: Plan, samples: int, common: Common, read: dict[str, str | None], photos: list[str], output: Output
) -> None:
    """Raise InputError where maps of the samples could not be written, or be of nothing; ScoreinvError without OpenCV.

    See `check_maps`.
    """
    from scoreinv.imaging.opencv import load_opencv

    if samples < 2:
        raise InputError("--uncertainty is the spread of several samples: add --samples 4, or another number from 2 on")
    check_maps("--uncertainty", path, plan, common, read, photos, output)
    load_opencv()  # its colour map is wanted when the work is done


def check_maps(
    option: str,
    path: str,
    plan: Plan,
    common: Common,
    read: dict[str, str | None],
    photos: list[str],
    output: Output,
) -> None:
    """Raise InputError where a picture beside each result could not be written to the file, or folder, of an option.

    Args:
        read: files that are read beside the photographs, by what they are.
        photos: as given.
    """
    from scoreinv.imaging.write import check_output

    is_file = Path(path).suffix.lower() in (".png", ".tif", ".tiff")
    if plan.batch:
        if is_file:
            raise InputError(f"{option} {path}: of several photos there are as many maps: name a folder")
        written = [map_of(job, path, batch=True) for job in plan.jobs]
        others = [each for job in plan.jobs for each in (job.source, *job.outputs)]
        given = [*others, *filter(None, read.values())]
        check_beside(option, Path(path), written, given, photos, recursive=output.recursive)
    else:
        if not is_file:
            raise InputError(f"{option} {path}: is written to .png or .tif")
        (job,) = plan.jobs
        if os.path.realpath(path) in map(os.path.realpath, job.outputs):
            raise InputError(f"{option} {path}: is a result too: name another file")
        refuse_inputs(option, [path], {"the photo": job.source, **read})
        check_output(path, overwrite=common.overwrite)
