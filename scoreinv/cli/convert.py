"""`scoreinv convert`: a published checkpoint to scoreinv's own model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scoreinv.cli.batch import emit, notice
from scoreinv.cli.common import Settings
from scoreinv.cli.outputs import check_file, check_writable, refuse_existing
from scoreinv.errors import InputError

SUFFIX = ".safetensors"


def convert(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Checkpoint of the reference implementation (.pth).")],
    output: Annotated[str, typer.Option("-o", "--output", metavar="OUT", help="Model file to write (.safetensors).")],
    config: Annotated[
        str, typer.Option("--config", metavar="FILE|NAME", help="Its configuration (JSON), or a published name.")
    ],
    settings: Settings,
    ema: Annotated[bool, typer.Option("--ema/--raw", help="The averaged weights, or the last raw ones.")] = True,
) -> None:
    """Convert a published checkpoint (.pth) to a model file. Nothing in the checkpoint is executed."""
    check_file(source)
    if Path(output).suffix != SUFFIX:
        raise InputError(f"{output}: end the output's name in {SUFFIX}")
    check_writable(output)
    refuse_existing([output], overwrite=settings.overwrite)

    from scoreinv.checkpoints.files import save_model
    from scoreinv.checkpoints.official import load_official, read_official_config

    model = read_official_config(config)
    prior = load_official(Path(source), model, ema=ema)
    notes = {"source": Path(source).name, "weights": "ema" if ema else "raw"}
    save_model(Path(output), prior, model, half=False, notes=notes)
    parameters = sum(p.numel() for p in prior.network.parameters())
    emit(settings, {"input": source, "output": output, "outputs": [output], "parameters": parameters})
    notice(settings, f"{output} ({parameters:,} parameters)")
