"""`scoreinv upscale PHOTO... --factor N`: enlarge photos."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from scoreinv import imaging, tasks
from scoreinv.cli.options import Common, Output, PhotosArgument, advanced, option
from scoreinv.cli.photo_loop import Made, Progress, Run
from scoreinv.cli.plan import Job
from scoreinv.cli.restoring import Network, restore_photos
from scoreinv.system.options import GRAY_LEVELS
from scoreinv.tasks.settings import Downsampling, LinearSettings

if TYPE_CHECKING:
    from scoreinv.prior import ScorePrior

EXAMPLES = """
  scoreinv upscale photo.png              # twice as large: photo_upscaled.png
  scoreinv upscale photo.png --factor 3 -o large.png
"""


def upscale(
    photos: PhotosArgument,
    *,
    factor: Annotated[int, option(min=2, max=4, help="How many times as large: 2, 3 or 4.")] = 2,
    downsampling: Annotated[
        Downsampling,
        advanced(
            help="How the large picture is reduced to the photo: area, by block means, as by a sensor; bicubic, "
            "antialiased."
        ),
    ] = "area",
    noise: Annotated[
        float,
        option(
            metavar="LEVEL",
            min=0,
            max=GRAY_LEVELS,
            help="Standard deviation of the photo's noise, in grey levels of 255. With 0 the reduced result is exactly "
            "the photo.",
        ),
    ] = 0.0,
    settings: LinearSettings,
    network: Network,
    output: Output,
    common: Common,
) -> Run[Any]:
    """Enlarge photos: the result, reduced again, is the given photo."""

    def restore(job: Job, picture: imaging.Picture, std: float, prior: ScorePrior, progress: Progress) -> Made:
        made = tasks.upscale_picture(picture, factor, downsampling, std, prior, settings, progress)
        return made, {"factor": factor}

    how = noise, settings, network, output, common
    return restore_photos(photos, "_upscaled", restore, *how, result_of=lambda picture: picture.enlarged(factor))
