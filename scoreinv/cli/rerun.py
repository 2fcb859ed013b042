"""`scoreinv rerun RESULT`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from scoreinv.batch.plan import OutputOptions, ending, expand, single_output
from scoreinv.cli.options import THREADS, Common
from scoreinv.cli.render import emit, notice, rehearse, warn
from scoreinv.inputs.mask_options import MaskOptions
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.system.options import Precision, Setting, check
from scoreinv.system.progress import reported_to
from scoreinv.system.progress_bar import progress_bar
from scoreinv.system.terminal import duration
from scoreinv.tasks.table import HINTS

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.imaging.records import Record

UNUSED = ("seed", "recursive", "format", "shard", "workers", "changes", "provenance", "record_time")


def rerun(
    result: Annotated[str, typer.Argument(metavar="RESULT", help="A result with a record.", show_default=False)],
    *,
    original: Annotated[
        str | None, Setting("The original. (default: found beside the result by its pixels)", metavar="FILE")
    ] = None,
    mask: Annotated[
        str | None, Setting("Mask of the run; for inpaint its mask of --changes will do.", metavar="MASK")
    ] = None,
    avoid: Annotated[str | None, Setting("Mask given to the run with --avoid.", metavar="MASK")] = None,
    hints: Annotated[str | None, HINTS] = None,
    like: Annotated[
        list[str] | None, Setting("Reference photo of the run, or a folder of them. Repeatable.", metavar="PATH")
    ] = None,
    model: Annotated[
        list[str] | None, Setting("Model file of the run, if it is not bundled. Repeatable.", metavar="FILE")
    ] = None,
    masks: MaskOptions,
    output: OutputOptions,
    common: Common,
) -> None:
    """Repeat the run that made a result, by the record in the result; exit status 1 if the pixels differ.

    \b
    scoreinv rerun result.png                      # writes result_rerun.png
    scoreinv rerun result.png --original old.jpg
    scoreinv rerun photo_inpainted.png --mask mask.png
    """
    from scoreinv import files, inputs
    from scoreinv.imaging.records import history_of
    from scoreinv.tasks.provenance import with_provenance
    from scoreinv.tasks.requests import Inputs
    from scoreinv.tasks.rerun import differences, repeated
    from scoreinv.tasks.rerun import rerun as run_again

    target = single_output(result, output, ending(result, "_rerun", output, None))
    history = history_of(files.read_picture(result).metadata.xmp)
    if not history:
        raise InputError(f"{result}: has no record of scoreinv: it was made without one, or lost it")
    record = history[-1]
    if common.precision == "auto":
        precision = next((each for each in get_args(Precision) if each == record.precision), common.precision)
        common = replace(common, precision=precision)
    if common.threads is None and record.threads is not None:
        check("threads", record.threads, THREADS)
        common = replace(common, threads=record.threads)
    models = _models(record, model or [], common)
    source, picture = _original(result, original, record, output.frame)
    given = Inputs(
        picture,
        None if mask is None else _hole(mask, picture, masks),
        None if avoid is None else _hole(avoid, picture, replace(masks, invert_mask=False, grow=None)),
        None if hints is None else inputs.read_hints(hints, picture.size),
        inputs.read_references(path for item in like or () for path in expand(item, recursive=False)),
    )
    if common.dry_run:
        rehearse(common, {"input": source, "outputs": [target]}, f"{source}: would be written to {target}")
        return
    files.check_output(target, overwrite=common.overwrite)
    if "torch" in record.software:
        models.machine.start_torch()
    started = time.monotonic()
    with progress_bar(source, quiet=common.quiet or common.json) as show, reported_to(show):
        outcome = run_again(record, given, models)
    made = with_provenance(outcome, repeated(outcome, record))
    files.write_picture(target, made, overwrite=common.overwrite, quality=output.quality)
    now = history_of(made.metadata.xmp)[-1]
    equal, changed = now.result == record.result, differences(record, now)
    row: dict[str, Any] = {"input": source, "output": target, "outputs": [target], "result": result, "equal": equal}
    emit(common, row | {"differences": changed, "seconds": round(time.monotonic() - started, 3)})
    for name, (before, after) in changed.items():
        warn(f"{result}: {name}: {before or 'none'} then, {after or 'none'} now")
    words = "equal to the bit" if equal else "its pixels differ from those of the record"
    notice(common, f"{target}: {words} ({duration(time.monotonic() - started)})")
    raise typer.Exit(0 if equal else 1)


def _hole(path: str, picture: Picture, masks: MaskOptions) -> Any:
    from scoreinv import inputs

    threshold, grow = masks.mask_threshold, masks.grow or 0
    return inputs.read_mask(
        path, picture.size, threshold=threshold, invert=masks.invert_mask, grow=grow, may_be_black=True
    )


def _models(record: Record, files: list[str], common: Common) -> Models:
    """Return the models of a record's roles: bundled ones by name, others by the hash of a given file.

    Raises InputError if one has no name, and no file has its hash.
    """
    from scoreinv.models.catalogue import locate, sha256
    from scoreinv.models.kinds import HelperName

    given = {sha256(locate(path)): path for path in files}
    chosen: dict[str, Any] = {}
    for role, model in record.models.items():
        if role in get_args(HelperName):
            continue
        found = given.get(str(model.get("sha256"))) or model.get("name")
        if found is None and model.get("sha256") is None:
            raise InputError(f"the {role} model was not loaded from a file: the run cannot be repeated")
        if found is None:
            raise InputError(f"the {role} model has no name, and the SHA-256 {model.get('sha256')}: give its --model")
        chosen[role] = found
    try:
        return Models(**chosen, machine=common.machine)
    except TypeError as error:
        raise InputError(f"the record names an unknown model: {error}") from error


def _original(result: str, given: str | None, record: Record, frame: int | None) -> tuple[str, Picture]:
    """Return path and picture of the original; raise InputError if it is not found beside the result."""
    from scoreinv import files
    from scoreinv.files.read import decode
    from scoreinv.imaging.records import pixel_hash

    if given is not None:
        return given, files.read_picture(given, frame)
    for path in _candidates(Path(result)):
        try:
            picture = decode(path).picture  # without warnings about files that are none of the run's
        except InputError:
            continue
        if pixel_hash(picture) == record.original:
            return str(path), picture
    raise InputError(f"{result}: its original is not beside it: name it with --original")


def _candidates(result: Path) -> Iterator[Path]:
    """Yield the pictures in which to look for a result's original, the likeliest names first.

    They are in the result's folder, and for a result in `NAME_inpainted/` in the folder `NAME`. Folders that cannot be
    listed have none.
    """
    from scoreinv import files

    def listed(folder: Path) -> list[Path]:
        with suppress(OSError):
            return sorted(folder.iterdir())
        return []

    folder = result.absolute().parent
    named_after = [each for each in listed(folder.parent) if folder.name.startswith(f"{each.name}_")]
    for place in (folder, *(each for each in named_after if each.is_dir())):
        pictures = [each for each in listed(place) if each.is_file() and files.is_picture(Path(each.name))]
        pictures = [each for each in pictures if each.absolute() != result.absolute()]
        yield from sorted(pictures, key=lambda each: not result.stem.startswith(each.stem))
