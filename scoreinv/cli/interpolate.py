"""`scoreinv interpolate A B`: pictures between two pictures."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from scoreinv import files, imaging, tasks
from scoreinv.cli.gallery import Gallery
from scoreinv.cli.loading import Model, warn_of_completing
from scoreinv.cli.options import Common, FrameOption, ModelOption, QualityOption, option, output_option
from scoreinv.cli.outputs import STREAM, refuse_inputs
from scoreinv.cli.report import emit, naming, notice, rehearse, warn
from scoreinv.system.errors import InputError
from scoreinv.system.options import STEPS
from scoreinv.system.terminal import duration, progress_bar
from scoreinv.tasks.settings import FIXED_STEPS

EXAMPLES = """
  scoreinv interpolate a.png b.png --model cifar10 -o row.png
"""
UNUSED = ("seed",)


def interpolate(
    first: Annotated[str, typer.Argument(metavar="A", help="The first picture; - is stdin.", show_default=False)],
    second: Annotated[str, typer.Argument(metavar="B", help="The last picture, of the same size.", show_default=False)],
    common: Common,
    model: ModelOption = "photo",
    count: Annotated[int, option("-n", "--count", min=2, max=10_000, help="Pictures, the ends included.")] = 8,
    temperature: Annotated[
        float, option(min=0, max=100, help="Factor of the latent codes: below 1 for smoother pictures.")
    ] = 1.0,
    steps: Annotated[int | None, option(min=STEPS.least, max=STEPS.most, help=FIXED_STEPS.words)] = None,
    output: Annotated[
        str | None,
        output_option(
            "-o",
            "--output",
            metavar="FOLDER|ROW.png",
            help="A folder for single pictures, or a file for all in a row; - is stdout. (default: A_interpolated.png)",
        ),
    ] = None,
    quality: QualityOption = None,
    frame: FrameOption = None,
) -> None:
    """Make pictures between two pictures, by an arc between their latent codes."""
    if STREAM in (first, second) and (first == second or output is None):
        raise InputError("- (stdin) is one of the pictures, and needs a name for the result: -o")
    target = output if output is not None else str(Path(first).parent / f"{Path(first).stem}_interpolated.png")
    refuse_inputs("-o", [target], {"the model": model})
    loaded = Model(model, common, exact=True)
    gallery = Gallery(target, count, quality, common, columns=count)
    a, b = pictures = files.read_picture(first, frame), files.read_picture(second, frame)
    if a.size != b.size:
        sizes = f"{second}: is {b.width}x{b.height}, and {first} is {a.width}x{a.height}"
        raise InputError(f"{sizes}: crop them to one size")
    gallery.check(a.size)
    if common.dry_run:
        loaded.check()
        if loaded.configuration is not None:
            _check_sides((first, second), pictures, loaded.configuration)
        said = f"{count} pictures from {first} to {second} would be written to {target}"
        rehearse(common, {"inputs": [first, second], "outputs": gallery.outputs}, said)
        return
    for source, picture in zip((first, second), pictures, strict=True):
        if picture.has_alpha or picture.peak > 255:
            warn(f"{source}: transparency is left out, and more than 8 bits are rounded")

    _check_sides((first, second), pictures, loaded.load())
    warn_of_completing(
        loaded, "what it puts between two is a cross-fade; --model cifar10 joins pictures of 32x32 pixels"
    )
    started = time.monotonic()
    with progress_bar("interpolating", quiet=common.quiet) as show:
        result = tasks.interpolate_pictures(
            *pictures, loaded.load(), count, temperature=temperature, steps=steps, callback=show
        )
    gallery.write(result.images)
    seconds = time.monotonic() - started
    record = {
        "input": first,
        "inputs": [first, second],
        "output": gallery.outputs[0],
        "outputs": gallery.outputs,
        "seconds": round(seconds, 3),
        "nfe": result.nfe,
    }
    emit(common, record | loaded.record("ode"))
    notice(common, f"{count} pictures in {target} ({duration(seconds)})")


def _check_sides(
    sources: tuple[str, str], pictures: tuple[imaging.Picture, imaging.Picture], model: tasks.Sided
) -> None:
    for source, picture in zip(sources, pictures, strict=True):
        with naming(source):
            tasks.check_sides(picture, model)
