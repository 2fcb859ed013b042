"""`scoreinv sample`: new pictures from the model."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv.cli.common import OUTPUT, ModelOption, QualityOption, Settings
from scoreinv.cli.gallery import check_gallery, gallery_outputs, write_gallery
from scoreinv.cli.messages import emit, notice
from scoreinv.cli.outputs import refuse_inputs
from scoreinv.cli.progress import ProgressBar, duration
from scoreinv.cli.runtime import Session
from scoreinv.errors import CheckpointError, InputError
from scoreinv.tasks.settings import (
    MAX_CHURN,
    MAX_CORRECTOR_STEPS,
    MAX_GUIDANCE,
    MAX_RTOL,
    MAX_SNR,
    MAX_STEPS,
    MIN_RTOL,
    SamplerSettings,
)

if TYPE_CHECKING:
    from scoreinv.classifier import NoiseClassifier


_WRITTEN_AT_ONCE = 512
"""Pictures of a folder that are drawn before they are written: what an interruption loses."""
_PIXELS_AT_ONCE = 1 << 24
"""And no more than these pixels, for the memory's sake."""


SAMPLER = "Sampler"


class SamplerChoice(StrEnum):
    """How the reverse process is solved."""

    PC = "pc"
    ODE = "ode"
    MULTISTEP = "multistep"
    HEUN = "heun"
    DDIM = "ddim"


class PredictorChoice(StrEnum):
    """How pc goes from a time to the next; Song et al. 2021, appendix D to G."""

    REVERSE_DIFFUSION = "reverse_diffusion"
    EULER_MARUYAMA = "euler_maruyama"
    ANCESTRAL = "ancestral"
    ANCESTRAL_POSTERIOR = "ancestral_posterior"
    PROBABILITY_FLOW = "probability_flow"
    NONE = "none"


class CorrectorChoice(StrEnum):
    """How pc corrects the state at a time."""

    LANGEVIN = "langevin"
    ANNEALED_LANGEVIN = "annealed_langevin"
    NONE = "none"


def sample(
    settings: Settings,
    model: ModelOption = "photo",
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=100_000, help="Pictures to draw.")] = 16,
    sampler: Annotated[
        SamplerChoice | None,
        typer.Option(
            "--sampler",
            help="pc: predictor-corrector, the paper's; ode: adaptive probability flow; multistep: DPM-Solver++, fast; "
            "heun: EDM's; ddim. (default: pc where settings were published with the model, else multistep)",
            rich_help_panel=SAMPLER,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            min=1,
            max=MAX_STEPS,
            help="Of pc (default: as recommended with the model, else 1000), multistep (default: 25), heun (default: "
            "18) and ddim (default: 50).",
            rich_help_panel=SAMPLER,
        ),
    ] = None,
    predictor: Annotated[
        PredictorChoice | None,
        typer.Option(
            "--predictor",
            help="Of pc: how it goes on in time; none leaves all to the corrector. "
            "(default: as recommended with the model, else the paper's for its SDE)",
            rich_help_panel=SAMPLER,
        ),
    ] = None,
    corrector: Annotated[
        CorrectorChoice | None,
        typer.Option(
            "--corrector",
            help="Of pc: its steps follow the norms of score and noise, or annealed the noise level. "
            "(default: as recommended with the model, else langevin for VE and none for others)",
            rich_help_panel=SAMPLER,
        ),
    ] = None,
    corrector_steps: Annotated[
        int | None,
        typer.Option(
            "--corrector-steps",
            min=0,
            max=MAX_CORRECTOR_STEPS,
            help="Of the corrector, at each time. (default: 1)",
            rich_help_panel=SAMPLER,
        ),
    ] = None,
    snr: Annotated[
        float | None,
        typer.Option(
            "--snr",
            max=MAX_SNR,
            help="Signal-to-noise ratio of the corrector's steps. (default: as recommended with the model, else 0.16)",
            rich_help_panel=SAMPLER,
        ),
    ] = None,
    rtol: Annotated[
        float | None,
        typer.Option(
            "--rtol",
            min=MIN_RTOL,
            max=MAX_RTOL,
            help="Tolerance of ode. (default: 1e-5)",
            rich_help_panel=SAMPLER,
        ),
    ] = None,
    churn: Annotated[
        float | None,
        typer.Option(
            "--churn",
            min=0.0,
            max=MAX_CHURN,
            help="Noise that heun adds in all, to forget its errors; about as much as it has steps. (default: 0)",
            rich_help_panel=SAMPLER,
        ),
    ] = None,
    eta: Annotated[
        float | None,
        typer.Option(
            "--eta",
            min=0.0,
            max=1.0,
            help="Noise that ddim adds: 1 is ancestral sampling. (default: 0)",
            rich_help_panel=SAMPLER,
        ),
    ] = None,
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME|NUMBER", help="Pictures of this class of the classifier's only."),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            "--guidance",
            min=0.0,
            max=MAX_GUIDANCE,
            help="Of --class: 1 is exact, more is more typical and less varied. (default: the classifier's)",
        ),
    ] = None,
    classifier: Annotated[
        str | None,
        typer.Option("--classifier", metavar="NAME|FILE", help="Of --class. (default: MODEL-classifier)"),
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
    """Draw new pictures from the model, of a class where a classifier tells it, in a grid or one by one."""
    asked = SamplerSettings(
        None if sampler is None else sampler.value,
        steps,
        None if predictor is None else predictor.value,
        None if corrector is None else corrector.value,
        corrector_steps,
        snr,
        rtol,
        churn,
        eta,
    )
    if class_name is None and (guidance is not None or classifier is not None):
        raise InputError("--guidance and --classifier belong to --class")
    target = output if output is not None else f"{Path(model).stem}_samples.png"
    session = Session(model, settings, exact=asked.asked == "ode")
    refuse_inputs("-o", [target], {"the model": model, "the classifier": classifier})
    wanted = Wanted(count, class_name, guidance, classifier or f"{model}-classifier")
    with gallery_outputs(target, count, quality, settings) as outputs:
        record = _draw(wanted, asked, outputs, quality, session)
    emit(settings, record)
    notice(settings, f"{count} pictures in {target} ({duration(record['seconds'])})")


@dataclass(frozen=True)
class Wanted:
    """What to draw.

    Attributes:
        count: of the pictures.
        class_name: their class, of the classifier's; None for any.
        guidance: how strongly the classifier guides; None for what is recommended with it.
        classifier: its name or file.
    """

    count: int
    class_name: str | None
    guidance: float | None
    classifier: str


def _draw(
    wanted: Wanted, asked: SamplerSettings, outputs: list[str], quality: int | None, session: Session
) -> dict[str, Any]:
    """Draw and write the pictures; returns their record."""
    from scoreinv.tasks.generation import class_index, default_sampler, generate
    from scoreinv.tasks.progress import Share

    settings = session.settings
    guide = label = None
    if wanted.class_name is not None:
        guide = _classifier(wanted.classifier, session)
        label = class_index(guide, wanted.class_name)
    session.load()
    method = asked.asked or default_sampler(session.prior)
    started = time.monotonic()
    side = session.prior.image_size
    parts = _parts(len(outputs), wanted.count, side)
    if len(parts) == 1:
        check_gallery(wanted.count, (side, side), together=len(outputs) == 1)
    nfe = 0
    with ProgressBar("sampling", quiet=settings.quiet) as bar:
        share = Share(bar.fraction, wanted.count)
        for part in parts:
            share.begin(len(part))
            result = generate(
                session.prior,
                len(part),
                **asdict(replace(asked, sampler=method)),
                seed=settings.seed,
                classifier=guide,
                label=label,
                guidance=wanted.guidance,
                first=part.start,
                callback=share,
            )
            files = outputs[part.start : part.stop] if len(outputs) > 1 else outputs
            write_gallery(result.images, files, quality, overwrite=settings.overwrite)
            nfe += len(part) * result.nfe
    seconds = round(time.monotonic() - started, 3)
    record = {"output": outputs[0], "outputs": outputs, "seconds": seconds, "nfe": round(nfe / wanted.count)}
    return record | session.record(method)


def _parts(files: int, count: int, side: int) -> list[range]:
    """The pictures in parts, each of them drawn and written before the next; all at once where they share a file."""
    size = max(1, min(_WRITTEN_AT_ONCE, _PIXELS_AT_ONCE // side**2)) if files > 1 else count
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def _classifier(name: str, session: Session) -> NoiseClassifier:
    import torch

    from scoreinv.checkpoints.catalogue import load_classifier

    try:
        return load_classifier(name).to(session.device, getattr(torch, session.precision))
    except CheckpointError as error:
        raise InputError(f"--class: needs a classifier of noisy pictures, by --classifier: {error}") from error
