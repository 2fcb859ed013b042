"""What `denoise`, `upscale` and `deblur` share: their common options, and the way of a photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv.cli.batch import Report, Work, run
from scoreinv.cli.common import Estimate, Settings
from scoreinv.cli.messages import notice
from scoreinv.cli.outputs import Job, check_quality, plan, refuse_inputs
from scoreinv.cli.progress import ProgressBar
from scoreinv.cli.runtime import Session, check_samples
from scoreinv.cli.uncertainty import check_uncertainty, write_uncertainty
from scoreinv.tasks.restoration_settings import GREY_LEVELS, METHODS, STEPS, RestorationSampling
from scoreinv.tasks.settings import MAX_STEPS

if TYPE_CHECKING:
    from scoreinv.imaging.picture import Picture
    from scoreinv.prior import ScorePrior
    from scoreinv.tasks.progress import TaskCallback
    from scoreinv.tasks.results import Restored

    Restore = Callable[["Photo", ScorePrior, RestorationSampling, TaskCallback], Restored]

RestorationMethodChoice = StrEnum("RestorationMethodChoice", {name.upper(): name for name in METHODS})
"""How the picture is estimated or sampled, given the photo."""

PhotosArgument = Annotated[
    list[str], typer.Argument(metavar="PHOTO...", help="Photos or folders; - is stdin.", show_default=False)
]
RestorationMethodOption = Annotated[
    RestorationMethodChoice | None,
    typer.Option(
        "--method",
        help="dpir estimates the mean. These draw samples: diffpir (splitting), ddnm (projection), ddrm (spectral), "
        "pigdm, dps and mmps (gradients), pc (constrained predictor-corrector, the paper's). (default: dpir for one "
        "mean, else diffpir)",
    ),
]
RestorationStepsOption = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=1,
        max=MAX_STEPS,
        help=f"Steps of the method. (default: {STEPS['dpir']} of dpir, {STEPS['diffpir']} of diffpir)",
    ),
]
RestorationEstimateOption = Annotated[
    Estimate | None,
    typer.Option(
        "--estimate",
        help="mean: closest to the truth on average, smooth where details are uncertain; sample: one possible picture. "
        "(default: mean, or sample with --samples)",
    ),
]
NoiseOption = Annotated[
    float | None,
    typer.Option(
        "--noise",
        metavar="LEVEL",
        min=0,
        max=GREY_LEVELS,
        help="Standard deviation of the photo's noise, in grey levels of 255. (default: estimated)",
    ),
]


def restoration_sampling(
    method: RestorationMethodChoice | None,
    steps: int | None,
    samples: int,
    estimate: Estimate | None,
    settings: Settings,
    orientations: int = 1,
) -> RestorationSampling:
    """The settings of a restoration; InputError when they do not go together."""
    name = None if method is None else method.value
    if estimate is None:
        estimate = Estimate.MEAN if samples == 1 and name in (None, "dpir") else Estimate.SAMPLE
    return RestorationSampling(name, steps, samples, settings.seed, estimate.value, orientations=orientations)


@dataclass(frozen=True)
class Files:
    """What is read and written.

    Attributes:
        photos, output, kind, quality, frame, uncertainty: as given.
        suffix: of the results' names.
        read: what is read beside the photos, by what it is.
    """

    photos: list[str]
    output: str | None
    suffix: str
    kind: str | None
    quality: int | None
    frame: int | None
    uncertainty: str | None
    read: dict[str, str]


@dataclass(frozen=True)
class Photo:
    """A photo at hand.

    Attributes:
        source: its path, or `-`.
        noise: of the photo, a standard deviation in [0, 1] units.
        estimated: whether that is an estimate.
    """

    source: str
    picture: Picture
    noise: float
    estimated: bool


def restore_photos(
    files: Files,
    model: str,
    noise: float | None,
    sampling: RestorationSampling,
    settings: Settings,
    restore: Restore,
    told: dict[str, Any],
    frame_of: Callable[[Picture], Picture] = lambda picture: picture,
) -> int:
    """Restore all photos; returns the exit status.

    Arguments:
        noise: of every photo, in grey levels; None: estimated from each.
        told: further entries of the records.
        frame_of: the size and mode of the result of a photo, for checks before the work.
    """
    everything = plan(files.photos, files.output, files.suffix, files.kind)
    count = sampling.samples if sampling.estimate == "sample" else 1
    check_quality([job.output for job in everything.jobs], files.quality)
    inputs = files.read | {"the model": model}
    for job in everything.jobs:
        refuse_inputs("-o", job.outputs(count), inputs)
    if files.uncertainty is not None:
        check_uncertainty(files.uncertainty, everything, count, sampling.samples, settings, files.read)
        refuse_inputs("--uncertainty", [files.uncertainty], {"the model": model})
    session = Session(model, settings)

    def read(job: Job) -> Photo:
        from scoreinv.imaging.files import check_format, read_picture
        from scoreinv.imaging.noise import estimate_noise

        picture = read_picture(job.source, files.frame)
        check_format(job.output, frame_of(picture))
        if noise is not None:
            return Photo(job.source, picture, noise / GREY_LEVELS, estimated=False)
        return Photo(job.source, picture, estimate_noise(picture), estimated=True)

    def compute(photo: Photo, bar: ProgressBar) -> Report:
        check_samples(sampling.samples, frame_of(photo.picture), coloured=False)
        result = restore(photo, session.prior, sampling, bar.fraction)
        level = photo.noise * GREY_LEVELS
        if photo.estimated:
            notice(settings, f"{photo.source}: noise of about {level:.2g} grey levels was found (--noise sets it)")
        more = {"noise": round(level, 2), **told}
        if files.uncertainty is not None:
            write_uncertainty(files.uncertainty, result.std, settings)
            more["uncertainty"] = files.uncertainty
        return Report(result.samples if count > 1 else [result.image], result.nfe, result.method, more)

    return run(everything, Work(read, compute, count, files.quality), session)
