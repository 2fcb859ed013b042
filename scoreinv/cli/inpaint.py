"""`scoreinv inpaint PHOTO... --mask MASK`: fill holes, or what is found to be damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv.cli.batch import Report, Work, run
from scoreinv.cli.command import Settings
from scoreinv.cli.damage import FINDER, SUFFIX, damaged_share, find
from scoreinv.cli.options import MODEL_HELP, FrameOption, PhotosArgument, ResultOptions
from scoreinv.cli.outputs import (
    STREAM,
    Job,
    Plan,
    check_file,
    check_source,
    expand,
    expand_deep,
    file_identity,
    refuse_inputs,
)
from scoreinv.cli.pages import ADVANCED
from scoreinv.cli.progress import ProgressBar
from scoreinv.cli.runtime import FinderSession, Maker, NoModel, Session, check_samples
from scoreinv.cli.streams import warn
from scoreinv.cli.uncertainty import UncertaintyOption, check_uncertainty, map_beside, write_uncertainty
from scoreinv.errors import EmptyMaskError, InputError
from scoreinv.options import FOUND_GROW, MOST_GROW, SENSITIVITY, USUAL_SENSITIVITY, ClassicalMethod
from scoreinv.tasks.settings import FillSettings

if TYPE_CHECKING:
    import numpy as np

    from scoreinv.imaging.picture import Picture

EXAMPLES = """
  scoreinv inpaint photo.png --mask mask.png       # writes photo_inpainted.png
  scoreinv inpaint scans/ --mask auto --samples 4  # a folder, its damage found
"""
GivenModelOption = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME|FILE", help=f"{MODEL_HELP} (default: photo)", rich_help_panel=ADVANCED),
]
AUTO = "auto"
"""The mask that is found."""
_MOSTLY_HOLE = 0.6
"""Share of a photo, as a hole, that is more likely a mask turned round, or a copy of the photo with marks on it."""


@dataclass(frozen=True)
class MaskReading:
    """How mask files are read; see `imaging.masks.read_mask`."""

    threshold: Annotated[
        float,
        typer.Option(
            "--mask-threshold", min=0, max=1, help="Mask values above this are holes.", rich_help_panel=ADVANCED
        ),
    ] = 0.5
    invert: Annotated[bool, typer.Option("--invert-mask", help="White is known, black a hole.")] = False
    grow: Annotated[
        int | None,
        typer.Option(
            "--grow",
            min=0,
            max=MOST_GROW,
            help=f"Enlarge holes by this many pixels. (default: 0; what is found: {FOUND_GROW})",
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.threshold == 1:
            raise InputError("--mask-threshold 1: nothing is above it: give less than 1")

    def read(self, mask: str, photo: str, size: tuple[int, int]) -> np.ndarray:
        """The holes of a photo of a size (height, width), HxW bool; warns where most of it is one.

        A mask of the name that `damage` gives may be all black: that photo is healthy. Raises InputError for others.
        """
        import numpy as np

        from scoreinv.imaging.masks import read_mask

        try:
            hole = read_mask(mask, size, threshold=self.threshold, invert=self.invert, grow=self.grow or 0)
        except EmptyMaskError as error:
            if not (error.black and Path(mask).stem.endswith(SUFFIX)):
                raise
            warn(f"{mask}: marks no damage, so that nothing of {photo} is filled")
            return np.zeros(size, dtype=bool)
        if (share := float(hole.mean())) > _MOSTLY_HOLE:
            warn(f"{mask}: {share:.0%} of {photo} is hole: white is drawn anew, black is kept")
        return hole


def inpaint(
    photos: PhotosArgument,
    mask: Annotated[
        str,
        typer.Option(
            "--mask",
            metavar="MASK",
            help="White is a hole. A picture, or a folder of them; auto: what is damaged.",
            show_default=False,
        ),
    ],
    *,
    results: ResultOptions,
    model: GivenModelOption = None,
    filling: FillSettings,
    uncertainty: UncertaintyOption = None,
    reading: MaskReading,
    sensitivity: Annotated[
        float | None,
        typer.Option(
            "--sensitivity",
            min=SENSITIVITY.least,
            max=SENSITIVITY.most,
            help=f"With --mask auto: how readily damage is marked, 0 to 1. (default: {USUAL_SENSITIVITY:g})",
        ),
    ] = None,
    frame: FrameOption = None,
    settings: Settings,
) -> None:
    """Fill the holes of photos: what the mask shows white is drawn anew, all else is kept bit for bit."""
    if filling.classical is not None:
        drawn = {
            "--model": model is not None,
            "--uncertainty": uncertainty is not None,
        }
        _check_alone(filling.classical, drawn)
    finding = _finding(mask, sensitivity, reading, settings)
    everything = results.plan(photos, "_inpainted", filling.results, {"the mask": mask, "the model": model})
    masks = masks_of(everything, mask, recursive=results.recursive) if finding is None else {}
    for job in everything.jobs:
        refuse_inputs("-o", job.outputs(filling.results), {"the mask": masks.get(job.source)})
    if uncertainty is not None:
        of_one = {"the mask": masks.get(everything.jobs[0].source, mask)} if finding is None else {}
        check_uncertainty(uncertainty, everything, filling, settings, of_one)
        refuse_inputs("--uncertainty", [uncertainty], {"the model": model})
    masked = _Masked(None if finding is not None else mask, masks, reading, frame)
    maker: Maker
    compute: Callable[[_Item, ProgressBar], Report]
    if filling.classical is not None:
        maker, compute = NoModel(settings), _Classical(filling.classical).compute
    else:
        maker = session = Session(model or "photo", settings)
        compute = _Drawing(filling, uncertainty, session).compute
    makers: list[Maker] = [maker]
    work = Work(masked.read, compute, filling.results, results.quality, masked.left_out, map_beside(uncertainty))
    if finding is not None:
        work, makers = replace(work, prepare=finding.found), [*makers, finding.session]
    raise typer.Exit(run(everything, work, *makers))


def _finding(mask: str, sensitivity: float | None, reading: MaskReading, settings: Settings) -> _Finding | None:
    """How damage is found where that is asked for; InputError for options that do not go with it, or need it."""
    if mask != AUTO:
        if sensitivity is not None:
            raise InputError("--sensitivity belongs to --mask auto")
        return None
    if reading != MaskReading(grow=reading.grow):
        raise InputError("--invert-mask and --mask-threshold are for masks of your own, not for --mask auto")
    session = FinderSession(FINDER, settings)
    grow = FOUND_GROW if reading.grow is None else reading.grow
    return _Finding(session, USUAL_SENSITIVITY if sensitivity is None else sensitivity, grow)


def _check_alone(method: ClassicalMethod, given: dict[str, bool]) -> None:
    """Raise InputError for an option beside a classical method that belongs to those that draw.

    Raises ScoreinvError where the method needs OpenCV, and that cannot be loaded.
    """
    for option, is_given in given.items():
        if is_given:
            raise InputError(f"{option} does not go with --method {method}, which needs no model and draws nothing")
    if method != "biharmonic":
        from scoreinv.imaging.opencv import load_opencv

        load_opencv()


@dataclass(frozen=True)
class _Item:
    """A photo at hand, its path, its holes (none yet where they are to be found).

    Attributes:
        record: what its record says of how the holes were found.
    """

    source: str
    picture: Picture
    hole: np.ndarray
    record: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Masked:
    """How photos are read with their masks.

    Attributes:
        mask: the mask or folder of masks, as given; None where the holes are found later.
        masks: the mask of each photo that has one.
    """

    mask: str | None
    masks: dict[str, str]
    reading: MaskReading
    frame: int | None

    def left_out(self, job: Job) -> str | None:
        return None if self.mask is None else without_mask(job, self.mask, self.masks)

    def read(self, job: Job) -> _Item:
        import numpy as np

        from scoreinv.imaging.read import read_picture
        from scoreinv.imaging.rims import find_leftover
        from scoreinv.imaging.write import check_format

        picture = read_picture(job.source, self.frame)
        check_format(job.output, picture)
        if self.mask is None:
            return _Item(job.source, picture, np.zeros(picture.size, dtype=bool))
        hole = self.reading.read(self.masks[job.source], job.source, picture.size)
        if (leftover := find_leftover(picture, hole)) is not None:
            warn(f"{job.source}: {leftover.words}: try --grow {(self.reading.grow or 0) + leftover.grow}")
        return _Item(job.source, picture, hole)


@dataclass(frozen=True)
class _Finding:
    """How the holes of a photo are found; see `tasks.find_damage`.

    Attributes:
        grow: pixels by which they are enlarged.
    """

    session: FinderSession
    sensitivity: float
    grow: int

    def found(self, item: _Item) -> _Item:
        """The photo with its damage as the holes, maybe none; InputError where nothing is left to fill it from."""
        hole = find(item.source, item.picture, self.session, self.sensitivity, self.grow, None)
        if hole.all():
            raise InputError(f"{item.source}: all of it is marked as damage: lower --sensitivity or --grow")
        return replace(item, hole=hole, record={"damaged": damaged_share(hole)})


@dataclass(frozen=True)
class _Classical:
    """The work on photos without a model."""

    method: ClassicalMethod

    def compute(self, item: _Item, bar: ProgressBar) -> Report:
        from scoreinv.tasks.classical import fill_classically

        return Report.of(fill_classically(item.picture, item.hole, self.method, bar.fraction), 1, item.record)


@dataclass(frozen=True)
class _Drawing:
    """The work on photos with a model."""

    filling: FillSettings
    uncertainty: str | None
    session: Session

    def compute(self, item: _Item, bar: ProgressBar) -> Report:
        from scoreinv.machine import keep_freed
        from scoreinv.tasks.inpaint import inpaint_picture

        keep_freed()
        check_samples(self.filling.samples, [item.picture], coloured=False)
        result = inpaint_picture(item.picture, item.hole, self.session.prior, self.filling, bar.fraction)
        more: dict[str, Any] = dict(item.record)
        if self.uncertainty is not None:
            write_uncertainty(self.uncertainty, result.std, self.session.settings)
            more["uncertainty"] = self.uncertainty
        return Report.of(result, self.filling.results, more)


def masks_of(everything: Plan, mask: str, *, recursive: bool) -> dict[str, str]:
    """The mask of each photo that has one, by the photo's path; InputError where none has."""
    if not Path(mask).is_dir():
        check_file(mask, "--mask")
        if mask == STREAM and (everything.batch or everything.jobs[0].source == STREAM):
            raise InputError("--mask -: stdin can be read once, for one mask of one photo")
        _refuse_photos([mask], everything)
        return {job.source: mask for job in everything.jobs}
    by_name: dict[str, str] = {}
    for path in map(Path, expand_deep(mask) if recursive else expand(mask)):
        name = str(path.relative_to(mask).with_suffix(""))
        if name in by_name:
            raise InputError(f"--mask: {by_name[name]} and {path} are masks of one name: remove one of them")
        by_name[name] = str(path)
    # The mask of a.jpg is a.png, or where photos share their stem a.jpg.png; `damage` names it a_damage.png.
    masks: dict[str, str] = {}
    for job in everything.jobs:
        places = (job.full_place, job.place, f"{job.full_place}{SUFFIX}", f"{job.place}{SUFFIX}")
        if (place := next(filter(by_name.__contains__, places), None)) is not None:
            masks[job.source] = by_name[place]
    if not masks:
        check_source(everything.jobs[0].source)  # what is not there has no mask either
        raise InputError(f"--mask {mask}: no mask in this folder has the name of a photo")
    _refuse_photos(masks.values(), everything)
    return masks


def without_mask(job: Job, mask: str, masks: Mapping[str, str]) -> str | None:
    """Says that a photo has none of the masks in a folder; None where it has."""
    return None if job.source in masks else f"there is no mask named {job.place} in {mask}"


def _refuse_photos(masks: Iterable[str], everything: Plan) -> None:
    """Raise InputError for a mask that is one of the photos."""
    photos = {file_identity(job.source) for job in everything.jobs} - {None}
    for mask in masks:
        if file_identity(mask) in photos:
            raise InputError(f"--mask {mask}: is a photo itself: name a picture that is white where the holes are")
