"""`scoreinv select PHOTO`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from scoreinv import models, tasks
from scoreinv.batch.plan import OutputOptions
from scoreinv.cli.options import Common
from scoreinv.cli.photos import run
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.system.options import Setting
from scoreinv.tasks.requests import SelectRequest

UNUSED = ("seed", "device", "precision", "recursive", "shard", "workers", "changes", "provenance", "record_time")


def select(
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="Photo; - is stdin.", show_default=False)],
    *,
    at: Annotated[
        list[str] | None,
        Setting("Point on the object, in pixels from the upper left corner. Repeatable.", metavar="X,Y"),
    ] = None,
    not_at: Annotated[
        list[str] | None, Setting("Point beside the object. Repeatable.", metavar="X,Y", option="--not")
    ] = None,
    box: Annotated[
        str | None, Setting("Box around the object: upper left corner, width, height.", metavar="X,Y,W,H")
    ] = None,
    request: SelectRequest,
    output: OutputOptions,
    common: Common,
) -> None:
    """Select an object of a photo by points or a box, as a mask for inpaint.

    \b
    scoreinv select photo.jpg --box 250,120,180,260          # around an object; writes photo_selection.png
    scoreinv select photo.jpg --at 320,200 --not 300,370     # on it, and beside it
    scoreinv inpaint photo.jpg --mask photo_selection.png    # removes it
    """
    points, others = (
        tuple(_numbers(option, text, 2) for text in given or ()) for option, given in (("--at", at), ("--not", not_at))
    )
    around = None if box is None else _numbers("--box", box, 4)
    if not points and around is None:
        raise InputError("no object: give a point on it with --at X,Y, or a box with --box X,Y,W,H")
    if Path(photo).is_dir():
        raise InputError(f"{photo}: is a folder: name a photo")
    models.load_onnxruntime()
    request = replace(request, at=points, not_at=others, box=around)
    machine = Models(machine=common.machine)
    run([photo], tasks.select_picture, request, output, common, machine, suffix="_selection", kind="png")


def _numbers(option: str, text: str, count: int) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise InputError(f"{option} {text}: give {'X,Y' if count == 2 else 'X,Y,W,H'}, in pixels")
    return numbers
