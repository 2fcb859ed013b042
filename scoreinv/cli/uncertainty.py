"""`--uncertainty FILE`: a map of where the samples of a photo differ."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoreinv.cli.command import Settings
from scoreinv.cli.options import OUTPUT
from scoreinv.cli.outputs import Job, Plan, check_outputs, refuse_inputs
from scoreinv.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from scoreinv.tasks.settings import ColourSettings, FillSettings, LinearSettings

UncertaintyOption = Annotated[
    str | None,
    typer.Option(
        "--uncertainty",
        metavar="FILE",
        help="Also write a map of where the samples of one photo differ. Needs --samples 2 or more.",
        rich_help_panel=OUTPUT,
    ),
]


def check_uncertainty(
    path: str,
    everything: Plan,
    sampling: FillSettings | ColourSettings | LinearSettings,
    settings: Settings,
    read: Mapping[str, str],
) -> None:
    """Raise InputError where the map could not be written, or would be of nothing; ScoreinvError without OpenCV.

    read: files that are read beside the photo, by what they are.
    """
    from scoreinv.imaging.opencv import load_opencv

    if everything.batch:
        raise InputError("--uncertainty writes one file: it takes one photo")
    if sampling.samples < 2:
        raise InputError("--uncertainty is the spread of several samples: add --samples 4, or another number from 2 on")
    if Path(path).suffix.lower() not in (".png", ".tif", ".tiff"):
        raise InputError(f"--uncertainty {path}: the standard deviation is written to .png or .tif")
    (job,) = everything.jobs
    inputs = {"the photo": job.source, **read}
    read_or_written = (*inputs.values(), *job.outputs(sampling.results))
    if os.path.realpath(path) in map(os.path.realpath, read_or_written):  # a result may be yet to come
        raise InputError(f"--uncertainty {path}: is {', '.join(inputs)} or a result: name another file")
    refuse_inputs("--uncertainty", [path], inputs)
    check_outputs([path], overwrite=settings.overwrite)
    load_opencv()  # its colour map is wanted when the work is done


def map_beside(path: str | None) -> Callable[[Job], list[str]]:
    """What `Work.beside` is with such a map, or without (None)."""
    return lambda job: [] if path is None else [path]


def write_uncertainty(path: str, std: np.ndarray, settings: Settings) -> None:
    """Write the map of a standard deviation HxW in [0, 1] units, with a legend; see `deviation_map`."""
    from scoreinv.imaging.picture import Picture
    from scoreinv.imaging.sheet import deviation_map
    from scoreinv.imaging.write import write_picture

    write_picture(path, Picture(deviation_map(std)), overwrite=settings.overwrite)
