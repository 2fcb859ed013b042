"""The one loop over photographs: each is read, computed, written and recorded, and the next follows where one fails.

A command says how one photograph is computed; `run` does the rest: what is there already is skipped and counted, so
that a run that was cut short goes on, results are whole or not there at all, and each is reported as it finishes.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import typer

from scoreinv import files, imaging, tasks
from scoreinv.cli.loading import Model
from scoreinv.cli.outputs import STREAM, check_folder, refuse_inputs
from scoreinv.cli.plan import Job, Plan
from scoreinv.cli.record import BY_ANOTHER, COLUMNS, EXISTS, MANIFEST, Record, Table, failed, tell_failure
from scoreinv.cli.report import naming, naming_what_is_logged, notice, rehearse
from scoreinv.system.devices import device_of
from scoreinv.system.errors import ExistsError, InputError
from scoreinv.system.files import remove_leftovers
from scoreinv.system.memory import keep_freed
from scoreinv.system.terminal import progress_bar

Given = TypeVar("Given")
"""What belongs to a photograph beside its pixels: its mask, its hints."""
Progress = Callable[[float], None]
"""Called with the share of the work on a photograph that is done."""
Made: TypeAlias = "tuple[tasks.Restored[imaging.Picture], dict[str, Any]]"
"""What was made of a photograph, and further entries of its record."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Beside:
    """Pictures that an option asks for beside the results: of each photograph one, or several into a folder.

    Attributes:
        option: names the file, or in a batch, and for several, the folder.
        path: what it names.
        endings: of several, what their names add to the photograph's.
        suffix: that of the results' names, which theirs do not have.
    """

    option: str
    path: str
    plan: Plan
    endings: tuple[str, ...] = ()
    suffix: str = ""

    def of(self, job: Job) -> list[str]:
        """The files of a photograph."""
        if not (self.endings or self.plan.batch):
            return [self.path]
        name = Path(job.source if job.output == STREAM else job.output).stem.removesuffix(self.suffix)
        return [str(Path(self.path) / job.inside / f"{name}{ending}.png") for ending in self.endings or ("",)]

    def check(self, more: Iterable[str] = ()) -> None:
        """Raise InputError where they could not be written; more: what is read or written, but for what plans have."""
        plan, path, option = self.plan, Path(self.path), self.option
        is_file = path.suffix.lower() in (".png", ".tif", ".tiff")
        if not (self.endings or plan.batch):
            if not is_file:
                raise InputError(f"{option} {path}: is written to .png or .tif")
            (job,) = plan.jobs
            refuse_inputs(option, [self.path], {"the photo": job.source, **plan.read})
            if os.path.realpath(path) in map(os.path.realpath, (*job.outputs, *more)):
                raise InputError(f"{option} {path}: is a result too, or is read: name another file")
            files.check_output(path, overwrite=plan.common.overwrite)
            return
        if is_file:
            raise InputError(f"{option} {path}: there are several pictures: name a folder")
        check_folder(path)
        paths = [file for job in plan.jobs for file in self.of(job)]
        others = [file for job in plan.jobs for file in (job.source, *job.outputs)]
        counts = Counter(Path(each).resolve() for each in (*paths, *others, *filter(None, plan.read.values()), *more))
        if taken := [file for file in paths if counts[Path(file).resolve()] > 1]:
            problem = f"{taken[0]} is read by this run, or would be written twice: name another folder"
            raise InputError(f"{option} {path}: {problem}")
        own = path.resolve()
        for given in (Path(photo).resolve() for photo in plan.photos if Path(photo).is_dir()):
            # The next run would take the files for photos.
            if own == given or (plan.output.recursive and given in own.parents):
                raise InputError(f"{option} {path}: is a folder of the photos: name another")
        there = next(filter(os.path.exists, paths), None)
        if there is not None and not (plan.common.overwrite or plan.batch):
            raise InputError(f"{there}: exists already; --overwrite replaces it, {option} names another folder")

    def write(self, job: Job, picture: imaging.Picture, number: int = 0) -> str:
        """Write a picture of a photograph, of several that of the number; returns its file."""
        path = self.of(job)[number]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        # In a batch one that is there is of a photograph that an earlier run did not finish.
        files.write_picture(path, picture, overwrite=self.plan.common.overwrite or self.plan.batch)
        return path


def uncertainty_maps(path: str | None, plan: Plan, samples: int, more: Iterable[str] = ()) -> Beside | None:
    """The maps of where samples differ; None where there is no path.

    Raises InputError where they could not be written (`Beside.check`), or be of nothing; ScoreinvError without OpenCV.
    """
    if path is None:
        return None
    if samples < 2:
        raise InputError("--uncertainty is the spread of several samples: add --samples 4, or another number from 2 on")
    maps = Beside("--uncertainty", path, plan)
    maps.check(more)
    imaging.load_opencv()  # its colour map is wanted when the work is done
    return maps


@dataclass(frozen=True)
class Run(Generic[Given]):
    """A run over photographs: which they are, and what is done for each.

    Attributes:
        compute: makes a result of a photograph by what `read` gave of it.
        models: what `compute` may need; the record names the first.
        needed: those of them that are loaded once a photograph has been read (None: all); others where it needs them.
        read: gives what belongs to a photograph (None: nothing); what it raises concerns this photograph alone.
        result_of: gives a picture of the size and mode of the result (None: as the photograph), to check it early;
            InputError where there can be none.
        left_out: why photographs are not done, by their sources.
        beside: what may be written beside the results, but for the maps of the uncertainty.
        uncertainty: maps of where the samples differ.
    """

    plan: Plan
    compute: Callable[[Job, imaging.Picture, Given, Progress], Made]
    models: Sequence[Model] = ()
    read: Callable[[Job, imaging.Picture], Given] | None = None
    needed: Sequence[Model] | None = None
    result_of: Callable[[imaging.Picture], imaging.Picture] | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    beside: Beside | None = None
    uncertainty: Beside | None = None

    def all_beside(self, job: Job) -> list[str]:
        """All files that may be written beside the results."""
        return [path for each in (self.beside, self.uncertainty) if each is not None for path in each.of(job)]

    def missing(self, job: Job) -> list[str]:
        """The results to make; in a batch only those that do not exist, unless they may be replaced."""
        goes_on = self.plan.batch and not self.plan.common.overwrite
        return [path for path in job.outputs if not (goes_on and os.path.exists(path))]  # noqa: PTH110 - no errors

    def settled(self, job: Job) -> dict[str, Any] | None:
        """The row of a photograph where nothing is to be done; else None."""
        if not self.missing(job):
            return self._skipped(job, EXISTS)
        if job.source not in self.left_out:
            return None
        there = all(map(os.path.exists, job.outputs))
        return {"input": job.source, "skipped": self.left_out[job.source], "finished": there}

    def opened(self, job: Job, missing: list[str]) -> tuple[imaging.Picture, Given]:
        """The photograph with what belongs to it, once it is certain that its results can be written."""
        plan, common = self.plan, self.plan.common
        picture = files.read_picture(job.source, plan.output.frame)
        folder = Path(job.output).parent
        if folder.is_dir() or folder not in plan.folders:  # which come with the first result
            for output in missing:
                files.check_output(output, overwrite=common.overwrite)
        result = picture
        if self.result_of is not None:
            with naming(job.source):
                result = self.result_of(picture)
        files.check_format(job.output, result)
        given: Any = None if self.read is None else self.read(job, picture)
        return picture, given

    def one(self, job: Job, progress: Progress = lambda share: None) -> dict[str, Any]:
        """Read a photograph, do the work, and write the results; gives its row (`Record.add`).

        One of the models that are needed raises its error where it cannot be used; outside of a batch so does whatever
        fails.

        Of samples, what an earlier run wrote is left: the first are the same however many are drawn.
        """
        plan, common = self.plan, self.plan.common
        missing = self.missing(job)
        if not missing:
            return self._skipped(job, BY_ANOTHER)
        try:
            picture, given = self.opened(job, missing)
        except Exception as error:
            return self._failed(job, error)
        keep_freed()
        for model in self.models if self.needed is None else self.needed:
            model.load()
        started = time.monotonic()
        written, there = [], None
        try:
            with naming_what_is_logged(job.source):
                made, more = self.compute(job, picture, given, progress)
            if self.uncertainty is not None and made.std is not None:
                shown = imaging.Picture(imaging.deviation_map(made.std))
                more = {"uncertainty": self.uncertainty.write(job, shown)} | more
            Path(job.output).parent.mkdir(parents=True, exist_ok=True)
            outputs, pictures = job.outputs, made.samples if len(job.outputs) > 1 else [made.image]
            if len(outputs) > 1 and made.std is not None and not made.std.any():
                notice(common, f"{job.source}: its samples do not differ: one is written")
                outputs, pictures = outputs[:1], pictures[:1]
            for path, result in zip(outputs, pictures, strict=True):
                if path in missing:
                    try:
                        files.write_picture(path, result, overwrite=common.overwrite, quality=plan.output.quality)
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
            return record | how | more
        model = self.models[0]
        weights = {} if plan.folder is None else {"model_sha256": model.sha256}
        return record | model.record(made.method) | weights | more

    def _skipped(self, job: Job, why: str) -> dict[str, Any]:
        there = {"output": job.outputs[0], "outputs": list(job.outputs)}
        return {"input": job.source, **there, "skipped": why, "finished": True}

    def _failed(self, job: Job, error: Exception) -> dict[str, Any]:
        if isinstance(error, ExistsError) and self.plan.batch:
            return self._skipped(job, BY_ANOTHER)
        return failed(job.source, error, self.plan.common, batch=self.plan.batch)


def run(run: Run[Given]) -> None:
    """Do all photographs, and end the command: with 1 where one of a batch failed, or the manifest lacks a line.

    The failure of a single photograph is raised, and that of a model or device of which there is none, or of a model
    that is needed. In a batch the next photograph follows.
    """
    plan, common = run.plan, run.plan.common
    if common.json and any(job.output == STREAM for job in plan.jobs):
        raise InputError("the picture and --json both want stdout: name a file by -o")
    if not run.models and common.device not in ("auto", "cpu"):  # neither is absent, and torch is slow to import
        device_of(common.device)
    if common.dry_run:
        raise typer.Exit(_rehearse(run))
    for folder in plan.folders | {Path(path).parent for job in plan.own for path in run.all_beside(job)}:
        remove_leftovers(folder)
    manifest = None if plan.folder is None else Table(plan.folder / MANIFEST, COLUMNS)
    settled = {job: row for job in plan.own if (row := run.settled(job)) is not None}
    wanted = [job for job in plan.own if job not in settled]
    replacing = common.overwrite and any(os.path.lexists(path) for job in wanted for path in job.outputs)
    record = Record(plan, manifest, len(wanted))
    title = wanted[0].source if len(wanted) == 1 else f"{len(wanted)} photographs"
    try:
        workers: int | Literal["ray"] = 1
        if plan.batch and wanted:
            from scoreinv.cli.workers import work_by, workers_for

            for model in run.models:
                model.check()  # what all would fail by, one after another
            workers = workers_for(run, wanted)
        with progress_bar(title, quiet=common.quiet or (common.json and workers != 1)) as show:
            done, doing = 0, ""

            def show_part(share: float) -> None:
                show((done + share) / len(wanted), None, doing)

            for job in plan.own:
                if job in settled:
                    record.add(settled[job])
                elif workers == 1:
                    doing = job.source if len(wanted) > 1 else ""
                    record.add(run.one(job, show_part))
                    done += 1
            if workers != 1:
                begun = time.monotonic()
                with closing(work_by(workers, run, wanted)) as rows:
                    for done, row in enumerate(rows, 1):
                        record.add(row)
                        pace = (time.monotonic() - begun) / done  # of all: they come in bursts
                        show(done / len(wanted), (len(wanted) - done) * pace)
    except KeyboardInterrupt:
        record.interrupted(replacing=replacing)
        raise
    raise typer.Exit(record.close())


def _rehearse(run: Run[Given]) -> int:
    """Check the models and all inputs, and say what would become of each; returns the exit status."""
    common = run.plan.common
    for model in run.models:
        model.check()
    count = 0
    for job in run.plan.own:
        settled, outputs = run.settled(job), run.missing(job)
        if settled is not None:
            record = {key: settled[key] for key in ("input", "skipped", "finished")}
            rehearse(common, record, f"{job.source}: would be skipped, {record['skipped']}")
            continue
        try:
            run.opened(job, outputs)
        except Exception as error:
            count += tell_failure(failed(job.source, error, common, batch=run.plan.batch), common)
            continue
        said = f"{job.source}: would be written to {', '.join(outputs)}"
        record = {"input": job.source, "outputs": outputs}
        if beside := run.all_beside(job):
            said += f"; with it, at most, {', '.join(beside)}"
            record["beside"] = beside
        rehearse(common, record, said)
    return 1 if count else 0
