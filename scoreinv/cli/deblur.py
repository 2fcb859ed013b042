"""`scoreinv deblur PHOTO... --kernel KERNEL`: remove a known blur."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scoreinv.cli.command import Settings
from scoreinv.cli.outputs import STREAM
from scoreinv.cli.restoring import NoiseOption, Photo, PhotoOptions, RestorationOptions, Restoring, restore_photos
from scoreinv.errors import InputError

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.results import Restored, TaskCallback
    from scoreinv.tasks.settings import LinearSettings

EXAMPLES = """
  scoreinv deblur photo.jpg --kernel motion:15,30  # writes photo_deblurred.png
  scoreinv deblur photo.jpg --kernel disk:3        # out of focus
"""


def deblur(
    *,
    photos: PhotoOptions,
    kernel: Annotated[
        str,
        typer.Option(
            "--kernel",
            metavar="KERNEL",
            help="Blur kernel: gaussian:SIGMA, disk:RADIUS (defocus), motion:LENGTH,ANGLE (pixels, and degrees "
            "anticlockwise from the right), or a picture file of the kernel.",
            show_default=False,
        ),
    ],
    noise: NoiseOption = None,
    how: RestorationOptions,
    settings: Settings,
) -> None:
    """Deblur photos, given the blur kernel: defocus, motion, or any other that is known."""
    from scoreinv.imaging.kernel_files import kernel_from_text

    if kernel == STREAM:
        raise InputError("--kernel -: name a file; stdin is for the photo")
    values = kernel_from_text(kernel)

    def restore(photo: Photo, prior: ScorePrior, sampling: LinearSettings, callback: TaskCallback) -> Restored[Picture]:
        from scoreinv.tasks.linear import deblur_picture

        return deblur_picture(photo.picture, values, photo.noise, prior, sampling, callback)

    def check(picture: Picture) -> None:
        from scoreinv.tasks.linear import check_kernel_size

        check_kernel_size(values, picture)

    restoring = Restoring(
        "_deblurred",
        how.sampling(how.method, how.steps),
        noise,
        restore,
        read={"the kernel": kernel},
        said={"kernel": kernel},
        check=check,
    )
    raise typer.Exit(restore_photos(photos, restoring, settings))
