"""`scoreinv inpaint PHOTO... --mask MASK`: fill holes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoreinv.cli.batch import Report, Work, run
from scoreinv.cli.common import (
    OUTPUT,
    Estimate,
    EstimateOption,
    FrameOption,
    MethodOption,
    ModelOption,
    OutputOption,
    QualityOption,
    SamplesOption,
    Settings,
    StartOption,
    StepsOption,
    conditional_sampling,
)
from scoreinv.cli.messages import warn
from scoreinv.cli.outputs import READABLE, STREAM, Job, Plan, check_file, check_outputs, plan
from scoreinv.cli.progress import ProgressBar
from scoreinv.cli.runtime import Session
from scoreinv.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from scoreinv.imaging.picture import Picture
    from scoreinv.tasks.settings import ConditionalSampling

MASK = "Mask"
BRIGHTEST = 0.25
"""Standard deviation at the end of the colour map: more is a guess at anything."""


@dataclass(frozen=True)
class MaskReading:
    """How mask files are read; see `imaging.masks.read_mask`."""

    threshold: float
    invert: bool
    grow: int


@dataclass(frozen=True)
class Item:
    """A photo at hand and its holes."""

    picture: Picture
    hole: np.ndarray


def inpaint(
    photos: Annotated[
        list[str], typer.Argument(metavar="PHOTO...", help="Photos or folders; - is stdin.", show_default=False)
    ],
    mask: Annotated[
        str,
        typer.Option(
            "--mask",
            metavar="MASK",
            help="White is a hole. A picture, for all photos of its size, or a folder of masks named as the photos.",
            show_default=False,
        ),
    ],
    settings: Settings,
    output: OutputOption = None,
    model: ModelOption = "photo",
    method: MethodOption = None,
    steps: StepsOption = None,
    start: StartOption = None,
    samples: SamplesOption = 1,
    estimate: EstimateOption = Estimate.SAMPLE,
    uncertainty: Annotated[
        str | None,
        typer.Option(
            "--uncertainty",
            metavar="FILE",
            help="Also write a map of the samples' standard deviation: violet 0 to yellow 0.25 of the range and more. "
            "Needs --samples 2 or more.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    colorize: Annotated[
        bool,
        typer.Option("--colorize", help="A grey photo: fill the holes of its luma, then draw all its colours."),
    ] = False,
    color_model: Annotated[
        str, typer.Option("--color-model", metavar="NAME|FILE", help="The model of --colorize.")
    ] = "scene",
    quality: QualityOption = None,
    mask_threshold: Annotated[
        float,
        typer.Option("--mask-threshold", min=0, max=1, help="Mask values above this are holes.", rich_help_panel=MASK),
    ] = 0.5,
    invert_mask: Annotated[
        bool, typer.Option("--invert-mask", help="White is known, black a hole.", rich_help_panel=MASK)
    ] = False,
    grow: Annotated[
        int, typer.Option("--grow", min=0, help="Enlarge holes by this many pixels.", rich_help_panel=MASK)
    ] = 0,
    frame: FrameOption = None,
) -> None:
    """Fill the holes of photos: what the mask shows white is drawn anew, all else is kept bit for bit."""
    sampling = conditional_sampling(method, steps, start, samples, estimate, settings)
    everything = plan(photos, output, "_inpainted")
    everything, masks = _masks(everything, mask, settings)
    if uncertainty is not None:
        _check_uncertainty(uncertainty, everything, samples, settings)
    files = samples if estimate is Estimate.SAMPLE else 1
    reading = MaskReading(mask_threshold, invert_mask, grow)
    session = Session(model, settings)
    colours = Session(color_model, settings) if colorize else None
    if colours is not None:
        colours.load()  # a model that cannot be used ends the run before anything is filled

    def read(job: Job) -> Item:
        return _read(job, masks[job.source], reading, frame)

    def compute(item: Item, outputs: list[str], bar: ProgressBar) -> Report:
        return _compute(item, outputs, bar, session, colours, sampling, quality, uncertainty)

    raise typer.Exit(run(everything, Work(read, compute, files), session))


def _read(job: Job, mask: str, reading: MaskReading, frame: int | None) -> Item:
    from scoreinv.imaging.files import read_picture
    from scoreinv.imaging.masks import read_mask

    picture = read_picture(job.source, frame)
    hole = read_mask(mask, picture.size, threshold=reading.threshold, invert=reading.invert, grow=reading.grow)
    return Item(picture, hole)


def _compute(
    item: Item,
    outputs: list[str],
    bar: ProgressBar,
    session: Session,
    colours: Session | None,
    sampling: ConditionalSampling,
    quality: int | None,
    uncertainty: str | None,
) -> Report:
    from scoreinv.imaging.colour import STRAY_CHROMA
    from scoreinv.imaging.files import write_picture
    from scoreinv.imaging.heat import viridis
    from scoreinv.imaging.picture import Picture
    from scoreinv.tasks.colorization import Colours, colorize_picture
    from scoreinv.tasks.inpainting import inpaint_picture
    from scoreinv.tasks.settings import ConditionalSampling

    if colours is not None and not item.picture.is_gray(STRAY_CHROMA):
        warn("the photo has colours already: --colorize replaces them")
    picture = item.picture if colours is None else item.picture.grey()
    result = inpaint_picture(picture, item.hole, session.prior, sampling, bar.fraction)
    pictures = result.samples if len(outputs) > 1 else [result.image]
    if colours is not None:
        # p(picture | known luma) = p(luma | known luma) p(colours | luma): a draw of one, then of the other.
        pictures = [
            colorize_picture(
                filled, colours.prior, ConditionalSampling(seed=sampling.seed, first=number), Colours()
            ).image
            for number, filled in enumerate(pictures)
        ]
    overwrite = session.settings.overwrite
    for path, picture in zip(outputs, pictures, strict=True):
        write_picture(path, picture, overwrite=overwrite, quality=quality)
    if uncertainty is not None:
        write_picture(uncertainty, Picture(viridis(result.std / BRIGHTEST)), overwrite=overwrite)
    return Report(result.nfe, result.method)


def _masks(everything: Plan, mask: str, settings: Settings) -> tuple[Plan, dict[str, str]]:
    """The mask of each photo by its name, and the plan without the photos that have none."""
    if not Path(mask).is_dir():
        check_file(mask)
        if mask == STREAM and (everything.batch or everything.jobs[0].source == STREAM):
            raise InputError("--mask -: stdin can be read once, for one mask of one photo")
        return everything, {job.source: mask for job in everything.jobs}
    by_stem: dict[str, str] = {}
    for path in sorted(Path(mask).iterdir()):
        if path.is_file() and path.suffix.lower() in READABLE:
            if path.stem in by_stem:
                raise InputError(f"{by_stem[path.stem]} and {path} are masks of one name: remove one of them")
            by_stem[path.stem] = str(path)
    masks = {job.source: by_stem[job.stem] for job in everything.jobs if job.stem in by_stem}
    if not masks:
        raise InputError(f"{mask}: no mask in this folder has the name of a photo")
    for job in everything.jobs:
        if job.source not in masks:
            warn(f"{job.source}: skipped, there is no mask named {job.stem} in {mask}")
    return replace(everything, jobs=[job for job in everything.jobs if job.source in masks]), masks


def _check_uncertainty(path: str, everything: Plan, samples: int, settings: Settings) -> None:
    if everything.batch:
        raise InputError("--uncertainty writes one file: it takes one photo")
    if samples < 2:
        raise InputError("--uncertainty is the spread of several samples: add --samples 4 or more")
    if Path(path).suffix.lower() not in (".png", ".tif", ".tiff"):
        raise InputError(f"{path}: the standard deviation is written to .png or .tif")
    check_outputs([path], overwrite=settings.overwrite)
