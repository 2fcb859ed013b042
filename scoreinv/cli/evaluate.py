"""`scoreinv evaluate GENERATED --reference REAL`."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scoreinv import files, imaging, models, tasks
from scoreinv.batch.outputs import check_file
from scoreinv.batch.plan import expand
from scoreinv.cli.options import Common
from scoreinv.cli.render import emit, notice, put, rehearse
from scoreinv.models.catalogue import HUB_PREFIX, load_classifier
from scoreinv.system.devices import device_of
from scoreinv.system.errors import CheckpointError, InputError
from scoreinv.system.options import Setting
from scoreinv.system.progress_bar import progress_bar
from scoreinv.system.threads import set_threads

if TYPE_CHECKING:
    from scoreinv.models.noise_classifier import NoiseClassifier

UNUSED = ("seed", "overwrite", "precision")
_JUDGE = "cifar10-judge"
"""Bundled classifier of clean pictures."""


def evaluate(
    generated: Annotated[
        str, typer.Argument(metavar="GENERATED", help="Folder of generated pictures, or of folders named by classes.")
    ],
    common: Common,
    reference: Annotated[str, Setting("Real pictures of the same kind, ideally as many.", metavar="FOLDER")],
    classifier: Annotated[
        str | None,
        Setting(
            "Classifier for feature distances and shares of classes. (default: cifar10-judge)", metavar="NAME|FILE"
        ),
    ] = None,
    class_: Annotated[
        str | None,
        Setting(
            "Class of all generated pictures, for the accuracy. (default: the names of their folders)",
            metavar="NAME|NUMBER",
            option="--class",
        ),
    ] = None,
    inception: Annotated[
        str | None,
        Setting(
            "Inception weights of torch-fidelity, for FID, KID and Inception score.", metavar="FILE", advanced=True
        ),
    ] = None,
) -> None:
    """Compare generated pictures with real ones: feature distances, FID, KID, Inception score.

    \b
    scoreinv evaluate drawn/ --reference photographs/
    """
    for name, folder in (("GENERATED", generated), ("--reference", reference)):
        if not Path(folder).is_dir():
            raise InputError(f"{name} {folder}: is not a folder of pictures (scoreinv sample -o FOLDER/ makes one)")
    drawn, real = expand(generated, recursive=True), expand(reference, recursive=True)
    for folder, found in ((generated, drawn), (reference, real)):
        if len(found) < 2:
            raise InputError(f"{folder}: has one picture; a comparison needs two")
    if inception is not None:
        _check_inception(inception)
    judge = classifier or _JUDGE
    record: dict[str, Any] = {"input": generated, "reference": reference, "pictures": len(drawn)}
    if common.dry_run:
        if not judge.startswith(HUB_PREFIX):  # nothing is fetched
            _judge(judge, class_, common)
        said = f"{len(drawn)} pictures in {generated} would be compared with {len(real)} in {reference}"
        rehearse(common, record, said)
        return
    started = time.monotonic()
    set_threads(common.threads)
    try:
        record |= _by_classifier(drawn, real, judge, class_, common)
    except InputError as error:  # pictures of another size than the default judge's
        if inception is None or classifier or class_ is not None:
            raise
        notice(common, f"compared with Inception only: {error}")
    if inception is None:
        notice(common, "FID, KID and Inception score need --inception")
    else:
        record |= _by_inception(drawn, real, inception, common)
    record["seconds"] = round(time.monotonic() - started, 3)
    emit(common, record)
    if not common.json:
        for key, value in record.items():
            shares = isinstance(value, dict)
            text = ", ".join(f"{name} {share:.1%}" for name, share in value.items()) if shares else value
            put(f"{key.replace('_', ' ')}: {f'{value:.4f}' if isinstance(value, float) else text}")


def _by_classifier(
    generated: list[str], real: list[str], name: str, class_name: str | None, common: Common
) -> dict[str, Any]:
    from scoreinv.tasks.evaluate import evaluate as compare

    classifier, label = _judge(name, class_name, common)
    for first in (generated[0], real[0]):  # fail early for pictures of another size
        tasks.look_at([(first, files.read_picture(first))], classifier)
    seen, true = (_look(paths, classifier, common) for paths in (generated, real))
    record = {"classifier": name, **compare(seen, true, classifier.classes)}
    folders = [Path(path).parent.name for path in generated]
    if label is not None:
        record["accuracy"] = float((seen.labels == label).mean())
    elif set(folders) <= set(classifier.classes):
        record["accuracy"] = float((seen.labels == list(map(classifier.classes.index, folders))).mean())
    return record


def _judge(name: str, class_name: str | None, common: Common) -> tuple[NoiseClassifier, int | None]:
    """Return the classifier on its device, and its label of the requested class."""
    classifier = load_classifier(name).to(device_of(common.device))
    return classifier, None if class_name is None else tasks.class_index(classifier, class_name)


def _look(paths: list[str], classifier: NoiseClassifier, common: Common) -> tasks.Seen:
    title = os.path.commonpath([Path(path).parent for path in paths])
    with progress_bar(title, quiet=common.quiet) as show:

        def pictures() -> Iterator[tuple[str, imaging.Picture]]:
            for number, path in enumerate(paths, 1):
                yield path, files.read_picture(path)
                show(number / len(paths))

        return tasks.look_at(pictures(), classifier)


def _check_inception(weights: str) -> None:
    """Raise InputError if torch-fidelity or its weights are missing."""
    check_file(weights, "--inception")
    try:
        models.read_pickled(Path(weights))  # torch-fidelity would execute a pickle
    except CheckpointError as error:
        raise InputError(f"--inception {weights}: has no weights for torch-fidelity") from error
    if find_spec("torch_fidelity") is None:
        raise InputError("--inception: needs torch-fidelity: pip install torch-fidelity")


def _by_inception(drawn: list[str], real: list[str], weights: str, common: Common) -> dict[str, float]:
    from torch_fidelity import calculate_metrics
    from torch_fidelity.datasets import ImagesPathDataset

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected pickle protocol")  # torch's, about weights that were checked
        found = calculate_metrics(
            input1=ImagesPathDataset(drawn),
            input2=ImagesPathDataset(real),
            fid=True,
            kid=True,
            isc=True,
            isc_splits=min(10, len(drawn)),
            kid_subset_size=min(1000, len(drawn), len(real)),
            feature_extractor_weights_path=weights,
            cuda=device_of(common.device) == "cuda",
            verbose=False,
        )
    keys = {"fid": "frechet_inception_distance", "kid": "kernel_inception_distance_mean"}
    return {name: float(found[key]) for name, key in (keys | {"inception_score": "inception_score_mean"}).items()}
