"""`scoreinv inpaint PHOTO... --mask MASK`: fill holes, or what is found to be damaged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from scoreinv import analysis, imaging, inputs, tasks
from scoreinv.cli.damage import DETECTOR, SUFFIX, damaged_share, find
from scoreinv.cli.loading import Detector, Model, check_samples
from scoreinv.cli.options import MODEL_HELP, Common, Output, PhotosArgument, UncertaintyOption, advanced, option
from scoreinv.cli.outputs import STREAM, check_file, refuse_inputs
from scoreinv.cli.photo_loop import Made, Progress, Run, uncertainty_maps
from scoreinv.cli.plan import Job, Plan, expand, plan
from scoreinv.cli.report import warn
from scoreinv.system.errors import EmptyMaskError, InputError
from scoreinv.system.options import FOUND_GROW, MASK_THRESHOLD, MOST_GROW, SENSITIVITY, USUAL_SENSITIVITY
from scoreinv.tasks.settings import FillSettings

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = """
  scoreinv inpaint photo.png --mask mask.png       # writes photo_inpainted.png
  scoreinv inpaint photo.png --mask mask.png --avoid words.png
  scoreinv inpaint scans/ --mask auto --samples 4  # a folder, its damage found
"""
AUTO = "auto"  # the mask that is found
_Given = tuple["np.ndarray | None", "np.ndarray | None"]
"""The holes of a photo, None where they are yet to be found, and what is not to be copied into them."""
_MOSTLY_HOLE = 0.6
"""Share of a photo, as a hole, that is more likely a mask turned round, or a copy of the photo with marks on it."""


@dataclass(frozen=True)
class MaskReading:
    """How mask files are read; see `imaging.masks.read_mask`."""

    mask_threshold: Annotated[float, advanced(min=0, max=1, help="Mask values above this are holes.")] = MASK_THRESHOLD
    invert_mask: Annotated[bool, option(help="Black marks what to remove, and white what stays.")] = False
    grow: Annotated[
        int | None,
        option(
            min=0,
            max=MOST_GROW,
            help=f"Enlarge what is marked by this many pixels. (default: 0; {FOUND_GROW} where damage is found)",
        ),
    ] = None

    @property
    def of_mask(self) -> bool:
        """Whether it asks for what only a mask that is given has; `grow` is for what is found too."""
        return self.invert_mask or self.mask_threshold != MASK_THRESHOLD


def inpaint(
    photos: PhotosArgument,
    mask: Annotated[
        str,
        option(metavar="MASK", help="White marks what to remove: a picture, or a folder of them; auto: the damage."),
    ],
    *,
    avoid: Annotated[
        str | None,
        option(
            metavar="MASK",
            help="White marks what to leave, and not to copy from, as people's heads: a picture, or a folder of them.",
        ),
    ] = None,
    filling: FillSettings,
    reading: MaskReading,
    sensitivity: Annotated[
        float | None,
        option(
            min=SENSITIVITY.least,
            max=SENSITIVITY.most,
            help=f"With --mask auto: how readily damage is marked, 0 to 1. (default: {USUAL_SENSITIVITY:g})",
        ),
    ] = None,
    model: Annotated[str | None, advanced(metavar="NAME|FILE", help=f"{MODEL_HELP} (default: photo)")] = None,
    uncertainty: UncertaintyOption = None,
    output: Output,
    common: Common,
) -> Run[Any]:
    """Remove things from photos: what the mask shows white is drawn anew, all else is kept bit for bit."""
    filling.check_given(avoiding=avoid is not None)
    if filling.classical is not None:
        for name, value in {"--model": model, "--uncertainty": uncertainty}.items():
            if value is not None:
                how = f"--method {filling.classical}, which needs no model and draws nothing"
                raise InputError(f"{name} does not go with {how}")
        if filling.classical != "biharmonic":
            imaging.load_opencv()
    found = mask == AUTO
    if sensitivity is not None and not found:
        raise InputError("--sensitivity belongs to --mask auto")
    if found and reading.of_mask and (avoid is None or reading.invert_mask):
        raise InputError("--invert-mask and --mask-threshold are for masks of your own, not for --mask auto")
    if avoid == mask == STREAM:
        raise InputError("--avoid -: stdin can be read once, and --mask has it")
    read_too = {"the mask": mask, "what is avoided": avoid, "the model": model}
    everything = plan(photos, "_inpainted", filling.results, output, common, read_too)
    masks, left_out = ({}, {}) if found else find_masks(mask, everything, reading)
    avoided: dict[str, str] = {}
    if avoid is not None:  # a photo without one is filled from all of it
        avoided, _ = find_masks(avoid, everything, reading, name="--avoid")
    maps = uncertainty_maps(uncertainty, everything, filling.samples, [*masks.values(), *avoided.values()])
    prior = None if filling.classical is not None else Model(model or "photo", common)
    detector = Detector(DETECTOR, common) if found else None

    def read(job: Job, picture: imaging.Picture) -> _Given:
        kept = None
        if job.source in avoided:
            kept = inputs.read_avoided(avoided[job.source], picture.size, threshold=reading.mask_threshold)
        if found:
            return None, kept
        hole = read_hole(masks[job.source], reading, job, picture)
        if (leftover := analysis.find_leftover(picture, hole)) is not None:
            warn(f"{job.source}: {leftover.words}: try --grow {(reading.grow or 0) + leftover.grow}")
        return hole, kept

    def compute(job: Job, picture: imaging.Picture, given: _Given, progress: Progress) -> Made:
        (hole, kept), more = given, {}
        if detector is not None:
            grow = FOUND_GROW if reading.grow is None else reading.grow
            hole = find(job, picture, detector, USUAL_SENSITIVITY if sensitivity is None else sensitivity, grow, None)
            if hole.all():
                raise InputError(f"{job.source}: all of it is marked as damage: lower --sensitivity or --grow")
            more = {"damaged": damaged_share(hole)}
        assert hole is not None
        if prior is None:
            assert filling.classical is not None
            return tasks.fill_classically(picture, hole, filling.classical, progress, exact=filling.exact), more
        check_samples(filling.samples, picture, coloured=False)
        return tasks.inpaint_picture(picture, hole, prior.load(), filling, progress, kept), more

    models = [each for each in (prior, detector) if each is not None]
    return Run(everything, compute, models, read, left_out=left_out, uncertainty=maps)


def find_masks(
    mask: str, everything: Plan, reading: MaskReading, name: Literal["--mask", "--avoid"] = "--mask"
) -> tuple[dict[str, str], dict[str, str]]:
    """The masks of photos: one for all, or those of a folder by their names.

    Args:
        mask: file or folder, as given.
        name: the option that gives it.

    Returns:
        The mask of each photo that has one, and what is said of each that has none, by the photos' paths.

    Raises:
        InputError: no photo has a mask, two masks have one name, a mask is a photo, a result would replace one.
    """
    if reading.mask_threshold == 1:
        raise InputError("--mask-threshold 1: nothing is above it: give less than 1")
    if Path(mask).is_dir():
        masks = _by_name(mask, name, everything)
    else:
        check_file(mask, name)
        if mask == STREAM and (everything.batch or everything.jobs[0].source == STREAM):
            raise InputError(f"{name} -: stdin can be read once, for one mask of one photo")
        masks = {job.source: mask for job in everything.jobs}
    what = "the mask" if name == "--mask" else "what is avoided"
    for job in everything.jobs:
        own = masks.get(job.source)
        refuse_inputs(name, filter(None, [own]), {"a photo itself": job.source})
        refuse_inputs("-o", job.outputs if everything.batch else (), {what: own})
    missing = {job.source: job.inside / Path(job.source).stem for job in everything.jobs if job.source not in masks}
    return masks, {source: f"there is no mask named {stem} in {mask}" for source, stem in missing.items()}


def read_hole(mask: str, how: MaskReading, job: Job, picture: imaging.Picture) -> np.ndarray:
    """The holes of a photo, HxW bool; warns where most of it is one.

    A mask of the name that `damage` gives may be all black: that photo is healthy. Raises InputError for others.
    """
    import numpy as np

    try:
        hole = inputs.read_mask(
            mask, picture.size, threshold=how.mask_threshold, invert=how.invert_mask, grow=how.grow or 0
        )
    except EmptyMaskError as error:
        if not error.black:
            raise InputError(f"{error} (--mask-threshold 0, --no-invert-mask)") from error
        if not Path(mask).stem.endswith(SUFFIX):
            raise
        warn(f"{mask}: marks no damage, so that nothing of {job.source} is filled")
        return np.zeros(picture.size, dtype=bool)
    if (share := float(hole.mean())) > _MOSTLY_HOLE:
        warn(f"{mask}: {share:.0%} of {job.source} is hole: white is drawn anew, black is kept")
    return hole


def _by_name(folder: str, option: str, everything: Plan) -> dict[str, str]:
    """The masks of a folder by the photos that they are of."""
    by_name: dict[str, str] = {}
    for path in map(Path, expand(folder, deep=everything.output.recursive)):
        name = str(path.relative_to(folder).with_suffix(""))
        if name in by_name:
            raise InputError(f"{option}: {by_name[name]} and {path} are masks of one name: remove one of them")
        by_name[name] = str(path)
    # The mask of a.jpg is a.png, or where photos share their stem a.jpg.png; `damage` names it a_damage.png.
    masks: dict[str, str] = {}
    for job in everything.jobs:
        source = Path(job.source)
        names = (source.name, source.stem, f"{source.name}{SUFFIX}", f"{source.stem}{SUFFIX}")
        places = (str(job.inside / name) for name in names)
        if (place := next(filter(by_name.__contains__, places), None)) is not None:
            masks[job.source] = by_name[place]
    if not masks:
        check_file(everything.jobs[0].source)  # what is not there has no mask either
        raise InputError(f"{option} {folder}: no mask in this folder has the name of a photo")
    return masks
