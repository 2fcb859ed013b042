"""The one loop over photographs: each is read, computed, written and recorded, and the next follows where one fails.

A command says how one photograph is computed; `run` does the rest: what is there already is skipped and counted, so
that a run that was cut short goes on, results are whole or not there at all, and each is reported as it finishes.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import typer

from scoreinv.cli.loading import Model
from scoreinv.cli.plan import STREAM, Job, Plan, output_folders, refuse_existing, refuse_inputs
from scoreinv.cli.record import BY_ANOTHER, EXISTS, Outcome, Record, failure
from scoreinv.cli.report import ProgressBar, RunProgress, rehearse
from scoreinv.errors import ExistsError, InputError

if TYPE_CHECKING:
    import numpy as np

    from scoreinv.cli.options import Common, Output
    from scoreinv.imaging.picture import Picture
    from scoreinv.tasks.results import Restored

Given = TypeVar("Given")
"""What belongs to a photograph beside its pixels: its mask, its hints."""
Progress = Callable[[float], None]
"""Called with the share of the work on a photograph that is done."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Photo(Generic[Given]):
    """A photograph at hand.

    Attributes:
        given: what belongs to it, as `Run.read` gave it.
    """

    job: Job
    picture: Picture
    given: Given

    @property
    def source(self) -> str:
        """Its path, or `-`."""
        return self.job.source


@dataclass(frozen=True)
class Result:
    """What was made of a photograph.

    Attributes:
        pictures: as many as the files of a photograph.
        nfe: evaluations of the network for one sample.
        method: how it was drawn.
        more: further entries of its record.
        std: standard deviation of the samples, HxW in [0, 1] units; None for one.
    """

    pictures: Sequence[Picture]
    nfe: int
    method: str
    more: dict[str, Any] = field(default_factory=dict)
    std: np.ndarray | None = None

    @classmethod
    def of(cls, restored: Restored, files: int, **more: Any) -> Result:
        """The result of a task: its samples where several files are wanted, else its image."""
        pictures = restored.samples if files > 1 else [restored.image]
        return cls(pictures, restored.nfe, restored.method, more, restored.std)


@dataclass(frozen=True)
class Run(Generic[Given]):
    """A run over photographs: which they are, and what is done for each.

    Attributes:
        compute: gives the result of a photograph.
        models: what `compute` needs, loaded once a photograph has been read; the record names the first.
        read: gives what belongs to a photograph (None: nothing); what it raises concerns this photograph alone.
        result_of: a picture of the size and mode of the result, for checks before the work.
        left_out: says why a photograph is not done; None where it is.
        beside: the files that may be written beside the results.
        uncertainty: file of a map of where the samples differ.
    """

    plan: Plan
    output: Output
    common: Common
    compute: Callable[[Photo[Given], Progress], Result]
    models: Sequence[Model] = ()
    read: Callable[[Job, Picture], Given] | None = None
    result_of: Callable[[Picture], Picture] = lambda picture: picture
    left_out: Callable[[Job], str | None] = lambda job: None
    beside: Callable[[Job], list[str]] = lambda job: []
    uncertainty: str | None = None

    def missing(self, job: Job) -> list[str]:
        """The results to make; in a batch only those that do not exist, unless they may be replaced."""
        files = self.plan.files
        return job.missing(files) if self.plan.batch and not self.common.overwrite else job.outputs(files)

    def settled(self, job: Job) -> Outcome | None:
        """What has become of a photograph where nothing is to be done; else None."""
        if not self.missing(job):
            return self._skipped(job, EXISTS)
        if (why := self.left_out(job)) is None:
            return None
        record = {"input": job.source, "skipped": why, "finished": not job.missing(self.plan.files)}
        return Outcome(job.source, record, left_out=True)

    def one(self, job: Job, title: str = "", run: RunProgress | None = None) -> Outcome:
        """Read a photograph, do the work, and write the results; a model that cannot be used raises its error.

        Args:
            title: what its progress is shown under; empty: it is not shown.
            run: the progress of the run.
        """
        missing = self.missing(job)
        if not missing:
            return self._skipped(job, BY_ANOTHER)
        try:
            photo = self._read(job, missing)
        except Exception as error:
            return self._failed(job, error)
        for model in self.models:
            model.load()
        started = time.monotonic()
        try:
            with ProgressBar(title, quiet=self.common.quiet or not title, run=run) as bar:
                result = self.compute(photo, bar.fraction)
            more = dict(result.more)
            if self.uncertainty is not None and result.std is not None:
                self._write_map(self.uncertainty, result.std)
                more = {"uncertainty": self.uncertainty} | more
            written = self._write(job, result, missing)
        except Exception as error:
            return self._failed(job, error)
        seconds = round(time.monotonic() - started, 3)
        nfe, method = result.nfe, result.method
        _log.info("%s: by %s, %d evaluations of the network for a sample", job.source, method, nfe)
        first = next(iter(self.models), None)
        how = _without_model(self.common, method) if first is None else first.record(method)
        record = {"input": job.source, "output": written[0], "outputs": written, "seconds": seconds, "nfe": nfe}
        sha256 = first.sha256 if first is not None and self.plan.folder is not None else ""
        return Outcome(job.source, record | how | more, model_sha256=sha256)

    def _read(self, job: Job, missing: list[str]) -> Photo[Given]:
        """The photograph, once it is certain that its results can be written."""
        from scoreinv.imaging.write import check_output

        check_source(job.source)  # first: where it is not there, its folder may not be either
        self._make_folder(job)
        refuse_existing(missing, overwrite=self.common.overwrite)
        for output in missing:
            check_output(output, overwrite=self.common.overwrite)
        return self.opened(job)

    def opened(self, job: Job) -> Photo[Given]:
        """The photograph with what belongs to it."""
        from scoreinv.imaging.read import read_picture
        from scoreinv.imaging.write import check_format

        picture = read_picture(job.source, self.output.frame)
        check_format(job.output, self.result_of(picture))
        given: Any = None if self.read is None else self.read(job, picture)
        return Photo(job, picture, given)

    def _make_folder(self, job: Job) -> None:
        """Make the folder of a batch's results again, which another run that ended without any may have removed."""
        if self.plan.folder is not None:
            Path(job.output).parent.mkdir(parents=True, exist_ok=True)

    def _write(self, job: Job, result: Result, missing: list[str]) -> list[str]:
        """Write the missing results; returns those written. ExistsError where another process wrote all meanwhile.

        What an earlier run wrote is left: the first samples are the same however many are drawn.
        """
        from scoreinv.imaging.write import write_picture

        written: list[str] = []
        self._make_folder(job)
        there: ExistsError | None = None
        for path, picture in zip(job.outputs(self.plan.files), result.pictures, strict=True):
            if path in missing:
                try:
                    write_picture(path, picture, overwrite=self.common.overwrite, quality=self.output.quality)
                except ExistsError as error:
                    there = error
                else:
                    written.append(path)
        if there is not None and not (written and self.plan.batch):
            raise there
        return written

    def _write_map(self, path: str, std: np.ndarray) -> None:
        """Write the map of a standard deviation, with a legend; see `deviation_map`."""
        from scoreinv.imaging.picture import Picture
        from scoreinv.imaging.sheet import deviation_map
        from scoreinv.imaging.write import write_picture

        write_picture(path, Picture(deviation_map(std)), overwrite=self.common.overwrite)

    def _skipped(self, job: Job, why: str) -> Outcome:
        outputs = job.outputs(self.plan.files)
        record = {"input": job.source, "output": outputs[0], "outputs": outputs, "skipped": why, "finished": True}
        return Outcome(job.source, record)

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
        from scoreinv.machine import device_of

        device_of(common.device)
    if common.dry_run:
        raise typer.Exit(_rehearse(run))
    with output_folders(plan.folders, shared=plan.shared):
        record = Record(plan, common)
        wanted = [job for job in plan.own if not run.settled(job)]
        replacing = common.overwrite and any(
            os.path.lexists(path) for job in wanted for path in job.outputs(plan.files)
        )
        try:
            with closing(_outcomes(run, wanted)) as outcomes:
                for outcome in outcomes:
                    record.add(outcome)
        except KeyboardInterrupt:
            record.interrupted(len(wanted), replacing=replacing)
            raise
        raise typer.Exit(record.close())


def _outcomes(run: Run[Given], wanted: list[Job]) -> Generator[Outcome]:
    """What becomes of the photographs, one after the other; those of workers as they finish."""
    jobs, todo = run.plan.own, set(wanted)
    if run.output.workers is not None:
        from scoreinv.cli.ray_workers import outcomes_by_ray

        yield from (settled for job in jobs if job not in todo and (settled := run.settled(job)))
        yield from outcomes_by_ray(run, wanted)
        return
    progress = RunProgress(len(wanted))
    for number, job in enumerate(jobs, 1):
        settled = None if job in todo else run.settled(job)
        if settled is not None:
            yield settled
            continue
        yield run.one(job, f"[{number}/{len(jobs)}] {job.source}" if run.plan.batch else job.source, progress)
        progress.finished += 1


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
            check_source(job.source)
            refuse_existing(outputs, overwrite=common.overwrite)
            run.opened(job)
        except Exception as error:
            failed += failure(job.source, error, common, batch=run.plan.batch)
            continue
        said = f"{job.source}: would be written to {', '.join(outputs)}"
        record = {"input": job.source, "outputs": outputs}
        beside = [*run.beside(job), *filter(None, [run.uncertainty])]
        if beside:
            said += f"; with it, at most, {', '.join(beside)}"
            record["beside"] = beside
        rehearse(common, record, said)
    return 1 if failed else 0


def check_uncertainty(path: str | None, plan: Plan, samples: int, common: Common, read: dict[str, str | None]) -> None:
    """Raise InputError where a map of the samples could not be written, or be of nothing; ScoreinvError without OpenCV.

    read: files that are read beside the photograph, by what they are.
    """
    from scoreinv.imaging.opencv import load_opencv
    from scoreinv.imaging.write import check_output

    if path is None:
        return
    if plan.batch:
        raise InputError("--uncertainty writes one file: it takes one photo")
    if samples < 2:
        raise InputError("--uncertainty is the spread of several samples: add --samples 4, or another number from 2 on")
    if Path(path).suffix.lower() not in (".png", ".tif", ".tiff"):
        raise InputError(f"--uncertainty {path}: the standard deviation is written to .png or .tif")
    (job,) = plan.jobs
    results = {f"a result ({output})": output for output in job.outputs(plan.files)}
    for what, file in ({"the photo": job.source} | read | results).items():
        if file is not None and os.path.realpath(path) == os.path.realpath(file):  # a result may be yet to come
            raise InputError(f"--uncertainty {path}: is {what}: name another file")
    refuse_inputs("--uncertainty", [path], {"the photo": job.source, **read})
    check_output(path, overwrite=common.overwrite)
    load_opencv()  # its colour map is wanted when the work is done


def _without_model(common: Common, method: str) -> dict[str, Any]:
    """What a JSON line says of how a result was made without a model: on the CPU, in the picture's own numbers."""
    return {"seed": common.seed or 0, "model": None, "method": method, "device": "cpu", "precision": None}


def check_source(path: str) -> None:
    """Raise InputError where there is nothing at a path."""
    if path != STREAM and not os.path.lexists(path):
        raise InputError(f"{path}: no such file: check the path")
