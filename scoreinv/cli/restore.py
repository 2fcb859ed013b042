"""`scoreinv restore PHOTO...`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from scoreinv import tasks
from scoreinv.batch.plan import AuxiliaryFiles, OutputOptions
from scoreinv.cli.options import Common, Hints, Photos
from scoreinv.cli.photos import AUTO, run
from scoreinv.inputs.mask_options import MaskOptions
from scoreinv.models.loading import Models
from scoreinv.system.errors import InputError
from scoreinv.system.options import Setting
from scoreinv.tasks.requests import RESTORATION, RestoreRequest


def _model(does: str) -> Setting:
    return Setting(f"Model that {does}.", metavar="NAME|FILE", advanced=True)


@dataclass(frozen=True)
class StepModels:
    """Models of the steps."""

    damage_model: Annotated[str, _model("detects damage")] = "damage"
    inpaint_model: Annotated[str, _model("fills it")] = "photo"
    denoise_model: Annotated[str, _model("removes noise")] = "denoiser"
    color_model: Annotated[str, _model("adds colour")] = "scene"


def restore(
    photos: Photos,
    *,
    mask: Annotated[
        str | None, Setting("Mask file or folder: white is damage. (default: detected)", metavar="MASK")
    ] = None,
    request: RestoreRequest,
    hints: Hints = None,
    masks: MaskOptions,
    steps_to: Annotated[
        str | None, Setting("Also write the mask of the damage and the photo after each step.", metavar="FOLDER")
    ] = None,
    names: StepModels,
    output: OutputOptions,
    common: Common,
) -> None:
    """Restore old photos: fill damage, correct fading, remove tint and noise, add colour.

    \b
    scoreinv restore old.jpg   # writes old_restored.png
    scoreinv restore scans/ --no-colorize --steps-to steps/
    """
    mask = None if mask == AUTO else mask
    if masks.grow is not None and not request.inpaint:
        raise InputError("--grow does not go with --no-inpaint")
    if masks.grow is not None and mask is None:
        request = replace(request, grow=masks.grow)
    request = replace(request, keep_steps=steps_to is not None)
    endings = tuple(f"_{number}_{step}" for number, step in enumerate(RESTORATION, 1) if step in request.steps)
    auxiliary = AuxiliaryFiles(mask, masks=masks, hints=hints, steps_to=steps_to, endings=endings)
    models = Models(
        damage=names.damage_model,
        inpaint=names.inpaint_model,
        denoise=names.denoise_model,
        colorize=names.color_model,
        machine=common.machine,
    )
    run(photos, tasks.restore_picture, request, output, common, models, suffix="_restored", auxiliary=auxiliary)
