"""`scoreinv damage PHOTO...`."""

from __future__ import annotations

from scoreinv import tasks
from scoreinv.batch.plan import OutputOptions
from scoreinv.cli.options import Common, Photos, TaskModel
from scoreinv.cli.photos import run
from scoreinv.inputs.mask_options import DAMAGE_SUFFIX
from scoreinv.models.loading import Models
from scoreinv.tasks.requests import DamageRequest

UNUSED = ("seed", "changes", "provenance", "record_time")


def damage(
    photos: Photos, *, request: DamageRequest, model: TaskModel = "damage", output: OutputOptions, common: Common
) -> None:
    """Detect scratches, creases, dust, stains and writing in scans, as masks.

    \b
    scoreinv damage old.jpg                    # writes old_damage.png, a mask for inpaint
    scoreinv damage scans/ --sensitivity 0.7   # a folder; finds more damage
    """
    models = Models(damage=model, machine=common.machine)
    run(photos, tasks.damage_picture, request, output, common, models, suffix=DAMAGE_SUFFIX, kind="png")
