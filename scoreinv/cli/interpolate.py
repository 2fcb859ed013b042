"""`scoreinv interpolate A B`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from scoreinv import files, tasks
from scoreinv.batch.plan import Frame, Quality
from scoreinv.cli.gallery import Gallery, warn_of_completing
from scoreinv.cli.options import Common, ModelOption
from scoreinv.cli.render import emit, notice, provenance, rehearse, warn
from scoreinv.models.loading import ModelSource
from scoreinv.system.errors import InputError
from scoreinv.system.files import STREAM
from scoreinv.system.options import Number, Setting, Whole
from scoreinv.system.progress import reported_to
from scoreinv.system.progress_bar import progress_bar
from scoreinv.system.terminal import duration
from scoreinv.tasks.sampling_settings import FIXED_STEPS, GENERATIVE_MODEL

UNUSED = ("seed",)


def interpolate(
    first: Annotated[str, typer.Argument(metavar="A", help="First picture; - is stdin.", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="B", help="Last picture, of the same size.", show_default=False)],
    *,
    model: ModelOption = GENERATIVE_MODEL,
    count: Annotated[
        int, Setting("Number of pictures, both ends included.", Whole(2, 10_000), option="-n --count")
    ] = 8,
    temperature: Annotated[
        float, Setting("Factor of the latent codes: below 1 for smoother pictures.", Number(0, 100))
    ] = 1.0,
    steps: Annotated[int | None, FIXED_STEPS] = None,
    output: Annotated[
        str | None,
        Setting(
            "Folder for single pictures, or file for all in a row; - is stdout. (default: A_interpolated.png)",
            metavar="FOLDER|ROW.png",
            option="-o --output",
        ),
    ] = None,
    quality: Quality = None,
    frame: Frame = None,
    common: Common,
) -> None:
    """Interpolate between two pictures, by an arc between their latent codes.

    \b
    scoreinv interpolate a.png b.png --model cifar10 -o row.png
    """
    if first == second == STREAM:
        raise InputError("- (stdin) is one picture: name the file of the other")
    if STREAM in (first, second) and output is None:
        raise InputError("- (stdin) is one of the pictures: name the result with -o")
    target = output if output is not None else str(Path(first).parent / f"{Path(first).stem}_interpolated.png")
    files.refuse_inputs("-o", [target], {model: "the model"})
    source = ModelSource(model, common.machine, exact=True)
    gallery = Gallery(target, count, quality, common, columns=count)
    a, b = files.read_picture(first, frame), files.read_picture(second, frame)
    if a.size != b.size:
        sizes = f"{second}: is {b.width}x{b.height}, and {first} is {a.width}x{a.height}"
        raise InputError(f"{sizes}: crop them to the same size")
    gallery.check(a.size)
    if common.dry_run:
        source.check()
        if source.configuration is not None:
            tasks.check_sides(a, source.configuration)
        said = f"{count} pictures from {first} to {second} would be written to {target}"
        rehearse(common, {"inputs": [first, second], "outputs": gallery.outputs}, said)
        return
    for name, picture in ((first, a), (second, b)):
        if picture.has_alpha:
            warn(f"{name}: transparency is left out")
        if picture.peak > 255:
            warn(f"{name}: 16 bits are rounded to 8")

    common.machine.start_torch()
    prior = source.load()
    warn_of_completing(source, "the result is a cross-fade (--model cifar10 interpolates pictures of 32x32 pixels)")
    started = time.monotonic()
    with progress_bar("interpolating", quiet=common.quiet) as show, reported_to(show):
        result = tasks.interpolate_pictures(a, b, prior, count, temperature=temperature, steps=steps)
    gallery.write(result.images)
    record = {"input": first, "inputs": [first, second]} | gallery.record(started, result.nfe)
    emit(common, record | provenance(source, "ode", common))
    notice(common, f"{count} pictures in {target} ({duration(record['seconds'])})")
