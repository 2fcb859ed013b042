"""`scoreinv deblur PHOTO...`: remove a blur, which is found or given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args

from scoreinv import analysis, files, imaging, tasks
from scoreinv.cli.options import Common, NoiseOption, Output, PhotosArgument, option
from scoreinv.cli.outputs import STREAM
from scoreinv.cli.photo_loop import Made, Progress, Run
from scoreinv.cli.plan import Job
from scoreinv.cli.report import notice, warn
from scoreinv.cli.restoring import Network, restore_photos
from scoreinv.system.errors import InputError
from scoreinv.tasks.settings import LinearSettings

if TYPE_CHECKING:
    import numpy as np

    from scoreinv.operators.kernels import PointSpread
    from scoreinv.prior import ScorePrior

EXAMPLES = """
  scoreinv deblur photo.jpg                        # says what blurred it; writes photo_deblurred.png
  scoreinv deblur photo.jpg --kernel motion:15,30  # moved
  scoreinv deblur photo.jpg --kernel disk:3        # out of focus
"""


def deblur(
    photos: PhotosArgument,
    *,
    kernel: Annotated[
        str | None,
        option(
            metavar="KERNEL",
            help="Blur kernel: gaussian:SIGMA, disk:RADIUS (defocus), motion:LENGTH,ANGLE (pixels, and degrees "
            "anticlockwise from the right), or a picture file of the kernel. (default: found, where it can be told)",
        ),
    ] = None,
    noise: NoiseOption = None,
    settings: LinearSettings,
    network: Network,
    output: Output,
    common: Common,
) -> Run[Any]:
    """Deblur photos: what blurred them, defocus, a movement or a Gaussian, is found, or its kernel is given."""
    if kernel == STREAM:
        raise InputError("--kernel -: name a file; stdin is for the photo")
    given = None if kernel is None else kernel_from_text(kernel)

    def restore(job: Job, picture: imaging.Picture, std: float, prior: ScorePrior, progress: Progress) -> Made:
        found = None
        if given is None:
            try:
                found = tasks.find_blur(picture)
            except InputError as error:
                raise InputError(f"{job.source}: {error} (--kernel)") from error
            notice(common, f"{job.source}: {found.words} (--kernel {found} sets it)")
        result = tasks.deblur_photo(picture, found if given is None else given, std, prior, settings, progress, found)
        for note in result.notes:
            warn(f"{job.source}: {note}")
        return result, {"kernel": kernel if found is None else str(found)}

    def result_of(picture: imaging.Picture) -> imaging.Picture:
        if given is not None:
            tasks.check_kernel_size(given, picture)
        return picture

    how = noise, settings, network, output, common
    estimate = analysis.noise_under_blur
    return restore_photos(photos, "_deblurred", restore, *how, result_of=result_of, estimate=estimate, kernel=kernel)


def kernel_from_text(text: str) -> PointSpread | np.ndarray:
    """Return the kernel named `gaussian:2`, `disk:3` or `motion:15,30`, or that of a picture file (its luma).

    Raises:
        InputError: an unknown name, a wrong number, or a file that cannot be a kernel.
    """
    from scoreinv.operators.kernels import BlurKind, PointSpread, normalised

    forms = "gaussian:SIGMA, disk:RADIUS or motion:LENGTH,ANGLE in pixels and degrees, or a picture of the kernel"
    name, colon, numbers = text.partition(":")
    kind = next((kind for kind in get_args(BlurKind) if kind == name), None)
    if kind is None:
        return normalised(files.read_picture(text).luma(), text)
    if not colon:
        raise InputError(f"{text}: needs its size: {forms}")
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        values = []
    if len(values) != (2 if name == "motion" else 1):
        raise InputError(f"{text}: is not a kernel: give {forms}")
    spread = PointSpread(kind, *values)
    spread.kernel()  # raises if it cannot be one
    return spread
