"""`scoreinv upscale PHOTO... --factor N`."""

from __future__ import annotations

from typing import Annotated

from scoreinv import tasks
from scoreinv.batch.plan import AuxiliaryFiles, OutputOptions
from scoreinv.cli.options import Common, Photos, TaskModel, Uncertainty
from scoreinv.cli.photos import run
from scoreinv.models.loading import Models
from scoreinv.system.options import Setting
from scoreinv.tasks.requests import UpscaleRequest


def upscale(
    photos: Photos,
    *,
    request: UpscaleRequest,
    model: TaskModel = "upscaler",
    prior: Annotated[str, Setting("Model that draws samples.", metavar="NAME|FILE", advanced=True)] = "denoiser",
    uncertainty: Uncertainty = None,
    output: OutputOptions,
    common: Common,
) -> None:
    """Enlarge photos 2 to 4 times.

    \b
    scoreinv upscale photo.png                         # twice as large: photo_upscaled.png
    scoreinv upscale photo.png --factor 3 -o large.png
    """
    models = Models(denoise=prior, upscale=model, machine=common.machine)
    auxiliary = AuxiliaryFiles(uncertainty=uncertainty)
    run(photos, tasks.upscale_picture, request, output, common, models, suffix="_upscaled", auxiliary=auxiliary)
