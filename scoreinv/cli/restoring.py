"""What `denoise`, `upscale` and `deblur` share: how each photo is restored at a level of noise by one network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoreinv import analysis, imaging
from scoreinv.cli.loading import Model, check_samples
from scoreinv.cli.options import Common, Output, RestorerOption, UncertaintyOption
from scoreinv.cli.photo_loop import Made, Progress, Run, uncertainty_maps
from scoreinv.cli.plan import Job, plan
from scoreinv.cli.report import notice
from scoreinv.system.options import GRAY_LEVELS
from scoreinv.tasks.settings import LinearSettings

if TYPE_CHECKING:
    from scoreinv.prior import ScorePrior


@dataclass(frozen=True)
class Network:
    """The options that these commands have of their model."""

    model: RestorerOption = "denoiser"
    uncertainty: UncertaintyOption = None


Restore = Callable[[Job, "imaging.Picture", float, "ScorePrior", Progress], Made]
"""The work on one photo, given the standard deviation of its noise, in [0, 1] units."""


def restore_photos(
    photos: list[str],
    suffix: str,
    restore: Restore,
    noise: float | None,
    settings: LinearSettings,
    network: Network,
    output: Output,
    common: Common,
    *,
    result_of: Callable[[imaging.Picture], imaging.Picture] | None = None,
    estimate: Callable[[imaging.Picture], float] | None = None,
    kernel: str | None = None,
) -> Run[Any]:
    """Restore all photos.

    Args:
        suffix: suffix of the results' names.
        noise: of every photo, in grey levels; None: it is estimated from each.
        result_of: see `Run`.
        estimate: what estimates it; None: `analysis.estimate_noise`.
        kernel: a file that is read beside the photos.
    """
    read_too = {"the model": network.model, "the kernel": kernel}
    everything = plan(photos, suffix, settings.results, output, common, read_too)
    maps = uncertainty_maps(network.uncertainty, everything, settings.samples)
    model = Model(network.model, common)

    def read(job: Job, picture: imaging.Picture) -> float:
        return (estimate or analysis.estimate_noise)(picture) if noise is None else noise / GRAY_LEVELS

    def compute(job: Job, picture: imaging.Picture, std: float, progress: Progress) -> Made:
        check_samples(settings.samples, picture if result_of is None else result_of(picture), coloured=False)
        restored, said = restore(job, picture, std, model.load(), progress)
        level = std * GRAY_LEVELS
        if noise is None:
            notice(common, f"{job.source}: noise of about {level:.2g} grey levels was found (--noise sets it)")
        return restored, {"noise": round(level, 2)} | said

    return Run(everything, compute, [model], read, result_of=result_of, uncertainty=maps)
