"""`scoreinv upscale PHOTO... --factor N`: enlarge photos."""

from __future__ import annotations

from enum import StrEnum
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
from scoreinv.cli.restoring import (
    Files,
    Photo,
    PhotosArgument,
    RestorationEstimateOption,
    RestorationMethodOption,
    RestorationStepsOption,
    restoration_sampling,
    restore_photos,
)
from scoreinv.cli.uncertainty import UncertaintyOption
from scoreinv.tasks.restoration_settings import GREY_LEVELS

if TYPE_CHECKING:
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.progress import TaskCallback
    from scoreinv.tasks.restoration_settings import RestorationSampling
    from scoreinv.tasks.results import Restored


class DownsamplingChoice(StrEnum):
    """How the large picture is reduced to the photo."""

    AREA = "area"
    BICUBIC = "bicubic"


def upscale(
    photos: PhotosArgument,
    settings: Settings,
    output: OutputOption = None,
    model: ModelOption = "denoiser",
    factor: Annotated[int, typer.Option("--factor", min=2, max=4, help="How many times as large.")] = 2,
    downsampling: Annotated[
        DownsamplingChoice,
        typer.Option(
            "--downsampling",
            help="How the large picture is reduced to the photo: area, by block means, as by a sensor; bicubic, "
            "antialiased.",
        ),
    ] = DownsamplingChoice.AREA,
    noise: Annotated[
        float,
        typer.Option(
            "--noise",
            metavar="LEVEL",
            min=0,
            max=GREY_LEVELS,
            help="Standard deviation of the photo's noise, in grey levels of 255. With 0 the reduced result is exactly "
            "the photo.",
        ),
    ] = 0.0,
    method: RestorationMethodOption = None,
    samples: SamplesOption = 1,
    estimate: RestorationEstimateOption = None,
    steps: RestorationStepsOption = None,
    uncertainty: UncertaintyOption = None,
    kind: FormatOption = None,
    quality: QualityOption = None,
    frame: FrameOption = None,
) -> None:
    """Enlarge photos: the result, reduced again, is the given photo."""
    from scoreinv.imaging.enlarge import enlarged

    sampling = restoration_sampling(method, steps, samples, estimate, settings)
    files = Files(photos, output, "_upscaled", kind, quality, frame, uncertainty, {})
    restore = partial(_upscale, factor, downsampling.value)
    told = {"factor": factor}
    status = restore_photos(
        files, model, noise, sampling, settings, restore, told, lambda picture: enlarged(picture, factor)
    )
    raise typer.Exit(status)


def _upscale(
    factor: int,
    kind: str,
    photo: Photo,
    prior: ScorePrior,
    sampling: RestorationSampling,
    callback: TaskCallback,
) -> Restored:
    from scoreinv.tasks.restoration import upscale_picture

    return upscale_picture(photo.picture, factor, kind, photo.noise, prior, sampling, callback)
