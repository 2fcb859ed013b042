"""`scoreinv denoise PHOTO...`: remove noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scoreinv import imaging, tasks
from scoreinv.cli.options import Common, NoiseOption, Output, PhotosArgument
from scoreinv.cli.photo_loop import Made, Progress, Run
from scoreinv.cli.plan import Job
from scoreinv.cli.report import warn
from scoreinv.cli.restoring import Network, restore_photos
from scoreinv.tasks.settings import DenoiseSettings

if TYPE_CHECKING:
    from scoreinv.prior import ScorePrior

EXAMPLES = """
  scoreinv denoise photo.jpg              # writes photo_denoised.png
  scoreinv denoise photo.jpg --noise 12   # of a level that you know
"""


def denoise(
    photos: PhotosArgument,
    *,
    noise: NoiseOption = None,
    settings: DenoiseSettings,
    network: Network,
    output: Output,
    common: Common,
) -> Run[Any]:
    """Remove noise from photos: the average of what is possible, or with --samples some of that."""

    def restore(job: Job, picture: imaging.Picture, std: float, prior: ScorePrior, progress: Progress) -> Made:
        if noise is None and not tasks.has_noise(picture, std, prior):
            remedy = "--noise sets a level"
            warn(f"{job.source}: has less noise than the model can remove, and is left as it is ({remedy})")
            return tasks.unchanged(picture, settings), {}
        return tasks.denoise_picture(picture, std, prior, settings, progress), {}

    return restore_photos(photos, "_denoised", restore, noise, settings, network, output, common)
