"""`scoreinv denoise PHOTO...`: remove noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from scoreinv.cli.options import Common, NoiseOption, Output, PhotosArgument, RestorerOption, UncertaintyOption
from scoreinv.cli.photos import Photo, Progress
from scoreinv.cli.report import warn
from scoreinv.cli.restoring import Noise, SampleOptions, restore_photos
from scoreinv.errors import InputError
from scoreinv.options import DENOISING_STEPS, STEPS, Setting
from scoreinv.tasks.settings import LinearSettings, Orientations

if TYPE_CHECKING:
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.results import Restored

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
    photos: PhotosArgument,
    *,
    noise: NoiseOption = None,
    how: DenoisingOptions,
    model: RestorerOption = "denoiser",
    uncertainty: UncertaintyOption = None,
    output: Output,
    common: Common,
) -> None:
    """Remove noise from photos: by the posterior mean, in one evaluation of the network, or by samples."""
    settings = LinearSettings(None, how.steps, how.samples, how.seed, how.estimate, how.orientations)
    if how.steps is not None and settings.mean:
        raise InputError("--steps: the mean takes one evaluation; steps are for samples (--estimate sample)")

    def restore(photo: Photo[Noise], prior: ScorePrior, progress: Progress) -> Restored:
        from scoreinv.tasks.denoise import denoise_picture, has_noise, unchanged

        if photo.given.estimated and not has_noise(photo.picture, photo.given.std, prior):
            remedy = "--noise sets a level"
            warn(f"{photo.source}: has less noise than the model can remove, and is left as it is ({remedy})")
            return unchanged(photo.picture, settings)
        return denoise_picture(photo.picture, photo.given.std, prior, settings, progress)

    restore_photos(photos, "_denoised", restore, settings, noise, model, uncertainty, output, common)
