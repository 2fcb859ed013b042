"""`scoreinv likelihood IMAGE...`: bits per dimension."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import Annotated

import typer

from scoreinv.cli.batch import failure
from scoreinv.cli.common import ModelOption, Settings
from scoreinv.cli.messages import emit
from scoreinv.cli.outputs import STREAM, expand
from scoreinv.cli.progress import ProgressBar
from scoreinv.cli.runtime import Session
from scoreinv.errors import InputError


class Probe(StrEnum):
    """Random vectors of the trace estimate."""

    RADEMACHER = "rademacher"
    GAUSSIAN = "gaussian"


def likelihood(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="8-bit pictures or folders; - is stdin.", show_default=False)
    ],
    settings: Settings,
    model: ModelOption = "photo",
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Draws of noise that are averaged.")] = 1,
    rtol: Annotated[
        float, typer.Option("--rtol", min=1e-12, max=0.1, help="Tolerance of the solver, relative and absolute.")
    ] = 1e-5,
    probe: Annotated[Probe, typer.Option("--probe", help="Random vectors of the trace estimate.")] = Probe.RADEMACHER,
) -> None:
    """Print the exact likelihood of pictures under the model, in bits per dimension."""
    sources = [source for item in images for source in expand(item)]
    batch = len(sources) > 1
    if batch and STREAM in sources:
        raise InputError("- (stdin) cannot be combined with other inputs")
    session = Session(model, settings, exact=True)
    failed = 0
    for source in sources:
        try:
            _one(source, session, repeats, rtol, probe)
        except Exception as error:
            failed += failure(source, error, settings, batch=batch)
    raise typer.Exit(1 if failed else 0)


def _one(source: str, session: Session, repeats: int, rtol: float, probe: Probe) -> None:
    from scoreinv.imaging.files import read_picture

    picture = read_picture(source)

    from scoreinv.tasks.density import picture_bits_per_dim

    settings = session.settings
    session.load()
    started = time.monotonic()
    with ProgressBar(source, quiet=settings.quiet) as bar:
        result = picture_bits_per_dim(
            picture,
            session.prior,
            repeats=repeats,
            rtol=rtol,
            probe=probe.value,
            seed=settings.seed,
            callback=bar.fraction,
        )
    record = {
        "input": source,
        "bits_per_dim": result.bits_per_dim,
        "seconds": round(time.monotonic() - started, 3),
        "nfe": result.nfe,
        **session.record("ode"),
    }
    emit(settings, record)
    if not settings.json:
        sys.stdout.write(f"{result.bits_per_dim:.4f} bits/dim  {source}\n")
        sys.stdout.flush()
