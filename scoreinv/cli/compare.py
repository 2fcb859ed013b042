"""`scoreinv compare ORIGINAL RESULT`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv.batch.plan import Frame
from scoreinv.cli.options import Common
from scoreinv.cli.render import emit, put, rehearse
from scoreinv.system.errors import InputError
from scoreinv.system.files import STREAM
from scoreinv.system.options import Setting
from scoreinv.system.text import percent

if TYPE_CHECKING:
    from scoreinv.tasks.compare import Comparison

UNUSED = ("seed", "device", "precision", "threads")


def compare(
    original: Annotated[str, typer.Argument(metavar="ORIGINAL", help="The original.", show_default=False)],
    result: Annotated[str, typer.Argument(metavar="RESULT", help="The restored photo.", show_default=False)],
    *,
    changes: Annotated[
        str | None, Setting("Mask of the changes, from --changes of the command that made the result.", metavar="FILE")
    ] = None,
    output: Annotated[
        str | None,
        Setting(
            "Also write both photos side by side: generated pixels red, altered blue, changes outside the mask yellow.",
            metavar="FILE",
            option="-o --output",
        ),
    ] = None,
    frame: Frame = None,
    common: Common,
) -> None:
    """Check that a result is the original outside the mask of its changes; exit status 1 if it is not.

    \b
    scoreinv compare old.jpg result.png                     # how many pixels differ
    scoreinv compare old.jpg result.png --changes mask.png  # any outside the mask?
    """
    from scoreinv import files, tasks

    if [original, result, changes].count(STREAM) > 1:
        raise InputError("- (stdin) can be read once")
    if output is not None:
        _check_output(output, original, result, changes, common)
    before, after = files.read_picture(original, frame), files.read_picture(result)
    mask = None if changes is None else files.read_picture(changes)
    found = tasks.compare_pictures(before, after, mask, name=changes or "the mask")
    row = {"input": original, "result": result, "changes": changes} | _row(found)
    if common.dry_run:
        rehearse(common, row, f"{result}: would be compared{f', and written to {output}' if output else ''}")
        return
    if output is not None:
        files.write_picture(output, found.side_by_side(), overwrite=common.overwrite)
        row["output"] = output
    if common.json:
        emit(common, row)
    elif output != STREAM:
        for line in _sentences(row):
            put(f"{result}: {line}")
    raise typer.Exit(1 if found.unmarked.any() else 0)


def _row(found: Comparison) -> dict[str, Any]:
    """Return the figures of a comparison for its JSON record; those of a missing mask or record are null."""
    return {
        "outside": int(found.unmarked.sum()),
        "untouched": found.untouched,
        "identical": found.identical,
        "generated": found.generated,
        "altered": found.altered,
        "recorded": found.record is not None,
        "as_recorded": found.as_recorded,
    }


def _check_output(output: str, original: str, result: str, changes: str | None, common: Common) -> None:
    """Raise InputError unless the comparison can be written to a path, or to stdout."""
    from scoreinv import files

    inputs = {original: "the original", result: "the result", **({changes: "the mask"} if changes else {})}
    files.refuse_inputs("-o", [output], inputs)
    if common.json and output == STREAM:
        raise InputError("-o - and --json both need stdout: name a file with -o")
    files.check_output(output, overwrite=common.overwrite)


def _sentences(row: dict[str, Any]) -> list[str]:
    """Return sentences about a comparison, by its JSON record."""
    if row["changes"] is None:
        lines = [f"{percent(row['identical'])} of its pixels are the original's (--changes checks them by a mask)"]
    elif row["untouched"]:
        lines = ["all pixels outside the mask are the original's"]
    else:
        lines = [f"{row['outside']} pixels outside the mask are not the original's"]
    if row["changes"] is not None:
        lines.append(f"{percent(row['generated'])} is generated and {percent(row['altered'])} altered, by the mask")
    if not row["recorded"]:
        lines.append("there is no record that it was made from this original")
    elif row["as_recorded"]:
        lines.append("its pixels are those of its record")
    else:
        lines.append("its pixels are not those of its record: its format is lossy, or it was edited afterwards")
    return lines
