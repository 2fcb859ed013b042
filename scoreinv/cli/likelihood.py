"""`scoreinv likelihood IMAGE...`: bits per dimension."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoreinv.cli.loading import Model
from scoreinv.cli.options import Common, FrameOption, ModelOption, output_option
from scoreinv.cli.plan import STREAM, check_writable, expand, file_identity, refuse_existing, refuse_inputs
from scoreinv.cli.record import Table, failure
from scoreinv.cli.report import LONG_SECONDS, ProgressBar, duration, emit, naming, notice, put, rehearse, warn
from scoreinv.errors import InputError
from scoreinv.tasks.settings import LikelihoodSettings

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.tasks.bits import PictureDensity
    from scoreinv.tasks.common import Sided

EXAMPLES = """
  scoreinv likelihood pictures/ --model cifar10 --steps 16 --csv table.csv
"""
_LEAST_STEPS = 8
"""Of the fixed grid, below which a likelihood is off by hundredths of a bit and more."""
COLUMNS = ("input", "width", "height", "bits_per_dim", "standard_error", "repeats", "nfe", "seconds")


@dataclass(frozen=True)
class Item:
    """A picture at hand."""

    source: str
    picture: Picture


@dataclass
class Tally:
    """What a run has come to: bits per dimension of the finished pictures, and how many failed."""

    batch: bool
    bits: list[float] = field(default_factory=list)
    failed: int = 0


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
        str | None,
        output_option("--csv", metavar="FILE", help="Also write a table, a row for each picture."),
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
    tally = Tally(batch)
    for group in _groups(sources, frame, loaded, tally):
        _evaluate(group, estimate, loaded, table, tally)
    if batch and tally.bits and not common.json:
        _put_mean(tally.bits)
    lost = 0 if table is None else table.lost
    if csv is not None and tally.bits:
        notice(common, csv)
    if lost:
        warn(f"{lost} of {len(tally.bits)} lines are missing in {csv}")
    raise typer.Exit(1 if tally.failed or lost else 0)


def _rehearse(source: str, frame: int | None, sides: Sided | None, common: Common, *, batch: bool) -> int:
    """Read a picture and say so; returns 1 where it cannot be read, or not be given to a model of such sides."""
    try:
        item = _read(source, frame)
        if sides is not None:
            _check(item, sides)
    except Exception as error:
        return failure(source, error, common, batch=batch)
    rehearse(common, {"input": source}, f"{source}: its likelihood would be estimated")
    return 0


def _new_table(path: str, sources: list[str], model: str, common: Common) -> Table:
    """The table to write; InputError where there cannot be one."""
    if path == STREAM or (os.path.lexists(path) and not Path(path).is_file()):  # it may be replaced: no device
        raise InputError(f"--csv {path}: name a file")
    if file_identity(path) in {file_identity(source) for source in sources} - {None}:
        raise InputError(f"--csv {path}: is one of the pictures")
    refuse_inputs("--csv", [path], {"the model": model})
    check_writable(path)
    refuse_existing([path], overwrite=common.overwrite, option="--csv")
    return Table(Path(path), COLUMNS)


def _groups(sources: list[str], frame: int | None, loaded: Model, tally: Tally) -> Iterator[list[Item]]:
    """The pictures in order, neighbours of one size together; a failure is reported in its place."""
    group: list[Item] = []
    for source in sources:
        try:
            item = _read(source, frame)
        except Exception as error:
            problem: Exception | None = error
        else:
            loaded.load()  # outside: a model that cannot be used ends the whole run
            problem = _refusal(item, loaded.prior)
        if group and (problem is not None or not _fits(item, group)):
            yield group
            group = []
        if problem is None:
            group.append(item)
        else:
            tally.failed += failure(source, problem, loaded.common, batch=tally.batch)
    if group:
        yield group


def _read(source: str, frame: int | None) -> Item:
    from scoreinv.imaging.read import read_picture

    return Item(source, read_picture(source, frame))


def _refusal(item: Item, sides: Sided) -> InputError | None:
    try:
        _check(item, sides)
    except InputError as error:
        return error
    if item.picture.has_alpha:
        warn(f"{item.source}: transparency is left out")
    return None


def _check(item: Item, sides: Sided) -> None:
    from scoreinv.tasks.bits import check_picture

    with naming(item.source):
        check_picture(item.picture, sides)


def _fits(item: Item, group: list[Item]) -> bool:
    from scoreinv.tasks.bits import pictures_at_once

    size = group[0].picture.size
    return item.picture.size == size and len(group) < pictures_at_once(size)


def _evaluate(
    group: list[Item], estimate: LikelihoodSettings, loaded: Model, table: Table | None, tally: Tally
) -> None:
    from scoreinv.tasks.bits import pictures_bits_per_dim

    common = loaded.common
    title = group[0].source if len(group) == 1 else f"{group[0].source} and {len(group) - 1} more"
    _foretell(title, group, estimate, loaded)
    started = time.monotonic()
    try:
        with ProgressBar(title, quiet=common.quiet) as bar:
            densities = pictures_bits_per_dim([item.picture for item in group], loaded.prior, estimate, bar.fraction)
    except Exception as error:
        if len(group) == 1:
            source = group[0].source
            named = InputError(f"{source}: {error}") if isinstance(error, InputError) else error
            tally.failed += failure(source, named, common, batch=tally.batch)
            return
        for item in group:  # so that only the one at fault fails
            _evaluate([item], estimate, loaded, table, tally)
        return
    seconds = (time.monotonic() - started) / len(group)
    if table is not None and not tally.bits and common.overwrite:
        table.path.unlink(missing_ok=True)  # only now is there something to replace an old one with
    for item, density in zip(group, densities, strict=True):
        tally.bits.append(density.bits_per_dim)
        _put(item, density, seconds, estimate.repeats, loaded, table)


def _foretell(title: str, group: list[Item], estimate: LikelihoodSettings, loaded: Model) -> None:
    """Say how long the likelihood of large pictures is going to take, before nothing is heard of it for minutes."""
    from scoreinv.tasks.bits import expected_seconds

    seconds = expected_seconds(group[0].picture.size, len(group), loaded.prior, estimate)
    if seconds >= LONG_SECONDS:
        shorter = "--steps 16 takes half of it, " if estimate.steps is None else ""
        said = f"about {duration(seconds)} here; {shorter}a smaller picture or a crop less"
        notice(loaded.common, f"{title}: the likelihood takes {said}")


def _put(
    item: Item,
    density: PictureDensity,
    seconds: float,
    repeats: int,
    loaded: Model,
    table: Table | None,
) -> None:
    record: dict[str, object] = {
        "input": item.source,
        "bits_per_dim": density.bits_per_dim,
        "standard_error": density.standard_error,
        "repeats": repeats,
        "seconds": round(seconds, 3),
        "nfe": density.nfe,
        **loaded.record("ode"),
    }
    emit(loaded.common, record)
    if table is not None:
        table.add(record | {"width": item.picture.width, "height": item.picture.height})
    if not loaded.common.json:
        put(f"{_figure(density.bits_per_dim, density.standard_error)} bits/dim  {item.source}")


def _put_mean(bits: list[float]) -> None:
    from scoreinv.tasks.bits import standard_error

    mean = _figure(sum(bits) / len(bits), standard_error(bits))
    put(f"{mean} bits/dim  mean of {len(bits)} {'picture' if len(bits) == 1 else 'pictures'}")


def _figure(value: float, error: float | None) -> str:
    return f"{value:.4f}" if error is None else f"{value:.4f} ± {error:.4f}"
