"""`scoreinv sample`: new pictures from the model."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scoreinv.cli.common import OUTPUT, ModelOption, QualityOption, Settings
from scoreinv.cli.gallery import gallery_outputs, write_gallery
from scoreinv.cli.messages import emit, notice
from scoreinv.cli.progress import ProgressBar, duration
from scoreinv.cli.runtime import Session
from scoreinv.errors import InputError


class SamplerChoice(StrEnum):
    """How the reverse process is solved."""

    PC = "pc"
    ODE = "ode"
    MULTISTEP = "multistep"


def sample(
    settings: Settings,
    model: ModelOption = "photo",
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=100_000, help="Pictures to draw.")] = 16,
    sampler: Annotated[
        SamplerChoice,
        typer.Option(
            "--sampler",
            help="pc: predictor-corrector, the paper's; ode: adaptive probability flow; multistep: DPM-Solver++, fast.",
        ),
    ] = SamplerChoice.PC,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            min=1,
            help="Of pc (default: as recommended with the model, else 1000) and multistep (default: 25).",
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER|GRID.png",
            help="A folder for single pictures, or one picture of all; - is stdout. (default: MODEL_samples.png)",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quality: QualityOption = None,
) -> None:
    """Draw new pictures from the model, in a grid or one by one."""
    if sampler is SamplerChoice.ODE and steps is not None:
        raise InputError("--steps: the ODE sampler chooses its steps by itself")
    target = output if output is not None else f"{Path(model).stem}_samples.png"
    outputs = gallery_outputs(target, count, settings)
    session = Session(model, settings, exact=sampler is SamplerChoice.ODE)

    from scoreinv.tasks.generation import generate

    session.load()
    started = time.monotonic()
    with ProgressBar("sampling", quiet=settings.quiet) as bar:
        result = generate(
            session.prior, count, sampler=sampler.value, steps=steps, seed=settings.seed, callback=bar.fraction
        )
    write_gallery(result.images, outputs, quality, overwrite=settings.overwrite)
    seconds = time.monotonic() - started
    record = {"output": outputs[0], "outputs": outputs, "seconds": round(seconds, 3), "nfe": result.nfe}
    emit(settings, record | session.record(sampler.value))
    notice(settings, f"{count} pictures in {target} ({duration(seconds)})")
