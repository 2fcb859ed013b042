"""`scoreinv denoise PHOTO...`."""

from __future__ import annotations

from scoreinv import tasks
from scoreinv.batch.plan import AuxiliaryFiles, OutputOptions
from scoreinv.cli.options import Common, Photos, TaskModel, Uncertainty
from scoreinv.cli.photos import run
from scoreinv.models.loading import Models
from scoreinv.tasks.requests import DenoiseRequest


def denoise(
    photos: Photos,
    *,
    request: DenoiseRequest,
    model: TaskModel = "denoiser",
    uncertainty: Uncertainty = None,
    output: OutputOptions,
    common: Common,
) -> None:
    """Remove noise from photos.

    \b
    scoreinv denoise photo.jpg              # writes photo_denoised.png
    scoreinv denoise photo.jpg --noise 12   # noise of a known level
    """
    models = Models(denoise=model, machine=common.machine)
    auxiliary = AuxiliaryFiles(uncertainty=uncertainty)
    run(photos, tasks.denoise_picture, request, output, common, models, suffix="_denoised", auxiliary=auxiliary)
