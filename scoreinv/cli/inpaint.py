"""`scoreinv inpaint PHOTO... --mask MASK`."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from scoreinv import imaging, tasks
from scoreinv.batch.plan import AuxiliaryFiles, OutputOptions
from scoreinv.cli.options import Common, Photos, TaskModel, Uncertainty
from scoreinv.cli.photos import AUTO, run
from scoreinv.inputs.mask_options import MaskOptions
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.system.options import Setting
from scoreinv.tasks.requests import InpaintRequest

_MODEL = "photo"


def inpaint(
    photos: Photos,
    mask: Annotated[str, Setting("Mask file or folder: white is removed. auto: detected damage.", metavar="MASK")],
    *,
    avoid: Annotated[
        str | None, Setting("Mask file or folder: white is not copied into the hole, such as faces.", metavar="MASK")
    ] = None,
    request: InpaintRequest,
    masks: MaskOptions,
    model: TaskModel = _MODEL,
    uncertainty: Uncertainty = None,
    output: OutputOptions,
    common: Common,
) -> None:
    """Remove objects and damage from photos.

    \b
    scoreinv inpaint photo.png --mask mask.png       # writes photo_inpainted.png
    scoreinv inpaint photo.png --mask mask.png --avoid people.png
    scoreinv inpaint scans/ --mask auto --samples 4  # a folder; the damage is detected
    """
    if request.classical is not None:
        for option, is_given in {"--model": model != _MODEL, "--uncertainty": uncertainty is not None}.items():
            if is_given:
                raise InputError(f"{option} does not go with --method {request.classical}, which needs no model")
        if request.classical != "biharmonic":
            imaging.load_opencv()
    if mask == AUTO and masks.grow is not None:
        request = replace(request, grow=masks.grow)
    auxiliary = AuxiliaryFiles(None if mask == AUTO else mask, avoid, masks, uncertainty=uncertainty)
    models = Models(inpaint=model, machine=common.machine)
    task = tasks.inpaint_picture if request.classical is None else tasks.inpaint_classically  # which needs no torch
    run(photos, task, request, output, common, models, suffix="_inpainted", auxiliary=auxiliary)
