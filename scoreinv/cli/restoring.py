"""What `denoise`, `upscale` and `deblur` share: how each photo is restored at a level of noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scoreinv.cli.loading import Model, check_samples
from scoreinv.cli.options import Common, Output
from scoreinv.cli.photos import Photo, Progress, Result, Run, check_uncertainty, run
from scoreinv.cli.plan import Job, plan
from scoreinv.cli.report import notice
from scoreinv.options import GRAY_LEVELS
from scoreinv.tasks.settings import LinearSettings

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.results import Restored


@dataclass(frozen=True)
class Noise:
    """The noise of a photo.

    Attributes:
        std: its standard deviation, in [0, 1] units.
        estimated: whether that is an estimate.
    """

    std: float
    estimated: bool


def restore_photos(
    photos: list[str],
    suffix: str,
    restore: Callable[[Photo[Noise], ScorePrior, Progress], Restored],
    settings: LinearSettings,
    noise: float | None,
    model: str,
    uncertainty: str | None,
    output: Output,
    common: Common,
    *,
    inputs: dict[str, str | None] | None = None,
    said: dict[str, Any] | None = None,
    result_of: Callable[[Picture], Picture] = lambda picture: picture,
    check: Callable[[Job, Picture], None] = lambda job, picture: None,
) -> None:
    """Restore all photos.

    Args:
        noise: of every photo, in grey levels; None: estimated from each.
        inputs: what is read beside the photos, by what it is.
        said: further entries of the records.
        result_of: the size and mode of the result of a photo.
        check: raises InputError for a photo that it cannot be done with.
    """
    read_too = {"the model": model, **(inputs or {})}
    everything = plan(photos, suffix, settings.results, output, read_too)
    check_uncertainty(uncertainty, everything, settings.samples, common, read_too)
    network = Model(model, common)

    def read(job: Job, picture: Picture) -> Noise:
        from scoreinv.imaging.noise import estimate_noise

        check(job, picture)
        return Noise(estimate_noise(picture), True) if noise is None else Noise(noise / GRAY_LEVELS, False)

    def compute(photo: Photo[Noise], progress: Progress) -> Result:
        check_samples(settings.samples, result_of(photo.picture), coloured=False)
        restored = restore(photo, network.prior, progress)
        level = photo.given.std * GRAY_LEVELS
        if photo.given.estimated:
            notice(common, f"{photo.source}: noise of about {level:.2g} grey levels was found (--noise sets it)")
        return Result.of(restored, settings.results, noise=round(level, 2), **(said or {}))

    run(Run(everything, output, common, compute, [network], read, result_of, uncertainty=uncertainty))
