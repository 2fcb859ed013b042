"""`scoreinv denoise PHOTO...`: remove noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from scoreinv.cli.command import Settings
from scoreinv.cli.restoring import NoiseOption, Photo, PhotoOptions, Restoring, SampleOptions, restore_photos
from scoreinv.cli.streams import warn
from scoreinv.errors import InputError
from scoreinv.options import DENOISING_STEPS, STEPS, Setting
from scoreinv.tasks.settings import Orientations

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.results import Restored, TaskCallback
    from scoreinv.tasks.settings import LinearSettings

EXAMPLES = """
  scoreinv denoise photo.jpg              # writes photo_denoised.png
  scoreinv denoise photo.jpg --noise 12   # of a level that you know
"""


@dataclass(frozen=True)
class DenoisingOptions(SampleOptions):
    """How a photo is estimated or sampled."""

    steps: Annotated[
        int | None, Setting(f"Sampler steps for a sample. (default: {DENOISING_STEPS})", STEPS, advanced=True)
    ] = None
    orientations: Orientations = 1


def denoise(
    *,
    photos: PhotoOptions,
    noise: NoiseOption = None,
    how: DenoisingOptions,
    settings: Settings,
) -> None:
    """Remove noise from photos: by the posterior mean, in one evaluation of the network, or by samples."""
    sampling = how.sampling(steps=how.steps, orientations=how.orientations)
    if how.steps is not None and sampling.mean:
        raise InputError("--steps: the mean takes one evaluation; steps are for samples (--estimate sample)")
    raise typer.Exit(restore_photos(photos, Restoring("_denoised", sampling, noise, _denoise), settings))


def _denoise(photo: Photo, prior: ScorePrior, sampling: LinearSettings, callback: TaskCallback) -> Restored[Picture]:
    from scoreinv.tasks.denoise import denoise_picture, has_noise, unchanged

    if photo.estimated and not has_noise(photo.picture, photo.noise, prior):
        warn(f"{photo.source}: has less noise than the model can remove, and is left as it is (--noise sets a level)")
        return unchanged(photo.picture, sampling)
    return denoise_picture(photo.picture, photo.noise, prior, sampling, callback)
