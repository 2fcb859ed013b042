"""`scoreinv deblur PHOTO... --kernel KERNEL`: remove a known blur."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from scoreinv.cli.options import (
    Common,
    NoiseOption,
    Output,
    PhotosArgument,
    RestorerOption,
    UncertaintyOption,
    option,
)
from scoreinv.cli.photos import Photo, Progress
from scoreinv.cli.plan import STREAM, Job
from scoreinv.cli.report import naming
from scoreinv.cli.restoring import Noise, restore_photos
from scoreinv.errors import InputError
from scoreinv.tasks.settings import LinearSettings

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.results import Restored

EXAMPLES = """
  scoreinv deblur photo.jpg --kernel motion:15,30  # writes photo_deblurred.png
  scoreinv deblur photo.jpg --kernel disk:3        # out of focus
"""


def deblur(
    photos: PhotosArgument,
    *,
    kernel: Annotated[
        str,
        option(
            metavar="KERNEL",
            help="Blur kernel: gaussian:SIGMA, disk:RADIUS (defocus), motion:LENGTH,ANGLE (pixels, and degrees "
            "anticlockwise from the right), or a picture file of the kernel.",
        ),
    ],
    noise: NoiseOption = None,
    settings: LinearSettings,
    model: RestorerOption = "denoiser",
    uncertainty: UncertaintyOption = None,
    output: Output,
    common: Common,
) -> None:
    """Deblur photos, given the blur kernel: defocus, motion, or any other that is known."""
    from scoreinv.imaging.kernel_files import kernel_from_text

    if kernel == STREAM:
        raise InputError("--kernel -: name a file; stdin is for the photo")
    values = kernel_from_text(kernel)

    def restore(photo: Photo[Noise], prior: ScorePrior, progress: Progress) -> Restored:
        from scoreinv.tasks.linear import deblur_picture

        return deblur_picture(photo.picture, values, photo.given.std, prior, settings, progress)

    def check(job: Job, picture: Picture) -> None:
        from scoreinv.tasks.linear import check_kernel_size

        with naming(job.source):
            check_kernel_size(values, picture)

    restore_photos(
        photos,
        "_deblurred",
        restore,
        settings,
        noise,
        model,
        uncertainty,
        output,
        common,
        inputs={"the kernel": kernel},
        said={"kernel": kernel},
        check=check,
    )
