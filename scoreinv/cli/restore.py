"""`scoreinv restore PHOTO...`: damage, tint, tones, noise and colours of old photographs, in one go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from scoreinv import imaging, inputs, tasks
from scoreinv.cli.colorize import HintsOption, check_hints
from scoreinv.cli.damage import DETECTOR, damaged_share
from scoreinv.cli.inpaint import AUTO, MaskReading, find_masks, read_hole
from scoreinv.cli.loading import Detector, Model, check_samples, start_torch
from scoreinv.cli.options import (
    MODEL_HELP,
    Common,
    NoiseOption,
    Output,
    PhotosArgument,
    advanced,
    option,
    output_option,
)
from scoreinv.cli.photo_loop import Beside, Made, Progress, Run
from scoreinv.cli.plan import Job, plan
from scoreinv.cli.report import notice, warn
from scoreinv.models.photo_models import PhotoModels
from scoreinv.system.errors import InputError
from scoreinv.system.options import GRAY_LEVELS
from scoreinv.tasks.settings import OLD_PHOTO_STEPS, OldPhotoSettings

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = """
  scoreinv restore old.jpg   # writes old_restored.png
  scoreinv restore scans/ --no-colorize --steps-to steps/
"""
SUFFIX = "_restored"
_OFFERS = {"border": " (--crop-border cuts it off)", "tone": " (--tone 1 if it is)"}
"""What is said of steps that have left a photo as it was."""
_Given = tuple["np.ndarray | None", "inputs.KnownColours | None"]
"""The holes of a photo, and its colours that are known; None where they are to be found."""


def _model_option(name: str, does: str) -> Any:
    return advanced(f"--{name}-model", metavar="NAME|FILE", help=f"What {does}. {MODEL_HELP}")


@dataclass(frozen=True)
class StepModels:
    """The models of the steps."""

    damage_model: Annotated[str, _model_option("damage", "finds damage")] = DETECTOR
    inpaint_model: Annotated[str, _model_option("inpaint", "fills it")] = "photo"
    denoise_model: Annotated[str, _model_option("denoise", "removes noise")] = "denoiser"
    color_model: Annotated[str, _model_option("color", "draws colours")] = "scene"


def restore(
    photos: PhotosArgument,
    *,
    mask: Annotated[
        str | None, option(metavar="MASK", help="White is damage; a picture, or a folder of them. (default: found)")
    ] = None,
    steps: OldPhotoSettings,
    noise: NoiseOption = None,
    hints: HintsOption = None,
    reading: MaskReading,
    steps_to: Annotated[
        str | None,
        output_option(metavar="FOLDER", help="Also write the mask of the damage, and the picture after each step."),
    ] = None,
    names: StepModels,
    output: Output,
    common: Common,
) -> Run[Any]:
    """Restore old photos: fill damage, bring back tones, take out tint and noise, draw colours; where it is needed."""
    mask = None if mask == AUTO else mask
    steps = _checked(steps, mask, noise, hints, reading)
    beside = {"the hints": hints, "the mask": mask, "--steps-to": steps_to}
    read_too = beside | {name.replace("_", " "): path for name, path in vars(names).items()}
    everything = plan(photos, SUFFIX, steps.samples, output, common, read_too)
    masks, left_out = ({}, {}) if mask is None else find_masks(mask, everything, reading)
    pictures = None
    if steps_to is not None:
        endings = tuple(f"_{number}_{step}" for number, step in enumerate(OLD_PHOTO_STEPS, 1) if step in steps.wanted)
        pictures = Beside("--steps-to", steps_to, everything, endings, SUFFIX)
        pictures.check(masks.values())
    filler, denoiser = Model(names.inpaint_model, common), Model(names.denoise_model, common)
    colorizer, detector = Model(names.color_model, common), Detector(names.damage_model, common)
    wanted = {
        filler: steps.inpaint,
        denoiser: steps.denoise,
        colorizer: steps.colorize,
        detector: steps.inpaint and mask is None,
    }
    used = [model for model, is_wanted in wanted.items() if is_wanted]
    # What is wrong with a model of the user's own is told before the work.
    needed = [model for model in used if model is detector or model.name not in vars(StepModels()).values()]

    def read(job: Job, picture: imaging.Picture) -> _Given:
        hole = None if mask is None else read_hole(masks[job.source], reading, job, picture)
        return hole, None if hints is None else inputs.read_hints(hints, picture.size)

    def compute(job: Job, picture: imaging.Picture, given: _Given, progress: Progress) -> Made:
        def told(step: tasks.Step, shown: imaging.Picture | None) -> None:
            offer = "" if step.changed else _OFFERS.get(step.name, "")
            notice(common, f"{job.source}: {step.name}: {step.words}{offer}")
            if pictures is not None and shown is not None:
                pictures.write(job, shown, steps.wanted.index(step.name))

        check_samples(steps.samples, picture, coloured=steps.colorize)
        start_torch(common)  # tones are read before any model is loaded, or without one
        models = PhotoModels(detector.load, filler.load, denoiser.load, colorizer.load)
        result = tasks.restore_picture(picture, models, steps, *given, progress, told)
        done = [step.name for step in result.steps if step.changed]
        if hints is not None and "colorize" not in done:
            remedy = "scoreinv colorize --hints replaces colours"
            warn(f"{job.source}: the hints are not used, as it is not grey ({remedy})")
        more: dict[str, Any] = {"found": result.found, "steps": done}
        if result.damage is not None:
            more["damaged"] = damaged_share(result.damage)
        if result.noise_std is not None:
            more["noise"] = round(result.noise_std * GRAY_LEVELS, 2)
        if steps.colorize:
            more["color_model"] = colorizer.record(result.method)["model"]
        return result, more

    return Run(everything, compute, used, read, needed=needed, left_out=left_out, beside=pictures)


def _checked(
    steps: OldPhotoSettings, mask: str | None, noise: float | None, hints: str | None, reading: MaskReading
) -> OldPhotoSettings:
    """The settings of the steps; InputError for options that do not go together."""
    if mask is None and reading.of_mask:
        raise InputError("--mask-threshold and --invert-mask belong to --mask")
    if reading.grow is not None and not steps.inpaint:
        raise InputError("--grow does not go with --no-inpaint, which leaves damage as it is")
    steps.check_given(masked=mask is not None, hinted=hints is not None)
    check_hints(hints)
    grow = steps.grow if mask is not None or reading.grow is None else reading.grow
    return replace(steps, grow=grow, noise_std=None if noise is None else noise / GRAY_LEVELS)
