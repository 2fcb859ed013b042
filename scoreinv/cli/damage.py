"""`scoreinv damage PHOTO...`: find what is damaged, as masks for inpaint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from scoreinv import imaging, inputs, tasks
from scoreinv.cli.loading import Detector
from scoreinv.cli.options import Common, Output, PhotosArgument, RestorerOption, option
from scoreinv.cli.photo_loop import Made, Progress, Run
from scoreinv.cli.plan import Job, plan
from scoreinv.cli.report import notice, warn
from scoreinv.system.options import FOUND_GROW, MOST_GROW, SENSITIVITY, USUAL_SENSITIVITY

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = """
  scoreinv damage old.jpg                    # writes old_damage.png, a mask
  scoreinv damage scans/ --sensitivity 0.7   # a folder; marks more
"""
SUFFIX = "_damage"  # of the names of results, by which `inpaint` finds them in a folder too
DETECTOR = "damage"  # the bundled model


def damage(
    photos: PhotosArgument,
    *,
    sensitivity: Annotated[
        float, option(min=SENSITIVITY.least, max=SENSITIVITY.most, help="How readily damage is marked, 0 to 1.")
    ] = USUAL_SENSITIVITY,
    grow: Annotated[
        int, option(min=0, max=MOST_GROW, help="Enlarge what is found by this many pixels, for soft edges.")
    ] = FOUND_GROW,
    model: RestorerOption = DETECTOR,
    output: Output,
    common: Common,
) -> Run[Any]:
    """Find scratches, creases, dust, stains, torn corners and writing in scans: a mask, white where it is damaged."""
    everything = plan(photos, SUFFIX, 1, output, common, {"the model": model}, "png")
    detector = Detector(model, common)

    def compute(job: Job, picture: imaging.Picture, given: None, progress: Progress) -> Made:
        hole = find(job, picture, detector, sensitivity, grow, progress)
        return as_mask(hole), {"damaged": damaged_share(hole)}

    return Run(everything, compute, [detector], result_of=black_mask)


def as_mask(hole: np.ndarray) -> tasks.Restored[imaging.Picture]:
    """The result that is a mask, white where the hole is, HxW bool."""
    marked = imaging.picture_of_hole(hole)
    return tasks.Restored(marked, [marked], None, 1, "segmentation")


def black_mask(picture: imaging.Picture) -> imaging.Picture:
    """A mask of the size of a photo."""
    import numpy as np

    return as_mask(np.zeros(picture.size, dtype=bool)).image


def find(
    job: Job, picture: imaging.Picture, detector: Detector, sensitivity: float, grow: int, progress: Progress | None
) -> np.ndarray:
    """The damage of a photo, HxW bool; says how much of it there is."""
    hole = tasks.damage_in_picture(picture, detector.load(), sensitivity, grow, progress)
    source = job.source
    if hole.any():
        notice(detector.common, f"{source}: {inputs.percent(hole)} of it is marked as damage (--sensitivity sets it)")
    else:
        warn(f"{source}: no damage was found (a --sensitivity above {sensitivity:g} marks more readily)")
    return hole


def damaged_share(hole: np.ndarray) -> float:
    """What records say of how much is damaged: a share of the pixels."""
    return round(float(hole.mean()), 6)
