"""`scoreinv deblur PHOTO... --kernel KERNEL`: remove a known blur."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from scoreinv.cli.options import (
    Common,
    NoiseOption,
    Output,
    PhotosArgument,
    option,
)
from scoreinv.cli.outputs import STREAM
from scoreinv.cli.photo_loop import Progress, Run
from scoreinv.cli.plan import Job
from scoreinv.cli.restoring import Network, Restoration, restore_photos
from scoreinv.errors import InputError
from scoreinv.tasks.linear_settings import LinearSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

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
    network: Network,
    output: Output,
    common: Common,
) -> Run[Any]:
    """Deblur photos, given the blur kernel: defocus, motion, or any other that is known."""
    if kernel == STREAM:
        raise InputError("--kernel -: name a file; stdin is for the photo")
    values = kernel_from_text(kernel)

    def restore(job: Job, picture: Picture, std: float, prior: ScorePrior, progress: Progress) -> Restored[Picture]:
        from scoreinv.tasks.linear import deblur_picture

        return deblur_picture(picture, values, std, prior, settings, progress)

    def result_of(picture: Picture) -> Picture:
        from scoreinv.tasks.linear import check_kernel_size

        check_kernel_size(values, picture)
        return picture

    work = Restoration("_deblurred", restore, result_of, inputs={"the kernel": kernel}, said={"kernel": kernel})
    return restore_photos(photos, work, noise, settings, network, output, common)


def kernel_from_text(text: str) -> np.ndarray:
    """The kernel called `gaussian:2`, `disk:3` or `motion:15,30`, or that of a picture file (its luma).

    Raises:
        InputError: an unknown name, a wrong number, or a file that cannot be a kernel.
    """
    from scoreinv import kernels
    from scoreinv.imaging.read import read_picture

    shapes: dict[str, tuple[Callable[..., np.ndarray], int]] = {
        "gaussian": (kernels.gaussian, 1),
        "disk": (kernels.disk, 1),
        "motion": (kernels.motion, 2),
    }
    forms = "gaussian:SIGMA, disk:RADIUS or motion:LENGTH,ANGLE in pixels and degrees, or a picture of the kernel"
    name, colon, numbers = text.partition(":")
    if name not in shapes:
        return kernels.normalised(read_picture(text).luma(), text)
    if not colon:
        raise InputError(f"{text}: needs its size: {forms}")
    shape, count = shapes[name]
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise InputError(f"{text}: is not a kernel: give {forms}")
    return shape(*values)
