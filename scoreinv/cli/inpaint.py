"""`scoreinv inpaint PHOTO... --mask MASK`: fill holes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scoreinv.cli.batch import Report, Work, run
from scoreinv.cli.common import (
    Estimate,
    EstimateOption,
    FormatOption,
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
from scoreinv.cli.outputs import (
    STREAM,
    Job,
    Plan,
    check_file,
    check_quality,
    expand,
    file_identity,
    plan,
    refuse_inputs,
)
from scoreinv.cli.progress import ProgressBar
from scoreinv.cli.runtime import Session, check_samples
from scoreinv.cli.uncertainty import UncertaintyOption, check_uncertainty, write_uncertainty
from scoreinv.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from scoreinv.imaging.picture import Picture
    from scoreinv.tasks.settings import ConditionalSampling

MASK = "Mask"
MAX_GROW = 100_000
"""Pixels by which holes may grow: more than a picture's side."""


@dataclass(frozen=True)
class MaskReading:
    """How mask files are read; see `imaging.masks.read_mask`."""

    threshold: float
    invert: bool
    grow: int


@dataclass(frozen=True)
class Item:
    """A photo at hand, its path, and its holes."""

    source: str
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
    uncertainty: UncertaintyOption = None,
    colorize: Annotated[
        bool,
        typer.Option("--colorize", help="A grey photo: fill the holes of its luma, then draw all its colours."),
    ] = False,
    color_model: Annotated[
        str | None,
        typer.Option("--color-model", metavar="NAME|FILE", help="The model of --colorize. (default: scene)"),
    ] = None,
    kind: FormatOption = None,
    quality: QualityOption = None,
    mask_threshold: Annotated[
        float,
        typer.Option("--mask-threshold", min=0, max=1, help="Mask values above this are holes.", rich_help_panel=MASK),
    ] = 0.5,
    invert_mask: Annotated[
        bool, typer.Option("--invert-mask", help="White is known, black a hole.", rich_help_panel=MASK)
    ] = False,
    grow: Annotated[
        int,
        typer.Option("--grow", min=0, max=MAX_GROW, help="Enlarge holes by this many pixels.", rich_help_panel=MASK),
    ] = 0,
    frame: FrameOption = None,
) -> None:
    """Fill the holes of photos: what the mask shows white is drawn anew, all else is kept bit for bit."""
    sampling = conditional_sampling(method, steps, start, samples, estimate, settings)
    if color_model is not None and not colorize:
        raise InputError("--color-model belongs to --colorize")
    everything = plan(photos, output, "_inpainted", kind)
    masks = _masks(everything, mask)
    files = samples if estimate is Estimate.SAMPLE else 1
    check_quality([job.output for job in everything.jobs], quality)
    models = {"the model": model, "the model of --colorize": color_model}
    for job in everything.jobs:
        refuse_inputs("-o", job.outputs(files), {"the mask": masks.get(job.source)} | models)
    if uncertainty is not None:
        of_one = masks.get(everything.jobs[0].source, mask)
        check_uncertainty(uncertainty, everything, files, samples, settings, {"the mask": of_one})
        refuse_inputs("--uncertainty", [uncertainty], models)
    if mask_threshold == 1:
        raise InputError("--mask-threshold 1: nothing is above it: give less than 1")
    reading = MaskReading(mask_threshold, invert_mask, grow)
    session = Session(model, settings)
    colours = Session(color_model or "scene", settings) if colorize else None

    def read(job: Job) -> Item:
        return _read(job, masks[job.source], reading, frame)

    def compute(item: Item, bar: ProgressBar) -> Report:
        return _compute(item, files, bar, session, colours, sampling, uncertainty)

    def left_out(job: Job) -> str | None:
        return None if job.source in masks else f"there is no mask named {job.stem} in {mask}"

    raise typer.Exit(run(everything, Work(read, compute, files, quality, left_out), session, colours))


def _read(job: Job, mask: str, reading: MaskReading, frame: int | None) -> Item:
    from scoreinv.imaging.files import check_format, read_picture
    from scoreinv.imaging.masks import read_mask

    picture = read_picture(job.source, frame)
    check_format(job.output, picture)
    hole = read_mask(mask, picture.size, threshold=reading.threshold, invert=reading.invert, grow=reading.grow)
    return Item(job.source, picture, hole)


def _compute(
    item: Item,
    files: int,
    bar: ProgressBar,
    session: Session,
    colours: Session | None,
    sampling: ConditionalSampling,
    uncertainty: str | None,
) -> Report:
    from scoreinv.imaging.colour import STRAY_CHROMA
    from scoreinv.tasks.colorization import colorize_filled
    from scoreinv.tasks.inpainting import inpaint_picture
    from scoreinv.tasks.progress import Share

    check_samples(sampling.samples, item.picture, coloured=colours is not None)
    if colours is not None and not item.picture.is_gray(STRAY_CHROMA):
        warn(f"{item.source}: has colours already, which --colorize replaces")
    picture = item.picture if colours is None else item.picture.grey()
    share = Share(bar.fraction, 1 if colours is None else 2)
    share.begin(1)
    result = inpaint_picture(picture, item.hole, session.prior, sampling, share)
    if colours is not None:
        share.begin(1)
        result = colorize_filled(result, colours.prior, sampling, share)
    if uncertainty is not None:
        write_uncertainty(uncertainty, result.std, session.settings)
    pictures = result.samples if files > 1 else [result.image]
    more = {} if uncertainty is None else {"uncertainty": uncertainty}
    more |= {} if colours is None else {"color_model": colours.model_name}
    return Report(pictures, result.nfe, result.method, more)


def _masks(everything: Plan, mask: str) -> dict[str, str]:
    """The mask of each photo that has one, by the photo's path; InputError where none has."""
    if not Path(mask).is_dir():
        check_file(mask, "--mask")
        if mask == STREAM and (everything.batch or everything.jobs[0].source == STREAM):
            raise InputError("--mask -: stdin can be read once, for one mask of one photo")
        _refuse_photos([mask], everything)
        return {job.source: mask for job in everything.jobs}
    by_name: dict[str, str] = {}
    for path in map(Path, expand(mask)):
        if path.stem in by_name:
            raise InputError(f"--mask: {by_name[path.stem]} and {path} are masks of one name: remove one of them")
        by_name[path.stem] = str(path)
    # The mask of a.jpg is a.png or, where photos share their stem, a.jpg.png.
    found = {job.source: by_name.get(Path(job.source).name, by_name.get(job.stem)) for job in everything.jobs}
    masks = {source: path for source, path in found.items() if path is not None}
    if not masks:
        raise InputError(f"--mask {mask}: no mask in this folder has the name of a photo")
    _refuse_photos(masks.values(), everything)
    return masks


def _refuse_photos(masks: Iterable[str], everything: Plan) -> None:
    """Raise InputError for a mask that is one of the photos."""
    photos = {file_identity(job.source) for job in everything.jobs} - {None}
    for mask in masks:
        if file_identity(mask) in photos:
            raise InputError(f"--mask {mask}: is a photo itself: name a picture that is white where the holes are")
