"""`scoreinv likelihood IMAGE...`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv import files, imaging, tasks
from scoreinv.batch.plan import Frame, expand, match_patterns
from scoreinv.cli.options import Common, ModelOption
from scoreinv.cli.render import describe, emit, failure, notice, print_traceback, provenance, put, rehearse, warn
from scoreinv.models.loading import ModelSource
from scoreinv.system.errors import InputError
from scoreinv.system.files import STREAM, check_writable
from scoreinv.system.options import Setting
from scoreinv.system.progress import reported_to
from scoreinv.system.progress_bar import progress_bar
from scoreinv.tasks.sampling_settings import LikelihoodSettings

if TYPE_CHECKING:
    from scoreinv.batch.manifest import Table

_LEAST_STEPS = 8
"""Minimum steps of the fixed grid without a warning: with fewer, the error exceeds some hundredths of a bit."""
COLUMNS = ("input", "width", "height", "bits_per_dim", "standard_error", "repeats", "nfe", "seconds")


def likelihood(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE", help="8-bit pictures, or folders with subfolders; - is stdin.", show_default=False
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

    \b
    scoreinv likelihood pictures/ --model cifar10 --steps 16 --csv table.csv
    """
    sources = [source for item in match_patterns(images) for source in expand(item, recursive=True)]
    if len(sources) > 1 and STREAM in sources:
        raise InputError("- (stdin) cannot be combined with other inputs")
    table = None if csv is None else _new_table(csv, sources, model, common)
    prior = ModelSource(model, common.machine, exact=True)
    run = _Evaluation(prior, estimate, table, len(sources) > 1, common)
    if common.dry_run:
        prior.check()
        for source in sources:
            opened = _open(source, frame, prior.configuration)
            if isinstance(opened, Exception):
                run.fail(source, opened)
            else:
                rehearse(common, {"input": source}, f"{source}: its likelihood would be estimated")
        raise typer.Exit(1 if run.failed else 0)
    if estimate.steps is not None and estimate.steps < _LEAST_STEPS:
        warn(f"--steps {estimate.steps}: is too few for an accurate likelihood; 16 are good")
    common.machine.start_torch()
    sides, bits = prior.load(), run.bits
    pairs = ((source, _open(source, frame, sides)) for source in sources)
    # Neighbours of the same size are evaluated together.
    for size, alike in groupby(pairs, lambda pair: getattr(pair[1], "size", None)):
        while group := list(islice(alike, 1 if size is None else tasks.pictures_at_once(size))):
            run.evaluate(group)
    if run.batch and bits and not common.json:
        mean = _figure(sum(bits) / len(bits), tasks.standard_error(bits))
        put(f"{mean} bits/dim  mean of {len(bits)} {'picture' if len(bits) == 1 else 'pictures'}")
    if csv is not None and bits:
        notice(common, csv)
    if lost := 0 if table is None else table.lost:
        warn(f"{lost} of {len(bits)} lines are missing in {csv}")
    raise typer.Exit(1 if run.failed or lost else 0)


def _open(source: str, frame: int | None, sides: tasks.SizedModel | None) -> imaging.Picture | Exception:
    """Return a picture, or the error if it cannot be read or does not suit the model.

    Args:
        sides: constraints of the model on the picture's sides; None: any sides.
    """
    try:
        picture = files.read_picture(source, frame)
        if sides is not None:
            tasks.check_picture(picture, sides)
    except Exception as error:
        return error
    return picture


def _new_table(path: str, sources: list[str], model: str, common: Common) -> Table:
    """Return the table to write; raise InputError if it cannot be written."""
    from scoreinv.batch.manifest import Table

    if path == STREAM:
        raise InputError(f"--csv {path}: name a file")
    files.refuse_inputs("--csv", [path], {model: "the model"} | dict.fromkeys(sources, "one of the pictures"))
    check_writable(Path(path), overwrite=common.overwrite, option="--csv")
    return Table(Path(path), COLUMNS, replace=common.overwrite)


@dataclass
class _Evaluation:
    """Estimates and prints the likelihood of pictures.

    Attributes:
        batch: whether there are several pictures: failures are then printed and counted, not raised.
        bits: bits per dimension of the finished pictures.
        failed: number of failed pictures.
    """

    model: ModelSource
    estimate: LikelihoodSettings
    table: Table | None
    batch: bool
    common: Common
    bits: list[float] = field(default_factory=list)
    failed: int = 0

    def evaluate(self, group: list[tuple[str, Any]]) -> None:
        """Evaluate pictures of one size together and print their results; after a failure, evaluate them one by one.

        Args:
            group: the path of each picture, and the picture, or the error of a single one.
        """
        first, pictures = group[0][0], [picture for _, picture in group]
        started = time.monotonic()
        try:
            if isinstance(pictures[0], Exception):
                raise pictures[0]
            title = first if len(group) == 1 else f"{first} and {len(group) - 1} more"
            with progress_bar(title, quiet=self.common.quiet) as show, reported_to(show):
                densities = tasks.pictures_bits_per_dim(pictures, self.model.load(), self.estimate)
        except Exception as error:
            if len(group) == 1:
                self.fail(first, error)
            for item in group if len(group) > 1 else ():
                self.evaluate([item])
            return
        seconds = (time.monotonic() - started) / len(group)
        for (source, picture), density in zip(group, densities, strict=True):
            self._put(source, picture, density, seconds)

    def fail(self, source: str, error: Exception) -> None:
        """Print and count the failure of a picture; outside a batch, raise it."""
        if isinstance(error, InputError) and source not in str(error):
            error = InputError(f"{source}: {error}")
        if not self.batch:
            vars(error)["source"] = source
            raise error
        if self.common.debug:
            print_traceback(error)
        failure(self.common, {"input": source, "error": describe(error)})
        self.failed += 1

    def _put(self, source: str, picture: imaging.Picture, density: tasks.PictureDensity, seconds: float) -> None:
        common = self.common
        if picture.has_alpha:
            warn(f"{source}: transparency is left out")
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
