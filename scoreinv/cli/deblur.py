"""`scoreinv deblur PHOTO... --kernel KERNEL`: remove a known blur."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from scoreinv.cli.common import (
    FormatOption,
    FrameOption,
    ModelOption,
    OutputOption,
    QualityOption,
    SamplesOption,
    Settings,
)
from scoreinv.cli.outputs import STREAM
from scoreinv.cli.restoring import (
    Files,
    NoiseOption,
    Photo,
    PhotosArgument,
    RestorationEstimateOption,
    RestorationMethodOption,
    RestorationStepsOption,
    restoration_sampling,
    restore_photos,
)
from scoreinv.cli.uncertainty import UncertaintyOption
from scoreinv.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.progress import TaskCallback
    from scoreinv.tasks.restoration_settings import RestorationSampling
    from scoreinv.tasks.results import Restored


def deblur(
    photos: PhotosArgument,
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
    settings: Settings,
    output: OutputOption = None,
    model: ModelOption = "denoiser",
    noise: NoiseOption = None,
    method: RestorationMethodOption = None,
    samples: SamplesOption = 1,
    estimate: RestorationEstimateOption = None,
    steps: RestorationStepsOption = None,
    uncertainty: UncertaintyOption = None,
    kind: FormatOption = None,
    quality: QualityOption = None,
    frame: FrameOption = None,
) -> None:
    """Deblur photos, given the blur kernel: defocus, motion, or any other that is known."""
    from scoreinv.imaging.kernel_files import kernel_from_text

    sampling = restoration_sampling(method, steps, samples, estimate, settings)
    if kernel == STREAM:
        raise InputError("--kernel -: name a file; stdin is for the photo")
    values = kernel_from_text(kernel)
    files = Files(photos, output, "_deblurred", kind, quality, frame, uncertainty, {"the kernel": kernel})
    restore = partial(_deblur, values)
    raise typer.Exit(restore_photos(files, model, noise, sampling, settings, restore, {"kernel": kernel}))


def _deblur(
    kernel: np.ndarray,
    photo: Photo,
    prior: ScorePrior,
    sampling: RestorationSampling,
    callback: TaskCallback,
) -> Restored:
    from scoreinv.tasks.restoration import deblur_picture

    return deblur_picture(photo.picture, kernel, photo.noise, prior, sampling, callback)
