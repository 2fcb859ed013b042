"""`scoreinv denoise PHOTO...`: remove noise."""

from __future__ import annotations

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
from scoreinv.cli.messages import warn
from scoreinv.cli.restoring import (
    Files,
    NoiseOption,
    Photo,
    PhotosArgument,
    RestorationEstimateOption,
    restoration_sampling,
    restore_photos,
)
from scoreinv.cli.uncertainty import UncertaintyOption
from scoreinv.errors import InputError
from scoreinv.tasks.restoration_settings import DENOISING_STEPS
from scoreinv.tasks.settings import MAX_STEPS

if TYPE_CHECKING:
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.progress import TaskCallback
    from scoreinv.tasks.restoration_settings import RestorationSampling
    from scoreinv.tasks.results import Restored


def denoise(
    photos: PhotosArgument,
    settings: Settings,
    output: OutputOption = None,
    model: ModelOption = "denoiser",
    noise: NoiseOption = None,
    samples: SamplesOption = 1,
    estimate: RestorationEstimateOption = None,
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, max=MAX_STEPS, help=f"Sampler steps for a sample. (default: {DENOISING_STEPS})"),
    ] = None,
    orientations: Annotated[
        int,
        typer.Option(
            "--orientations",
            min=1,
            max=8,
            help="Flips and turns of the photo that the mean is averaged over: 1, 2, 4 or 8. More is a little closer "
            "to the truth, and takes as many times as long.",
        ),
    ] = 1,
    uncertainty: UncertaintyOption = None,
    kind: FormatOption = None,
    quality: QualityOption = None,
    frame: FrameOption = None,
) -> None:
    """Remove noise from photos: by the posterior mean, in one evaluation of the network, or by samples."""
    sampling = restoration_sampling(None, steps, samples, estimate, settings, orientations)
    if steps is not None and sampling.is_direct_mean:
        raise InputError("--steps: the mean takes one evaluation; steps are for samples (--estimate sample)")
    files = Files(photos, output, "_denoised", kind, quality, frame, uncertainty, {})
    raise typer.Exit(restore_photos(files, model, noise, sampling, settings, _denoise, {}))


def _denoise(photo: Photo, prior: ScorePrior, sampling: RestorationSampling, callback: TaskCallback) -> Restored:
    from scoreinv.tasks.restoration import denoise_picture, has_noise, unchanged

    if photo.estimated and not has_noise(photo.picture, photo.noise, prior):
        warn(f"{photo.source}: has less noise than the model can remove, and is left as it is (--noise sets a level)")
        return unchanged(photo.picture, sampling)
    return denoise_picture(photo.picture, photo.noise, prior, sampling, callback)
