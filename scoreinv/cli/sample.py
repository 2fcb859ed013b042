"""`scoreinv sample`: new pictures from the model."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from scoreinv import tasks
from scoreinv.cli.gallery import Gallery
from scoreinv.cli.loading import Model, warn_of_completing
from scoreinv.cli.options import Common, ModelOption, QualityOption, advanced, option, output_option
from scoreinv.cli.outputs import refuse_inputs
from scoreinv.cli.report import emit, notice, rehearse
from scoreinv.models.catalogue import HUB_PREFIX, bundled_names, load_classifier
from scoreinv.system.errors import CheckpointError, InputError
from scoreinv.system.options import GUIDANCE
from scoreinv.system.terminal import duration, progress_bar
from scoreinv.tasks.settings import SamplerSettings

if TYPE_CHECKING:
    from scoreinv.models.noise_classifier import NoiseClassifier


EXAMPLES = """
  scoreinv sample --model cifar10 -n 64 -o grid.png
  scoreinv sample --model cifar10 --class horse -n 64 -o horses.png
"""
_log = logging.getLogger(__name__)
_OWN = "-classifier"  # what the name of a model's own classifier adds to it
_WRITTEN_AT_ONCE = 512  # pictures of a folder that are drawn before they are written: what an interruption loses
_PIXELS_AT_ONCE = 1 << 24  # their pixels at most: a bound of memory


@dataclass(frozen=True)
class ClassOptions:
    """The class that pictures are of.

    Attributes:
        class_: name or number of a class of the classifier's; None for any.
        guidance: how strongly the classifier guides; None for what is recommended with it.
        classifier: name or file of the classifier; None for the model's own.
    """

    class_: Annotated[
        str | None,
        option(
            "--class",
            envvar="SCOREINV_SAMPLE_CLASS",
            metavar="NAME|NUMBER",
            help="Draw only pictures of this class of the classifier's.",
        ),
    ] = None
    guidance: Annotated[
        float | None,
        advanced(
            min=GUIDANCE.least,
            max=GUIDANCE.most,
            help="Strength of --class: 1 is exact, more is more typical and less varied. (default: the classifier's)",
        ),
    ] = None
    classifier: Annotated[
        str | None, advanced(metavar="NAME|FILE", help="Classifier of --class. (default: MODEL-classifier)")
    ] = None

    def __post_init__(self) -> None:
        if self.class_ is None and (self.guidance is not None or self.classifier is not None):
            raise InputError("--guidance and --classifier belong to --class")

    def classifier_of(self, model: str) -> str:
        """The name or file of the classifier: the given one, or the model's own."""
        return self.classifier or f"{model}{_OWN}"


def sample(
    *,
    model: ModelOption = "photo",
    count: Annotated[int, option("-n", "--count", min=1, max=100_000, help="Pictures to draw.")] = 16,
    sampler: SamplerSettings,
    wanted: ClassOptions,
    output: Annotated[
        str | None,
        output_option(
            "-o",
            "--output",
            metavar="FOLDER|GRID.png",
            help="A folder for single pictures, or a file for all of them; - is stdout. (default: MODEL_samples.png)",
        ),
    ] = None,
    quality: QualityOption = None,
    common: Common,
) -> None:
    """Draw new pictures from the model, of a class where a classifier knows it, in a grid or one by one."""
    target = output if output is not None else f"{Path(model).stem}_samples.png"
    loaded = Model(model, common, exact=sampler.asked == "ode")
    refuse_inputs("-o", [target], {"the model": model, "the classifier": wanted.classifier})
    gallery = Gallery(target, count, quality, common)
    if common.dry_run:
        loaded.check()
        if not (wanted.classifier or "").startswith(HUB_PREFIX):  # nothing is fetched
            _guide(wanted, model)
        rehearse(common, {"outputs": gallery.outputs}, f"{_pictures(count)} by {model} would be written to {target}")
        return
    record = _draw(wanted, sampler, gallery, loaded)
    emit(common, record)
    notice(common, f"{_pictures(count)} in {target} ({duration(record['seconds'])})")


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _draw(wanted: ClassOptions, asked: SamplerSettings, gallery: Gallery, loaded: Model) -> dict[str, Any]:
    """Draw and write the pictures; returns their record."""
    import torch

    from scoreinv.tasks.generate import generate

    common, count = loaded.common, gallery.count
    guide, label = _guide(wanted, loaded.name)
    loaded.load()
    if guide is not None:
        device, precision = loaded.place
        guide = guide.to(device, getattr(torch, precision))
    warn_of_completing(loaded, "draws blots of colour from nothing; --model cifar10 draws pictures of 32x32 pixels")
    method = asked.asked or tasks.default_sampler(loaded.load())
    _log.info("sampler %s%s", method, "" if asked.asked else ", recommended with the model")
    started = time.monotonic()
    side = loaded.load().image_size
    # Each part is drawn and written before the next; all at once where they share a file.
    size = count if gallery.is_file else max(1, min(_WRITTEN_AT_ONCE, _PIXELS_AT_ONCE // side**2))
    ranges = [range(first, min(first + size, count)) for first in range(0, count, size)]
    if len(ranges) == 1:
        gallery.check((side, side))
    nfe = 0
    with progress_bar("sampling", quiet=common.quiet) as show:
        for part, report in zip(ranges, tasks.parts(show, map(len, ranges)), strict=True):
            result = generate(
                loaded.load(),
                len(part),
                **asdict(replace(asked, sampler=method)),
                seed=common.seed or 0,
                classifier=guide,
                label=label,
                guidance=wanted.guidance,
                first=part.start,
                callback=report,
            )
            gallery.write(result.images, part.start)
            nfe += len(part) * result.nfe
    seconds = round(time.monotonic() - started, 3)
    outputs = gallery.outputs
    record = {"output": outputs[0], "outputs": outputs, "seconds": seconds, "nfe": round(nfe / count)}
    record |= loaded.record(method)
    if guide is not None and label is not None:
        guidance = guide.guidance if wanted.guidance is None else wanted.guidance
        classifier = wanted.classifier_of(loaded.name)
        record |= {"class": guide.classes[label], "classifier": classifier, "guidance": guidance}
    return record


def _guide(wanted: ClassOptions, model: str) -> tuple[NoiseClassifier, int] | tuple[None, None]:
    """The classifier that is given, or the one that is bundled with the model, and its label of the class wanted."""
    if wanted.class_ is None:
        return None, None
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
    return classifier, tasks.class_index(classifier, wanted.class_)
