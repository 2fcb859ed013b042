"""`scoreinv likelihood IMAGE...`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv import files, imaging, tasks
from scoreinv.batch.outputs import STREAM, check_folder, refuse_existing, refuse_inputs
from scoreinv.batch.plan import expand
from scoreinv.cli.options import Common, Frame, ModelOption
from scoreinv.cli.render import (
    describe,
    emit,
    failure,
    notice,
    print_traceback,
    provenance,
    put,
    rehearse,
    warn,
)
from scoreinv.models.loading import ModelSource
from scoreinv.system.errors import InputError
from scoreinv.system.options import Setting
from scoreinv.system.terminal import progress_bar
from scoreinv.tasks.settings import LikelihoodSettings

if TYPE_CHECKING:
    from scoreinv.batch.manifest import Table

EXAMPLES = """
  scoreinv likelihood pictures/ --model cifar10 --steps 16 --csv table.csv
"""
_LEAST_STEPS = 8
"""Steps of the fixed grid below which the error exceeds some hundredths of a bit."""
COLUMNS = ("input", "width", "height", "bits_per_dim", "standard_error", "repeats", "nfe", "seconds")

Item = tuple[str, "imaging.Picture"]
"""A path and its picture."""


def likelihood(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE",
            help="8-bit pictures, or folders with subfolders; - is stdin.",
            show_default=False,
        ),
    ],
    *,
    model: ModelOption = "photo",
    estimate: LikelihoodSettings,
    csv: Annotated[str | None, Setting("Also write a table, a row for each picture.", metavar="FILE")] = None,
    frame: Frame = None,
    common: Common,
) -> None:
    """Print the likelihood of pictures under a model, in bits per dimension.

    Neighbours of the same size are evaluated together.
    """
    sources = [source for item in images for source in expand(item, recursive=True)]
    batch = len(sources) > 1
    if batch and STREAM in sources:
        raise InputError("- (stdin) cannot be combined with other inputs")
    table = None if csv is None else _new_table(csv, sources, model, common)
    prior = ModelSource(model, common.machine, exact=True)
    if common.dry_run:
        prior.check()
        sides = prior.configuration
        raise typer.Exit(sum(_rehearse(source, frame, sides, common, batch=batch) for source in sources) and 1)
    if estimate.steps is not None and estimate.steps < _LEAST_STEPS:
        warn(f"--steps {estimate.steps}: is too few for an accurate likelihood; 16 are good")
    common.machine.start_torch()
    run = _Evaluation(prior, estimate, table, frame, batch, common)
    for size, alike in groupby(run.opened(sources), lambda opened: getattr(opened[1], "size", None)):
        if size is None:
            for name, error in alike:
                run.fail(name, error)
        else:
            while group := list(islice(alike, tasks.pictures_at_once(size))):
                run.evaluate(group)
    if batch and run.bits and not common.json:
        mean = _figure(sum(run.bits) / len(run.bits), tasks.standard_error(run.bits))
        put(f"{mean} bits/dim  mean of {len(run.bits)} {'picture' if len(run.bits) == 1 else 'pictures'}")
    if csv is not None and run.bits:
        notice(common, csv)
    if lost := 0 if table is None else table.lost:
        warn(f"{lost} of {len(run.bits)} lines are missing in {csv}")
    raise typer.Exit(1 if run.failed or lost else 0)


def _rehearse(source: str, frame: int | None, sides: tasks.Sided | None, common: Common, *, batch: bool) -> int:
    """Read a picture and print what would be done; return 1 if it does not suit the model."""
    try:
        _check(source, files.read_picture(source, frame), sides)
    except Exception as error:
        _fail(source, error, common, batch=batch)
        return 1
    rehearse(common, {"input": source}, f"{source}: its likelihood would be estimated")
    return 0


def _check(source: str, picture: imaging.Picture, sides: tasks.Sided | None) -> None:
    """Raise InputError if the picture does not suit a model with these sides (None: any)."""
    if sides is not None:
        try:
            tasks.check_picture(picture, sides)
        except InputError as error:
            raise InputError(f"{source}: {error}") from error


def _fail(source: str, error: Exception, common: Common, *, batch: bool) -> None:
    """Print the failure of a picture; outside a batch, raise it."""
    if not batch:
        vars(error)["source"] = source
        raise error
    if common.debug:
        print_traceback(error)
    failure(common, {"input": source, "error": describe(error)})


def _new_table(path: str, sources: list[str], model: str, common: Common) -> Table:
    """Return the table to write; raise InputError if it cannot be written."""
    from scoreinv.batch.manifest import Table

    if path == STREAM:
        raise InputError(f"--csv {path}: name a file")
    refuse_inputs("--csv", [path], {"the model": model} | {f"one of the pictures ({each})": each for each in sources})
    if not Path(path).parent.is_dir():
        raise InputError(f"--csv {path}: there is no folder {Path(path).parent}: make it")
    check_folder(Path(path).parent)
    refuse_existing([path], overwrite=common.overwrite, option="--csv")
    return Table(Path(path), COLUMNS, replace=common.overwrite)


@dataclass
class _Evaluation:
    """The evaluation of pictures.

    Attributes:
        bits: bits per dimension of finished pictures.
        failed: number of failed pictures.
    """

    model: ModelSource
    estimate: LikelihoodSettings
    table: Table | None
    frame: int | None
    batch: bool
    common: Common
    bits: list[float] = field(default_factory=list)
    failed: int = 0

    def opened(self, sources: list[str]) -> Iterator[tuple[str, Any]]:
        """Yield each path with its picture, or with the error of one that cannot be read or does not suit the model."""
        for source in sources:
            try:
                picture = files.read_picture(source, self.frame)
            except Exception as error:
                yield source, error
                continue
            prior = self.model.load()  # outside the try: an unusable model ends the run
            try:
                _check(source, picture, prior)
            except InputError as error:
                yield source, error
                continue
            if picture.has_alpha:
                warn(f"{source}: transparency is left out")
            yield source, picture

    def evaluate(self, group: list[Item]) -> None:
        """Evaluate pictures of one size and print each; if they fail together, one by one."""
        first, pictures = group[0][0], [picture for _, picture in group]
        title = first if len(group) == 1 else f"{first} and {len(group) - 1} more"
        started = time.monotonic()
        try:
            with progress_bar(title, quiet=self.common.quiet) as show:
                densities = tasks.pictures_bits_per_dim(pictures, self.model.load(), self.estimate, show)
        except Exception as error:
            for item in group if len(group) > 1 else ():
                self.evaluate([item])
            if len(group) == 1:
                self.fail(first, InputError(f"{first}: {error}") if isinstance(error, InputError) else error)
            return
        seconds = (time.monotonic() - started) / len(group)
        for item, density in zip(group, densities, strict=True):
            self._put(item, density, seconds)

    def fail(self, source: str, error: Exception) -> None:
        """Print and count the failure of a picture; outside a batch, raise it."""
        _fail(source, error, self.common, batch=self.batch)
        self.failed += 1

    def _put(self, item: Item, density: tasks.PictureDensity, seconds: float) -> None:
        (source, picture), common = item, self.common
        self.bits.append(density.bits_per_dim)
        record: dict[str, Any] = {
            "input": source,
            "bits_per_dim": density.bits_per_dim,
            "standard_error": density.standard_error,
            "repeats": self.estimate.repeats,
            "seconds": round(seconds, 3),
            "nfe": density.nfe,
            **provenance(self.model, "ode", common),
        }
        emit(common, record)
        if self.table is not None:
            self.table.add(record | {"width": picture.width, "height": picture.height})
        if not common.json:
            put(f"{_figure(density.bits_per_dim, density.standard_error)} bits/dim  {source}")


def _figure(value: float, error: float | None) -> str:
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"
