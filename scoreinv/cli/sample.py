"""`scoreinv sample`: new pictures from the model."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv.cli.command import Settings
from scoreinv.cli.gallery import check_gallery, gallery_folder, gallery_outputs, write_gallery
from scoreinv.cli.messages import emit, notice, pictures, rehearse
from scoreinv.cli.options import OUTPUT, ModelOption, QualityOption
from scoreinv.cli.outputs import refuse_inputs
from scoreinv.cli.pages import ADVANCED
from scoreinv.cli.progress import ProgressBar, duration
from scoreinv.cli.runtime import Session, warn_of_completing
from scoreinv.errors import CheckpointError, InputError
from scoreinv.models.bundled import HUB_PREFIX
from scoreinv.options import GUIDANCE
from scoreinv.tasks.settings import SamplerSettings

if TYPE_CHECKING:
    from scoreinv.classifier import NoiseClassifier


EXAMPLES = """
  scoreinv sample --model cifar10 -n 64 -o grid.png
  scoreinv sample --model cifar10 --class horse -n 64 -o horses.png
"""
_log = logging.getLogger(__name__)
_OWN = "-classifier"
"""What the name of a model's own classifier adds to it."""
_WRITTEN_AT_ONCE = 512
"""Pictures of a folder that are drawn before they are written: what an interruption loses."""
_PIXELS_AT_ONCE = 1 << 24
"""Their pixels at most: a bound of memory."""


@dataclass(frozen=True)
class ClassOptions:
    """The class that pictures are of.

    Attributes:
        class_name: name or number of a class of the classifier's; None for any.
        guidance: how strongly the classifier guides; None for what is recommended with it.
        classifier: name or file of the classifier; None for the model's own.
    """

    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="NAME|NUMBER", help="Draw only pictures of this class of the classifier's."),
    ] = None
    guidance: Annotated[
        float | None,
        typer.Option(
            "--guidance",
            min=GUIDANCE.least,
            max=GUIDANCE.most,
            help="Strength of --class: 1 is exact, more is more typical and less varied. (default: the classifier's)",
            rich_help_panel=ADVANCED,
        ),
    ] = None
    classifier: Annotated[
        str | None,
        typer.Option(
            "--classifier",
            metavar="NAME|FILE",
            help="Classifier of --class. (default: MODEL-classifier)",
            rich_help_panel=ADVANCED,
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.class_name is None and (self.guidance is not None or self.classifier is not None):
            raise InputError("--guidance and --classifier belong to --class")

    def classifier_of(self, model: str) -> str:
        """The name or file of the classifier: the given one, or the model's own."""
        return self.classifier or f"{model}{_OWN}"


@dataclass(frozen=True)
class LookOptions:
    """How pictures are shown in a file."""

    scale: Annotated[
        int,
        typer.Option("--scale", min=1, max=64, help="Draw each pixel as so many on a side.", rich_help_panel=OUTPUT),
    ] = 1
    caption: Annotated[
        bool,
        typer.Option("--caption", help="Write model, class and seed under the pictures.", rich_help_panel=OUTPUT),
    ] = False


def sample(
    *,
    model: ModelOption = "photo",
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=100_000, help="Pictures to draw.")] = 16,
    sampler: Annotated[SamplerSettings, ADVANCED],
    wanted: ClassOptions,
    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER|GRID.png",
            help="A folder for single pictures, or a file for all of them; - is stdout. (default: MODEL_samples.png)",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    look: LookOptions,
    quality: QualityOption = None,
    settings: Settings,
) -> None:
    """Draw new pictures from the model, of a class where a classifier knows it, in a grid or one by one."""
    target = output if output is not None else f"{Path(model).stem}_samples.png"
    session = Session(model, settings, exact=sampler.asked == "ode")
    refuse_inputs("-o", [target], {"the model": model, "the classifier": wanted.classifier})
    outputs = gallery_outputs(target, count, quality, settings)
    if look.caption and len(outputs) != 1:
        raise InputError(f"--caption: goes under a grid: name a file by -o, not the folder {target}")
    if settings.dry_run:
        session.check()
        if not (wanted.classifier or "").startswith(HUB_PREFIX):  # nothing is fetched
            _guide(wanted, model)
        rehearse(settings, {"outputs": outputs}, f"{pictures(count)} by {model} would be written to {target}")
        return
    with gallery_folder(outputs, settings):
        record = _draw(count, wanted, sampler, outputs, look, quality, session)
    emit(settings, record)
    notice(settings, f"{pictures(count)} in {target} ({duration(record['seconds'])})")


def _draw(
    count: int,
    wanted: ClassOptions,
    asked: SamplerSettings,
    outputs: list[str],
    look: LookOptions,
    quality: int | None,
    session: Session,
) -> dict[str, Any]:
    """Draw and write the pictures; returns their record."""
    import torch

    from scoreinv.tasks.generate import default_sampler, generate
    from scoreinv.tasks.results import Share

    settings = session.settings
    guide, label = _guide(wanted, session.model)
    session.load()
    if guide is not None:
        guide = guide.to(session.device, getattr(torch, session.precision))
    warn_of_completing(session, "draws blots of colour from nothing; --model cifar10 draws pictures of 32x32 pixels")
    method = asked.asked or default_sampler(session.prior)
    _log.info("sampler %s%s", method, "" if asked.asked else ", recommended with the model")
    started = time.monotonic()
    side = session.prior.image_size
    parts = _parts(len(outputs), count, look.scale * side)
    words = [session.model_name, wanted.class_name, f"seed {settings.seed}"]
    caption = ", ".join(filter(None, words)) if look.caption else ""
    if len(parts) == 1:
        check_gallery(outputs, count, (look.scale * side, look.scale * side), caption=caption)
    nfe = 0
    with ProgressBar("sampling", quiet=settings.quiet) as bar:
        share = Share(bar.fraction, count)
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
            write_gallery(
                result.images, files, quality, scale=look.scale, caption=caption, overwrite=settings.overwrite
            )
            nfe += len(part) * result.nfe
    seconds = round(time.monotonic() - started, 3)
    record = {"output": outputs[0], "outputs": outputs, "seconds": seconds, "nfe": round(nfe / count)}
    record |= session.record(method)
    if guide is not None and label is not None:
        guidance = guide.guidance if wanted.guidance is None else wanted.guidance
        classifier = wanted.classifier_of(session.model)
        record |= {"class": guide.classes[label], "classifier": classifier, "guidance": guidance}
    return record


def _parts(files: int, count: int, side: int) -> list[range]:
    """The pictures in parts, each of them drawn and written before the next; all at once where they share a file."""
    size = max(1, min(_WRITTEN_AT_ONCE, _PIXELS_AT_ONCE // side**2)) if files > 1 else count
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def _guide(wanted: ClassOptions, model: str) -> tuple[NoiseClassifier, int] | tuple[None, None]:
    """The classifier that is given, or the one that is bundled with the model, and its label of the class wanted."""
    if wanted.class_name is None:
        return None, None
    from scoreinv.models.bundled import bundled_names
    from scoreinv.models.catalogue import load_classifier
    from scoreinv.tasks.generate import class_index

    name = wanted.classifier_of(model)
    if wanted.classifier is None and name not in bundled_names():
        others = [known.removesuffix(_OWN) for known in bundled_names() if known.endswith(_OWN)]
        raise InputError(
            f"--class: {model} has no classifier: take one of a model with classes (--model "
            f"{' or '.join(others)}), or name one of noisy pictures by --classifier"
        )
    try:
        classifier = load_classifier(name)
    except CheckpointError as error:
        raise InputError(f"--class: needs a classifier of noisy pictures, by --classifier: {error}") from error
    return classifier, class_index(classifier, wanted.class_name)
