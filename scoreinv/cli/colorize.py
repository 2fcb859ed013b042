"""`scoreinv colorize GRAY...`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import typer

from scoreinv import files, tasks
from scoreinv.batch.plan import AuxiliaryFiles, OutputOptions, expand
from scoreinv.cli.options import Common, Hints, TaskModel, Uncertainty
from scoreinv.cli.photos import run
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.system.files import STREAM
from scoreinv.system.options import Setting
from scoreinv.tasks.requests import ColorizeRequest


def colorize(
    photos: Annotated[
        list[str], typer.Argument(metavar="GRAY", help="Grey photos or folders; - is stdin.", show_default=False)
    ],
    *,
    hints: Hints = None,
    like: Annotated[
        list[str] | None,
        Setting("Photo in colour, or a folder of them: similar things take its colours. Repeatable.", metavar="PATH"),
    ] = None,
    tint: Annotated[
        Literal["luma", "white"],
        Setting(
            "Tones of a sepia print without its tint. luma: its brightness; white: its lightest tone becomes white."
        ),
    ] = "luma",
    request: ColorizeRequest,
    model: TaskModel = "scene",
    uncertainty: Uncertainty = None,
    output: OutputOptions,
    common: Common,
) -> None:
    """Add colour to grey photos; their brightness is kept.

    \b
    scoreinv colorize gray.jpg                     # writes gray_colorized.png
    scoreinv colorize gray.jpg --hints hints.png   # with colour strokes
    scoreinv colorize gray.jpg --like summer.jpg   # with the colours of a similar photo
    """
    references = [path for item in like or () for path in expand(item, recursive=output.recursive)]
    if STREAM in references:
        raise InputError("--like -: name a file; stdin is for the photo")
    for path in references:
        files.check_file(path, "--like")
    request = replace(request, whiten=tint == "white")
    auxiliary = AuxiliaryFiles(hints=hints, references=tuple(references), uncertainty=uncertainty)
    models = Models(colorize=model, machine=common.machine)
    run(photos, tasks.colorize_picture, request, output, common, models, suffix="_colorized", auxiliary=auxiliary)
