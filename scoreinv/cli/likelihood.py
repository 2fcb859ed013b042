"""`scoreinv likelihood IMAGE...`: bits per dimension."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import Annotated, Any

import typer

from scoreinv import files, imaging, tasks
from scoreinv.cli.loading import Model
from scoreinv.cli.options import Common, FrameOption, ModelOption, output_option
from scoreinv.cli.outputs import STREAM, check_folder, refuse_existing, refuse_inputs
from scoreinv.cli.plan import expand
from scoreinv.cli.record import Table, failed, tell_failure
from scoreinv.cli.report import emit, naming, notice, put, rehearse, warn
from scoreinv.system.errors import InputError
from scoreinv.system.terminal import LONG_SECONDS, duration, progress_bar
from scoreinv.tasks.settings import LikelihoodSettings

EXAMPLES = """
  scoreinv likelihood pictures/ --model cifar10 --steps 16 --csv table.csv
"""
_LEAST_STEPS = 8  # of the fixed grid, below which a likelihood is off by hundredths of a bit and more
COLUMNS = ("input", "width", "height", "bits_per_dim", "standard_error", "repeats", "nfe", "seconds")


Item = tuple[str, "imaging.Picture"]
"""A picture at hand, and its path."""


def likelihood(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="8-bit pictures, or folders of them, searched deeply; - is stdin.",
            show_default=False,
        ),
    ],
    *,
    model: ModelOption = "photo",
    estimate: LikelihoodSettings,
    csv: Annotated[
        str | None, output_option(metavar="FILE", help="Also write a table, a row for each picture.")
    ] = None,
    frame: FrameOption = None,
    common: Common,
) -> None:
    """Print the exact likelihood of pictures under the model, in bits per dimension.

    Neighbours of one size are evaluated together.
    """
    sources = [source for item in images for source in expand(item, deep=True)]
    batch = len(sources) > 1
    if batch and STREAM in sources:
        raise InputError("- (stdin) cannot be combined with other inputs")
    table = None if csv is None else _new_table(csv, sources, model, common)
    loaded = Model(model, common, exact=True)
    if common.dry_run:
        loaded.check()
        sides = loaded.configuration
        raise typer.Exit(sum(_rehearse(source, frame, sides, common, batch=batch) for source in sources) and 1)
    if estimate.steps is not None and estimate.steps < _LEAST_STEPS:
        warn(f"--steps {estimate.steps}: so few tell the density only roughly: take 16")
    run = _Run(loaded, estimate, table, frame, batch)
    for size, alike in groupby(run.opened(sources), lambda opened: getattr(opened[1], "size", None)):
        if size is None:
            for source, error in alike:
                run.fail(source, error)
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
    """Read a picture and say so; returns 1 where it cannot be read, or not be given to a model of such sides."""
    try:
        _check(source, files.read_picture(source, frame), sides)
    except Exception as error:
        return tell_failure(failed(source, error, common, batch=batch), common)
    rehearse(common, {"input": source}, f"{source}: its likelihood would be estimated")
    return 0


def _check(source: str, picture: imaging.Picture, sides: tasks.Sided | None) -> None:
    """Raise InputError for a picture that cannot be given to a model of such sides (None: any)."""
    if sides is not None:
        with naming(source):
            tasks.check_picture(picture, sides)


def _new_table(path: str, sources: list[str], model: str, common: Common) -> Table:
    """The table to write; InputError where there cannot be one."""
    if path == STREAM:
        raise InputError(f"--csv {path}: name a file")
    refuse_inputs("--csv", [path], {"the model": model} | {f"one of the pictures ({each})": each for each in sources})
    if not Path(path).parent.is_dir():
        raise InputError(f"--csv {path}: there is no folder {Path(path).parent}: make it first")
    check_folder(Path(path).parent)
    refuse_existing([path], overwrite=common.overwrite, option="--csv")
    return Table(Path(path), COLUMNS, replacing=common.overwrite)


@dataclass
class _Run:
    """The evaluation of pictures, neighbours of one size together.

    Attributes:
        bits: bits per dimension of those that are finished.
        failed: how many failed.
    """

    model: Model
    estimate: LikelihoodSettings
    table: Table | None
    frame: int | None
    batch: bool
    bits: list[float] = field(default_factory=list)
    failed: int = 0

    def opened(self, sources: list[str]) -> Iterator[tuple[str, Any]]:
        """The pictures in order, each with its path; or why it cannot be read, or not be given to the model."""
        for source in sources:
            try:
                picture = files.read_picture(source, self.frame)
            except Exception as error:
                yield source, error
                continue
            prior = self.model.load()  # outside: a model that cannot be used ends the whole run
            try:
                _check(source, picture, prior)
            except InputError as error:
                yield source, error
                continue
            if picture.has_alpha:
                warn(f"{source}: transparency is left out")
            yield source, picture

    def evaluate(self, group: list[Item]) -> None:
        """Evaluate pictures of one size, and tell of each; where they fail together, one by one."""
        first, pictures = group[0][0], [picture for _, picture in group]
        title = first if len(group) == 1 else f"{first} and {len(group) - 1} more"
        expected = tasks.expected_seconds(pictures[0].size, len(group), self.model.load(), self.estimate)
        if expected >= LONG_SECONDS:  # before nothing is heard of it for minutes
            shorter = "--steps 16 takes half of it, " if self.estimate.steps is None else ""
            said = f"about {duration(expected)} here; {shorter}a smaller picture or a crop less"
            notice(self.model.common, f"{title}: the likelihood takes {said}")
        started = time.monotonic()
        try:
            with progress_bar(title, quiet=self.model.common.quiet) as show:
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
        """Tell of a picture why it is not evaluated; outside of a batch the error is raised."""
        common = self.model.common
        self.failed += tell_failure(failed(source, error, common, batch=self.batch), common)

    def _put(self, item: Item, density: tasks.PictureDensity, seconds: float) -> None:
        (source, picture), common = item, self.model.common
        self.bits.append(density.bits_per_dim)
        record: dict[str, object] = {
            "input": source,
            "bits_per_dim": density.bits_per_dim,
            "standard_error": density.standard_error,
            "repeats": self.estimate.repeats,
            "seconds": round(seconds, 3),
            "nfe": density.nfe,
            **self.model.record("ode"),
        }
        emit(common, record)
        if self.table is not None:
            self.table.add(record | {"width": picture.width, "height": picture.height})
        if not common.json:
            put(f"{_figure(density.bits_per_dim, density.standard_error)} bits/dim  {source}")


def _figure(value: float, error: float | None) -> str:
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"
