"""`scoreinv colorize GRAY...`: add colour."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Annotated, Any, Literal

import typer

from scoreinv import imaging, inputs, tasks
from scoreinv.cli.loading import Model, check_samples
from scoreinv.cli.options import STREAM_HELP, Common, Output, RestorerOption, UncertaintyOption, option
from scoreinv.cli.outputs import STREAM, check_file
from scoreinv.cli.photo_loop import Made, Progress, Run, uncertainty_maps
from scoreinv.cli.plan import Job, expand, plan
from scoreinv.cli.report import warn
from scoreinv.system.errors import InputError
from scoreinv.tasks.settings import ColourSettings

EXAMPLES = """
  scoreinv colorize gray.jpg                     # writes gray_colorized.png
  scoreinv colorize gray.jpg --hints hints.png   # with strokes of your colours
  scoreinv colorize gray.jpg --like summer.jpg   # with the colours of what looks alike there
"""
_REMEDIES: dict[Any, str] = {
    "coloured": "--keep-color keeps them",
    "tinted": "--tint white makes its lightest tone white too",
}
HintsOption = Annotated[
    str | None, option(metavar="FILE", help="Colour strokes, on a transparent picture of the photo's size.")
]


def colorize(
    photos: Annotated[
        list[str], typer.Argument(metavar="GRAY...", help=f"Grey photos or folders; {STREAM_HELP}", show_default=False)
    ],
    *,
    hints: HintsOption = None,
    like: Annotated[
        list[str] | None,
        option(
            metavar="PHOTO|FOLDER",
            help="A photo in colour, or a folder of them: what looks alike takes its colours. Can be repeated.",
        ),
    ] = None,
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
    pictures = read_references(like or (), deep=output.recursive)
    read_too = {"the hints": hints, "the model": model, **{f"a photo of --like ({path})": path for path in pictures}}
    everything = plan(photos, "_colorized", colour.results, output, common, read_too)
    maps = uncertainty_maps(uncertainty, everything, colour.samples)
    scene = Model(model, common)

    @cache
    def references() -> list[tasks.Reference]:
        return [tasks.Reference.of(picture, scene.load()) for picture in pictures.values()]

    def read(job: Job, picture: imaging.Picture) -> inputs.KnownColours | None:
        return None if hints is None else inputs.read_hints(hints, picture.size)

    def compute(job: Job, picture: imaging.Picture, given: inputs.KnownColours | None, progress: Progress) -> Made:
        check_samples(colour.samples, picture, coloured=True)
        result = tasks.colorize_picture(picture, scene.load(), colour, given, progress, references=references())
        if note := tasks.colour_note(result.found, colour):
            warn(f"{job.source}: {note} ({_REMEDIES[result.found]})")
        return result, {}

    return Run(everything, compute, [scene], read, uncertainty=maps)


def read_references(like: Iterable[str], *, deep: bool) -> dict[str, imaging.Picture]:
    """The photos in colours of `--like`, which may be folders, by their paths; InputError where none has any."""
    paths = [path for item in like for path in expand(item, deep=deep)]
    if not paths:
        return {}
    if STREAM in paths:
        raise InputError("--like -: name a file; stdin is for the photo")
    for path in paths:
        check_file(path, "--like")
    pictures = {path: inputs.read_reference(path) for path in paths}
    coloured = {path: picture for path, picture in pictures.items() if inputs.gives_colours(picture)}
    gray = [path for path in pictures if path not in coloured]
    if not coloured:
        raise InputError(f"{gray[0]}: is grey, and gives no colours")
    if gray:
        warn(f"--like: left out, as grey: {', '.join(gray)}")
    return coloured


def check_hints(hints: str | None) -> None:
    """Raise InputError for hints that are no file."""
    if hints == STREAM:
        raise InputError("--hints -: name a file; stdin is for the photo")
    if hints is not None:
        check_file(hints, "--hints")
