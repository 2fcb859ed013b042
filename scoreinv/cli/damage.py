"""`scoreinv damage PHOTO...`: find what is damaged, as masks for inpaint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from scoreinv.cli.batch import Report, Work, run
from scoreinv.cli.command import Settings
from scoreinv.cli.messages import notice
from scoreinv.cli.options import FrameOption, PhotosArgument, RestorerOption, ResultOptions
from scoreinv.cli.outputs import Job
from scoreinv.cli.progress import ProgressBar
from scoreinv.cli.runtime import FinderSession
from scoreinv.cli.streams import warn
from scoreinv.options import FOUND_GROW, MOST_GROW, SENSITIVITY, USUAL_SENSITIVITY

if TYPE_CHECKING:
    import numpy as np

    from scoreinv.imaging.picture import Picture
    from scoreinv.tasks.results import TaskCallback

EXAMPLES = """
  scoreinv damage old.jpg                    # writes old_damage.png, a mask
  scoreinv damage scans/ --sensitivity 0.7   # a folder; marks more
"""
SUFFIX = "_damage"
"""Of the names of results, by which `inpaint` finds them in a folder too."""
FINDER = "damage"
"""The bundled model."""
METHOD = "segmentation"


@dataclass(frozen=True)
class _Photo:
    """A photo at hand, and its path."""

    source: str
    picture: Picture


def damage(
    photos: PhotosArgument,
    *,
    results: ResultOptions,
    sensitivity: Annotated[
        float,
        typer.Option(
            "--sensitivity", min=SENSITIVITY.least, max=SENSITIVITY.most, help="How readily damage is marked, 0 to 1."
        ),
    ] = USUAL_SENSITIVITY,
    grow: Annotated[
        int,
        typer.Option("--grow", min=0, max=MOST_GROW, help="Enlarge what is found by this many pixels, for soft edges."),
    ] = FOUND_GROW,
    model: RestorerOption = FINDER,
    frame: FrameOption = None,
    settings: Settings,
) -> None:
    """Find scratches, creases, dust, stains, torn corners and writing in scans: a mask, white where it is damaged."""
    everything = results.plan(photos, SUFFIX, 1, {"the model": model})
    session = FinderSession(model, settings)

    def read(job: Job) -> _Photo:
        from scoreinv.imaging.read import read_picture
        from scoreinv.imaging.write import check_size

        picture = read_picture(job.source, frame)
        check_size(job.output, picture.size)
        return _Photo(job.source, picture)

    def compute(photo: _Photo, bar: ProgressBar) -> Report:
        from scoreinv.imaging.masks import picture_of_hole

        hole = find(photo.source, photo.picture, session, sensitivity, grow, bar.fraction)
        return Report([picture_of_hole(hole)], 1, METHOD, {"damaged": damaged_share(hole)})

    raise typer.Exit(run(everything, Work(read, compute, 1, results.quality), session))


def find(
    source: str,
    picture: Picture,
    session: FinderSession,
    sensitivity: float,
    grow: int,
    callback: TaskCallback | None,
) -> np.ndarray:
    """The damage of a photo, HxW bool; says how much of it there is."""
    from scoreinv.imaging.masks import percent
    from scoreinv.tasks.find_damage import damage_in_picture

    hole = damage_in_picture(picture, session.finder, sensitivity, grow, callback)
    if hole.any():
        notice(session.settings, f"{source}: {percent(hole)} of it is marked as damage (--sensitivity sets it)")
    else:
        warn(f"{source}: no damage was found (a --sensitivity above {sensitivity:g} marks more readily)")
    return hole


def damaged_share(hole: np.ndarray) -> float:
    """What the records say of how much is damaged: a share of the pixels."""
    return round(float(hole.mean()), 6)
