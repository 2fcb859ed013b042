"""`scoreinv colorize GRAY...`: add colour."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scoreinv.cli.loading import Model, check_samples
from scoreinv.cli.options import (
    STREAM_HELP,
    Common,
    Output,
    RestorerOption,
    UncertaintyOption,
    option,
)
from scoreinv.cli.outputs import STREAM, check_file
from scoreinv.cli.photo_loop import Progress, Run, check_uncertainty
from scoreinv.cli.plan import Job, plan
from scoreinv.cli.report import warn
from scoreinv.errors import InputError
from scoreinv.tasks.colorize_settings import ColourSettings

if TYPE_CHECKING:
    from scoreinv.imaging.hints import KnownColours
    from scoreinv.imaging.picture import Picture
    from scoreinv.tasks.results import Restored

EXAMPLES = """
  scoreinv colorize gray.jpg                     # writes gray_colorized.png
  scoreinv colorize gray.jpg --hints hints.png   # with strokes of your colours
"""
HintsOption = Annotated[
    str | None,
    option("--hints", metavar="FILE", help="Colour strokes, on a transparent picture of the photo's size."),
]


def colorize(
    photos: Annotated[
        list[str], typer.Argument(metavar="GRAY...", help=f"Grey photos or folders; {STREAM_HELP}", show_default=False)
    ],
    *,
    hints: HintsOption = None,
    tint: Annotated[
        Literal["luma", "white"],
        option(help="A tinted print (sepia) loses it. luma: its brightness stays; white: its lightest tone is white."),
    ] = "luma",
    colour: ColourSettings,
    model: RestorerOption = "scene",
    uncertainty: UncertaintyOption = None,
    output: Output,
    common: Common,
) -> Run[Any]:
    """Colour grey photos; their brightness, and so all detail, is kept to the grey level."""
    colour = replace(colour, whiten=tint == "white")
    check_hints(hints)
    inputs = {"the hints": hints, "the model": model}
    everything = plan(photos, "_colorized", colour.results, output, inputs)
    if uncertainty is not None:
        check_uncertainty(uncertainty, everything, colour.samples, common, inputs, photos, output)
    scene = Model(model, common)

    def read(job: Job, picture: Picture) -> KnownColours | None:
        from scoreinv.imaging.hints import read_hints

        return None if hints is None else read_hints(hints, picture.size)

    def compute(
        job: Job, picture: Picture, given: KnownColours | None, progress: Progress
    ) -> tuple[Restored[Picture], dict[str, Any]]:
        from scoreinv.machine import keep_freed
        from scoreinv.tasks.colorize import colorize_picture

        keep_freed()
        check_samples(colour.samples, picture, coloured=True)
        result = colorize_picture(picture, scene.load(), colour, given, progress)
        if result.found == "coloured" and not colour.keep_color:
            warn(f"{job.source}: has colours already, which are replaced (--keep-color keeps them)")
        if result.found == "tinted" and tint == "luma":
            remedy = "--tint white makes its lightest tone white too"
            warn(f"{job.source}: is a tinted print, as sepia is: its tint is removed ({remedy})")
        return result, {}

    return Run(everything, output, common, compute, [scene], read, uncertainty=uncertainty)


def check_hints(hints: str | None) -> None:
    """Raise InputError for hints that are no file."""
    if hints == STREAM:
        raise InputError("--hints -: name a file; stdin is for the photo")
    if hints is not None:
        check_file(hints, "--hints")
