"""`scoreinv deblur PHOTO...`."""

from __future__ import annotations

from scoreinv import tasks
from scoreinv.batch.plan import AuxiliaryFiles, OutputOptions
from scoreinv.cli.options import Common, Photos, TaskModel, Uncertainty
from scoreinv.cli.photos import run
from scoreinv.models.loading import Models
from scoreinv.tasks.requests import DeblurRequest


def deblur(
    photos: Photos,
    *,
    request: DeblurRequest,
    model: TaskModel = "denoiser",
    uncertainty: Uncertainty = None,
    output: OutputOptions,
    common: Common,
) -> None:
    """Remove blur from photos: out of focus, motion or Gaussian.

    \b
    scoreinv deblur photo.jpg                        # estimates the blur; writes photo_deblurred.png
    scoreinv deblur photo.jpg --kernel motion:15,30  # camera motion
    scoreinv deblur photo.jpg --kernel disk:3        # out of focus
    """
    models = Models(denoise=model, machine=common.machine)
    auxiliary = AuxiliaryFiles(uncertainty=uncertainty)
    run(photos, tasks.deblur_picture, request, output, common, models, suffix="_deblurred", auxiliary=auxiliary)
