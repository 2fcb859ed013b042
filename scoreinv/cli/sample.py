"""`scoreinv sample`."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from scoreinv import files, tasks
from scoreinv.batch.plan import Quality
from scoreinv.cli.gallery import Gallery, warn_of_completing
from scoreinv.cli.options import Common, ModelOption
from scoreinv.cli.render import emit, notice, provenance, rehearse
from scoreinv.models.catalogue import HUB_PREFIX, bundled_names, load_classifier
from scoreinv.models.loading import ModelSource
from scoreinv.system.errors import CheckpointError, InputError
from scoreinv.system.options import GUIDANCE, Setting, Whole
from scoreinv.system.progress import parts, reported_to
from scoreinv.system.progress_bar import progress_bar
from scoreinv.system.terminal import duration
from scoreinv.tasks.sampling_settings import GENERATIVE_MODEL, SamplerSettings

if TYPE_CHECKING:
    from scoreinv.models.noise_classifier import NoiseClassifier


_log = logging.getLogger(__name__)
_OWN = "-classifier"
"""Suffix of the name of a model's own classifier."""
_WRITTEN_AT_ONCE = 512
"""Maximum number of pictures of a folder that are drawn before they are written; an interruption loses them."""
_PIXELS_AT_ONCE = 1 << 24
"""Maximum number of pixels of these pictures, to limit the memory."""


@dataclass(frozen=True)
class ClassOptions:
    """Options for drawing pictures of one class.

    Attributes:
        class_: name or number of the class; None: any class.
        guidance: strength of the classifier; None: the strength that is recommended with the classifier.
        classifier: name or file of the classifier; None: the model's own.
    """

    class_: Annotated[
        str | None, Setting("Draw only pictures of this class.", metavar="NAME|NUMBER", option="--class")
    ] = None
    guidance: Annotated[
        float | None,
        Setting(
            "Strength of --class: 1 is exact, more is more typical and less varied. (default: the classifier's)",
            GUIDANCE,
            advanced=True,
        ),
    ] = None
    classifier: Annotated[
        str | None, Setting("Classifier of --class. (default: MODEL-classifier)", metavar="NAME|FILE", advanced=True)
    ] = None

    def __post_init__(self) -> None:
        if self.class_ is None and (self.guidance is not None or self.classifier is not None):
            raise InputError("--guidance and --classifier need --class")

    def classifier_of(self, model: str) -> str:
        """Return the name or file of the classifier: the given one, or the model's own."""
        return self.classifier or f"{model}{_OWN}"


def sample(
    *,
    model: ModelOption = GENERATIVE_MODEL,
    count: Annotated[int, Setting("Number of pictures.", Whole(1, 100_000), option="-n --count")] = 16,
    sampler: SamplerSettings,
    wanted: ClassOptions,
    output: Annotated[
        str | None,
        Setting(
            "Folder for single pictures, or file for all; - is stdout. (default: MODEL_samples.png)",
            metavar="FOLDER|GRID.png",
            option="-o --output",
        ),
    ] = None,
    quality: Quality = None,
    common: Common,
) -> None:
    """Draw new pictures from a model, in a grid or one by one.

    \b
    scoreinv sample --model cifar10 -n 64 -o grid.png
    scoreinv sample --model cifar10 --class horse -n 64 -o horses.png
    """
    target = output if output is not None else f"{Path(model).stem}_samples.png"
    source = ModelSource(model, common.machine, exact=sampler.chosen == "ode")
    files.refuse_inputs("-o", [target], {model: "the model", wanted.classifier or "": "the classifier"})
    gallery = Gallery(target, count, quality, common)
    if common.dry_run:
        source.check()
        if not (wanted.classifier or "").startswith(HUB_PREFIX):  # nothing is fetched
            _guide(wanted, model)
        rehearse(common, {"outputs": gallery.outputs}, f"{_pictures(count)} by {model} would be written to {target}")
        return
    common.machine.start_torch()
    import torch

    from scoreinv.tasks.generate import generate

    guide, label = _guide(wanted, model)
    prior = source.load()
    if guide is not None:
        device, precision = source.device_and_precision
        guide = guide.to(device, getattr(torch, precision))
    warn_of_completing(source, "new pictures are blots of colour (--model cifar10 draws pictures of 32x32 pixels)")
    method = sampler.chosen or tasks.default_sampler(prior)
    _log.info("sampler %s%s", method, "" if sampler.chosen else ", recommended with the model")
    started = time.monotonic()
    ranges = _ranges(gallery, prior.image_size)
    nfe = 0  # of all pictures
    with progress_bar("sampling", quiet=common.quiet) as show, reported_to(show):
        for numbers, part in zip(ranges, parts(map(len, ranges)), strict=True):
            with part:
                result = generate(
                    prior,
                    len(numbers),
                    **asdict(replace(sampler, sampler=method)),
                    seed=common.seed or 0,
                    classifier=guide,
                    label=label,
                    guidance=wanted.guidance,
                    first=numbers.start,
                )
            gallery.write(result.images, numbers.start)
            nfe += len(numbers) * result.nfe
    record = gallery.record(started, round(nfe / count)) | provenance(source, method, common)
    if guide is not None and label is not None:
        guidance = guide.guidance if wanted.guidance is None else wanted.guidance
        record |= {"class": guide.classes[label], "classifier": wanted.classifier_of(model), "guidance": guidance}
    emit(common, record)
    notice(common, f"{_pictures(count)} in {target} ({duration(record['seconds'])})")


def _ranges(gallery: Gallery, side: int) -> list[range]:
    """Return the numbers of the pictures that are drawn together; each range is written before the next is drawn.

    Pictures that share a file are drawn together. Raises InputError if those of a single range need too much memory.
    """
    count = gallery.count
    size = count if gallery.is_file else max(1, min(_WRITTEN_AT_ONCE, _PIXELS_AT_ONCE // side**2))
    ranges = [range(first, min(first + size, count)) for first in range(0, count, size)]
    if len(ranges) == 1:
        gallery.check((side, side))
    return ranges


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


def _guide(wanted: ClassOptions, model: str) -> tuple[NoiseClassifier, int] | tuple[None, None]:
    """Return the classifier and the label of the requested class; None for both without a class."""
    if wanted.class_ is None:
        return None, None
    name = wanted.classifier_of(model)
    if wanted.classifier is None and name not in bundled_names():
        others = [known.removesuffix(_OWN) for known in bundled_names() if known.endswith(_OWN)]
        raise InputError(
            f"--class: {model} has no classifier: choose a model with classes (--model {' or '.join(others)}), or a "
            "classifier of noisy pictures with --classifier"
        )
    try:
        classifier = load_classifier(name)
    except CheckpointError as error:
        raise InputError(f"--class: needs a classifier of noisy pictures (--classifier): {error}") from error
    return classifier, tasks.class_index(classifier, wanted.class_)
