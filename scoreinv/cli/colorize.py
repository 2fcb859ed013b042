"""`scoreinv colorize GRAY...`: add colour."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from scoreinv.cli.batch import Report, Work, run
from scoreinv.cli.common import (
    Estimate,
    EstimateOption,
    FormatOption,
    FrameOption,
    GrayWeights,
    Method,
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
from scoreinv.cli.outputs import STREAM, Job, check_file, check_quality, plan, refuse_inputs
from scoreinv.cli.progress import ProgressBar
from scoreinv.cli.runtime import Session, check_samples
from scoreinv.errors import InputError
from scoreinv.tasks.settings import COLOUR_TEMPERATURE, Colours

if TYPE_CHECKING:
    from scoreinv.imaging.hints import KnownColours
    from scoreinv.imaging.picture import Picture


class Tint(StrEnum):
    """What is done with a picture whose tones have a colour each."""

    KEEP = "keep"
    REMOVE = "remove"


def colorize(
    photos: Annotated[
        list[str], typer.Argument(metavar="GRAY...", help="Grey photos or folders; - is stdin.", show_default=False)
    ],
    settings: Settings,
    output: OutputOption = None,
    model: ModelOption = "scene",
    method: MethodOption = None,
    steps: StepsOption = None,
    start: StartOption = None,
    samples: SamplesOption = 1,
    estimate: EstimateOption = Estimate.SAMPLE,
    gray_weights: Annotated[
        GrayWeights, typer.Option("--gray-weights", help="How the grey was made of red, green and blue.")
    ] = GrayWeights.REC601,
    hints: Annotated[
        str | None,
        typer.Option(
            "--hints",
            metavar="FILE",
            help="A picture of the photo's size, transparent but for strokes of the colours wanted there.",
        ),
    ] = None,
    keep_color: Annotated[
        bool, typer.Option("--keep-color", help="Leave what has colour already as it is, and let it guide the rest.")
    ] = False,
    tint: Annotated[
        Tint,
        typer.Option(
            "--tint", help="Of a sepia print, whose tint goes: keep its luma, or make its lightest tone white."
        ),
    ] = Tint.KEEP,
    saturation: Annotated[
        float, typer.Option("--saturation", min=0, max=10, help="Multiply the drawn chroma: 0 is grey.")
    ] = 1.0,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature",
            min=0,
            max=2,
            help="Of conditioned: 1 for samples of all that is possible, less for such as are nearer to the average: "
            f"paler, with fewer odd patches. (default: {COLOUR_TEMPERATURE:g})",
        ),
    ] = None,
    kind: FormatOption = None,
    quality: QualityOption = None,
    frame: FrameOption = None,
) -> None:
    """Colour grey photos; their luma, and so all detail, is kept to the grey level."""
    sampling = conditional_sampling(method, steps, start, samples, estimate, settings)
    colours = Colours(gray_weights.value, keep_color, saturation, temperature, tint is Tint.REMOVE)
    if method is Method.PC or start is not None:
        colours.check_with(replace(sampling, method="pc"))
    everything = plan(photos, output, "_colorized", kind)
    files = samples if estimate is Estimate.SAMPLE else 1
    check_quality([job.output for job in everything.jobs], quality)
    if hints is not None:
        if hints == STREAM:
            raise InputError("--hints -: name a file; stdin is for the photo")
        check_file(hints, "--hints")
    inputs = {"the hints": hints, "the model": model}
    for job in everything.jobs:
        refuse_inputs("-o", job.outputs(files), inputs)
    session = Session(model, settings)

    def read(job: Job) -> tuple[str, Picture, KnownColours | None]:
        from scoreinv.imaging.files import check_format, read_picture
        from scoreinv.imaging.hints import read_hints

        picture = read_picture(job.source, frame)
        check_format(job.output, picture)
        return job.source, picture, None if hints is None else read_hints(hints, picture.size)

    def compute(item: tuple[str, Picture, KnownColours | None], bar: ProgressBar) -> Report:
        from scoreinv.tasks.colorization import colorize_picture

        source, picture, given = item
        check_samples(samples, picture, coloured=True)
        result = colorize_picture(picture, session.prior, sampling, colours, given, bar.fraction)
        if result.found == "coloured" and not keep_color:
            warn(f"{source}: has colours already, which are replaced (--keep-color keeps them)")
        if result.found == "tinted" and tint is Tint.KEEP:
            warn(f"{source}: is of one tint, which is left out (--tint remove makes its lightest tone white too)")
        return Report(result.samples if files > 1 else [result.image], result.nfe, result.method)

    raise typer.Exit(run(everything, Work(read, compute, files, quality), session))
