"""`scoreinv select PHOTO`: select an object by pointing at it, as a mask for inpaint."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from scoreinv import analysis, imaging, inputs, models, tasks
from scoreinv.cli.damage import as_mask, black_mask
from scoreinv.cli.options import STREAM_HELP, Common, Output, option
from scoreinv.cli.photo_loop import Made, Progress, Run
from scoreinv.cli.plan import Job, plan
from scoreinv.cli.report import notice
from scoreinv.system.errors import InputError
from scoreinv.system.options import MOST_GROW

EXAMPLES = """
  scoreinv select photo.jpg --box 250,120,180,260          # around an object; writes photo_selection.png
  scoreinv select photo.jpg --at 320,200 --not 300,370     # on it, and beside it
  scoreinv inpaint photo.jpg --mask photo_selection.png    # takes it out
"""
UNUSED = ("seed", "device", "precision")
SUFFIX = "_selection"  # of the names of results


def select(
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help=f"The photo; {STREAM_HELP}", show_default=False)],
    *,
    at: Annotated[
        list[str] | None,
        option(metavar="X,Y", help="A point on the object, in pixels from the upper left. Can be repeated."),
    ] = None,
    not_at: Annotated[
        list[str] | None,
        option("--not", metavar="X,Y", help="A point beside it, that is not to be selected. Can be repeated."),
    ] = None,
    box: Annotated[
        str | None, option(metavar="X,Y,W,H", help="A box around it: its upper left corner, width and height.")
    ] = None,
    size: Annotated[
        Literal["small", "middle", "large"] | None,
        option(help="Whether a point means a part, more of it, or the whole. (default: what is likeliest)"),
    ] = None,
    grow: Annotated[
        int | None,
        option(
            min=0,
            max=MOST_GROW,
            help="Enlarge it by this many pixels; 0: it alone. (default: a 256th of the longer side, and one)",
        ),
    ] = None,
    shadow: Annotated[bool, option(help="Include its cast shadow, if the photo shows a clear one.")] = False,
    output: Output,
    common: Common,
) -> Run[Any]:
    """Select an object of a photo by points or a box: a mask, white where it is, for inpaint --mask."""
    points, others = (
        [_numbers(name, text, 2) for text in given or ()] for name, given in (("--at", at), ("--not", not_at))
    )
    around = None if box is None else _numbers("--box", box, 4)
    if not points and around is None:
        raise InputError("nothing is pointed at: give --at X,Y or --box X,Y,W,H")
    everything = plan([photo], SUFFIX, 1, output, common, {})
    if everything.batch:
        raise InputError(f"{photo}: is a folder: name a photo")
    models.load_onnxruntime()

    def check(job: Job, picture: imaging.Picture) -> None:
        tasks.Prompt.of(points, others, around).check(picture.size)

    def compute(job: Job, picture: imaging.Picture, given: None, progress: Progress) -> Made:
        wider = tasks.usual_grow(picture.size) if grow is None else grow
        found = tasks.Selection(picture, models.SegmentAnything(common.threads)).select(
            tasks.Prompt.of(points, others, around), size
        )
        mask = tasks.with_rim(picture, found.mask, wider)
        seen = analysis.propose_shadow(picture, found.mask) if shadow else None
        more = "with what seemed to be left of it beside" if (mask != inputs.dilate(found.mask, wider)).any() else ""
        if seen is not None:
            mask |= seen
            more += ", and " if more else ""
            more += "with its shadow"
        said = f"{job.source}: {inputs.percent(mask)} of it is selected"
        said += f", {more}" if more else ""
        said += ", without a shadow: none is clear enough" if shadow and seen is None else ""
        if found.size is not None:
            said += f": the {found.size} one of three that the point may mean (--size)"
        notice(common, said)
        return as_mask(mask), {"model": "select", "selected": round(float(mask.mean()), 6), "size": found.size}

    return Run(everything, compute, read=check, result_of=black_mask)


def _numbers(name: str, text: str, count: int) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise InputError(f"{name} {text}: give {'X,Y' if count == 2 else 'X,Y,W,H'}, in pixels")
    return numbers
