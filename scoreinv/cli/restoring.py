"""What `denoise`, `upscale` and `deblur` share: how each photo is restored at a level of noise by one network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scoreinv import imaging
from scoreinv.cli.loading import Model, check_samples
from scoreinv.cli.options import Common, Output, RestorerOption, UncertaintyOption
from scoreinv.cli.photo_loop import Made, Progress, Run, uncertainty_maps
from scoreinv.cli.plan import Job, plan
from scoreinv.cli.report import notice
from scoreinv.options import GRAY_LEVELS
from scoreinv.tasks.settings import LinearSettings

if TYPE_CHECKING:
    from scoreinv.prior import ScorePrior


@dataclass(frozen=True)
class Network:
    """The options that these commands have of their model."""

    model: RestorerOption = "denoiser"
    uncertainty: UncertaintyOption = None


@dataclass(frozen=True)
class Restoration:
    """What a command does to each photo.

    Attributes:
        suffix: suffix of the results' names.
        restore: the work on one photo, given the standard deviation of its noise, in [0, 1] units; and further entries
            of its record.
        result_of: a picture of the size and mode of a photo's result; InputError where there can be none.
        inputs: what is read beside the photos, by what it is.
        blurred: whether it is of photos that are blurred, when their noise is estimated.
    """

    suffix: str
    restore: Callable[[Job, imaging.Picture, float, ScorePrior, Progress], Made]
    result_of: Callable[[imaging.Picture], imaging.Picture] = lambda picture: picture
    inputs: dict[str, str | None] = field(default_factory=dict)
    blurred: bool = False


def restore_photos(
    photos: list[str],
    work: Restoration,
    noise: float | None,
    settings: LinearSettings,
    network: Network,
    output: Output,
    common: Common,
) -> Run[Any]:
    """Restore all photos.

    Args:
        noise: of every photo, in grey levels; None: estimated from each.
    """
    read_too = {"the model": network.model, **work.inputs}
    everything = plan(photos, work.suffix, settings.results, output, common, read_too)
    maps = uncertainty_maps(network.uncertainty, everything, settings.samples)
    model = Model(network.model, common)

    def read(job: Job, picture: imaging.Picture) -> float:
        estimated = imaging.noise_under_blur if work.blurred else imaging.estimate_noise
        return estimated(picture) if noise is None else noise / GRAY_LEVELS

    def compute(job: Job, picture: imaging.Picture, std: float, progress: Progress) -> Made:
        check_samples(settings.samples, work.result_of(picture), coloured=False)
        restored, said = work.restore(job, picture, std, model.load(), progress)
        level = std * GRAY_LEVELS
        if noise is None:
            notice(common, f"{job.source}: noise of about {level:.2g} grey levels was found (--noise sets it)")
        return restored, {"noise": round(level, 2)} | said

    return Run(everything, compute, [model], read, result_of=work.result_of, uncertainty=maps)
