"""What `denoise`, `upscale` and `deblur` share: their options, and what is done for each photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv.cli.batch import Report, Work, run
from scoreinv.cli.command import Settings
from scoreinv.cli.failures import naming
from scoreinv.cli.messages import notice
from scoreinv.cli.options import FrameOption, PhotosArgument, RestorerOption, ResultOptions
from scoreinv.cli.outputs import Job, refuse_inputs
from scoreinv.cli.progress import ProgressBar
from scoreinv.cli.runtime import Session, check_samples
from scoreinv.cli.uncertainty import UncertaintyOption, check_uncertainty, map_beside, write_uncertainty
from scoreinv.options import GRAY_LEVELS, Estimate, RestorationMethod, SampleCount
from scoreinv.tasks.settings import LinearSettings, MethodOrNone, StepsOrNone

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.results import Restored, TaskCallback

    Restore = Callable[["Photo", ScorePrior, LinearSettings, TaskCallback], Restored[Picture]]

NoiseOption = Annotated[
    float | None,
    typer.Option(
        "--noise",
        metavar="LEVEL",
        min=0,
        max=GRAY_LEVELS,
        help="Standard deviation, in grey levels of 255. (default: estimated)",
    ),
]


def _estimate_option(default: str) -> Any:
    return typer.Option(
        "--estimate",
        help="mean: closest to the truth on average, smooth where details are uncertain; sample: one possible "
        f"picture. (default: {default})",
    )


@dataclass(frozen=True)
class PhotoOptions(ResultOptions):
    """The photos, the model that restores them, and where the results go."""

    photos: PhotosArgument = field(kw_only=True)
    model: RestorerOption = "denoiser"
    uncertainty: UncertaintyOption = None
    frame: FrameOption = None


@dataclass(frozen=True)
class SampleOptions:
    """Whether a photo is estimated or sampled, and how often."""

    samples: SampleCount = 1
    estimate: Annotated[Estimate | None, _estimate_option("mean, or sample with --samples")] = None
    seed: int = 0

    def sampling(
        self, method: RestorationMethod | None = None, steps: int | None = None, orientations: int = 1
    ) -> LinearSettings:
        """The settings of the task; InputError where they do not go together."""
        return LinearSettings(method, steps, self.samples, self.seed, self.estimate, orientations)


@dataclass(frozen=True)
class RestorationOptions(SampleOptions):
    """`SampleOptions`, and the method by which a photo is restored."""

    estimate: Annotated[
        Estimate | None, _estimate_option("mean, or sample with --samples or a --method other than dpir")
    ] = None
    method: MethodOrNone = None
    steps: StepsOrNone = None


@dataclass(frozen=True)
class Photo:
    """A photo at hand.

    Attributes:
        source: its path, or `-`.
        noise: the standard deviation of its noise, in [0, 1] units.
        estimated: whether that is an estimate.
    """

    source: str
    picture: Picture
    noise: float
    estimated: bool


@dataclass(frozen=True)
class Restoring:
    """What a command does with photos.

    Attributes:
        suffix: suffix of the results' names.
        sampling: how a photo is restored.
        noise: noise of every photo, in grey levels; None: estimated from each.
        restore: does the work.
        read: what is read beside the photos, by what it is.
        said: further entries of the records.
        result_of: the size and mode of the result of a photo, for checks before the work.
        check: raises InputError for a photo that it cannot be done with.
    """

    suffix: str
    sampling: LinearSettings
    noise: float | None
    restore: Restore
    read: dict[str, str] = field(default_factory=dict)
    said: dict[str, Any] = field(default_factory=dict)
    result_of: Callable[[Picture], Picture] = lambda picture: picture
    check: Callable[[Picture], None] = lambda picture: None


def restore_photos(options: PhotoOptions, restoring: Restoring, settings: Settings) -> int:
    """Restore all photos; returns the exit status."""
    sampling, map_file = restoring.sampling, options.uncertainty
    inputs = restoring.read | {"the model": options.model}
    everything = options.plan(options.photos, restoring.suffix, sampling.results, inputs)
    if map_file is not None:
        check_uncertainty(map_file, everything, sampling, settings, restoring.read)
        refuse_inputs("--uncertainty", [map_file], {"the model": options.model})
    session = Session(options.model, settings)

    def read(job: Job) -> Photo:
        from scoreinv.imaging.noise import estimate_noise
        from scoreinv.imaging.read import read_picture
        from scoreinv.imaging.write import check_format

        picture = read_picture(job.source, options.frame)
        check_format(job.output, restoring.result_of(picture))
        with naming(job.source):
            restoring.check(picture)
        if restoring.noise is not None:
            return Photo(job.source, picture, restoring.noise / GRAY_LEVELS, estimated=False)
        return Photo(job.source, picture, estimate_noise(picture), estimated=True)

    def compute(photo: Photo, bar: ProgressBar) -> Report:
        check_samples(sampling.samples, [restoring.result_of(photo.picture)], coloured=False)
        result = restoring.restore(photo, session.prior, sampling, bar.fraction)
        level = photo.noise * GRAY_LEVELS
        if photo.estimated:
            notice(settings, f"{photo.source}: noise of about {level:.2g} grey levels was found (--noise sets it)")
        more = {"noise": round(level, 2), **restoring.said}
        if map_file is not None:
            write_uncertainty(map_file, result.std, settings)
            more["uncertainty"] = map_file
        return Report.of(result, sampling.results, more)

    work = Work(read, compute, sampling.results, options.quality, beside=map_beside(map_file))
    return run(everything, work, session)
