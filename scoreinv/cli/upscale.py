"""`scoreinv upscale PHOTO... --factor N`: enlarge photos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scoreinv.cli.command import Settings
from scoreinv.cli.pages import ADVANCED
from scoreinv.cli.restoring import Photo, PhotoOptions, RestorationOptions, Restoring, restore_photos
from scoreinv.options import GRAY_LEVELS, Downsampling

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.results import Restored, TaskCallback
    from scoreinv.tasks.settings import LinearSettings

EXAMPLES = """
  scoreinv upscale photo.png              # twice as large: photo_upscaled.png
  scoreinv upscale photo.png --factor 3 -o large.png
"""


def upscale(
    *,
    photos: PhotoOptions,
    factor: Annotated[int, typer.Option("--factor", min=2, max=4, help="How many times as large: 2, 3 or 4.")] = 2,
    downsampling: Annotated[
        Downsampling,
        typer.Option(
            "--downsampling",
            help="How the large picture is reduced to the photo: area, by block means, as by a sensor; bicubic, "
            "antialiased.",
            rich_help_panel=ADVANCED,
        ),
    ] = "area",
    noise: Annotated[
        float,
        typer.Option(
            "--noise",
            metavar="LEVEL",
            min=0,
            max=GRAY_LEVELS,
            help="Standard deviation of the photo's noise, in grey levels of 255. With 0 the reduced result is exactly "
            "the photo.",
        ),
    ] = 0.0,
    how: RestorationOptions,
    settings: Settings,
) -> None:
    """Enlarge photos: the result, reduced again, is the given photo."""

    def restore(photo: Photo, prior: ScorePrior, sampling: LinearSettings, callback: TaskCallback) -> Restored[Picture]:
        from scoreinv.tasks.linear import upscale_picture

        return upscale_picture(photo.picture, factor, downsampling, photo.noise, prior, sampling, callback)

    restoring = Restoring(
        "_upscaled",
        how.sampling(how.method, how.steps),
        noise,
        restore,
        said={"factor": factor},
        result_of=lambda picture: picture.enlarged(factor),
    )
    raise typer.Exit(restore_photos(photos, restoring, settings))
